import type { Command } from '../../src/fleet/command.ts';
import type { Credential } from '../../src/fleet/credential.ts';
import type { Desired } from '../../src/fleet/desired.ts';
import type { DeviceRecord } from '../../src/fleet/device.ts';
import type { StoredEvent } from '../../src/fleet/event.ts';
import type { CredentialId, EndpointName, Row, Sector } from '../../src/fleet/names.ts';
import type { Observation } from '../../src/fleet/observation.ts';
import type { Outage } from '../../src/fleet/outage.ts';
import type { SessionRow } from '../../src/fleet/session.ts';
import type { LastValue } from '../../src/fleet/value.ts';

/**
 * A disk that outlives the processes that write on it: transactions in order, of which some are durable and the newer
 * ones are not yet. A crash keeps what is durable and any prefix of the rest. Whoever needs one more table adds it here:
 * whatever is put into a `Table` inside a transaction is undone with it.
 */
export class MemoryDisk {
  readonly journal = new Journal();
  readonly devices = new Table<Row, DeviceRecord>(this.journal);
  readonly names = new Table<string, NameEntry>(this.journal);
  /** By the identity, in hexadecimal. */
  readonly credentials = new Table<string, Credential>(this.journal);
  /** One for a credential at most. */
  readonly sessions = new Table<CredentialId, StoredSession>(this.journal);
  readonly events = new Table<number, StoredEvent>(this.journal);
  /** By row and number. */
  readonly observations = new Table<string, Observation>(this.journal);
  readonly commands = new Table<string, Command>(this.journal);
  /** By row and path. */
  readonly values = new Table<string, LastValue>(this.journal);
  /** By row and path. */
  readonly desired = new Table<string, Desired>(this.journal);
  readonly meta = new Table<'meta', Meta>(this.journal);
  /** Rows that were handed out stay so, whatever becomes of them. */
  nextRow = 1;

  /** All or nothing: what throws leaves nothing behind. */
  transaction<Result>(write: () => Result): Result {
    return this.journal.transaction(write);
  }

  /** How many sessions did not end. */
  get liveSessions(): number {
    return [...this.sessions.values()].filter(({ ended }) => !ended).length;
  }

  get lastSequence(): number {
    return this.meta.get('meta')?.lastSequence ?? 0;
  }

  writeMeta(changes: Partial<Meta>): void {
    this.meta.put('meta', { ...noMeta, ...this.meta.get('meta'), ...changes });
  }
}

/** The transactions that may still vanish, the oldest first, each as what it wrote over. */
export class Journal {
  readonly #unflushed: Undo[][] = [];
  #current: Undo[] | undefined;
  #durable = 0;

  /** How many transactions there were; those that a crash took back do not count. */
  get committed(): number {
    return this.#durable + this.#unflushed.length;
  }

  get durable(): number {
    return this.#durable;
  }

  transaction<Result>(write: () => Result): Result {
    if (this.#current !== undefined) throw new Error('a transaction in a transaction');
    const undos: Undo[] = [];
    this.#current = undos;
    try {
      const result = write();
      this.#unflushed.push(undos);
      return result;
    } catch (error) {
      undoAll(undos);
      throw error;
    } finally {
      this.#current = undefined;
    }
  }

  /** The first `count` transactions are on the disk for good. */
  flushed(count: number): void {
    const more = Math.max(0, count - this.#durable);
    this.#durable += this.#unflushed.splice(0, more).length;
  }

  /** Power fails: `survivors` of the transactions that are not durable are there all the same, the oldest ones. */
  crash(survivors: number): void {
    while (this.#unflushed.length > survivors) undoAll(this.#unflushed.pop()!);
    this.flushed(this.committed);
  }

  note(undo: Undo): void {
    if (this.#current === undefined) throw new Error('a write outside of a transaction');
    this.#current.push(undo);
  }

  /** What was there before the first transaction that may still vanish, if one of them wrote over it. */
  firstUndo(table: unknown, key: unknown): Undo | undefined {
    for (const undos of this.#unflushed) {
      for (const undo of undos) if (undo.table === table && undo.key === key) return undo;
    }
    return undefined;
  }
}

export class Table<Key, Value> {
  readonly #journal: Journal;
  readonly #values = new Map<Key, Value>();

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  get size(): number {
    return this.#values.size;
  }

  get(key: Key): Value | undefined {
    return this.#values.get(key);
  }

  /** What is left of it if the power fails now. */
  durable(key: Key): Value | undefined {
    const undo = this.#journal.firstUndo(this, key);
    return undo === undefined ? this.#values.get(key) : (undo.before as Value | undefined);
  }

  put(key: Key, value: Value): void {
    this.#note(key);
    this.#values.set(key, value);
  }

  delete(key: Key): void {
    this.#note(key);
    this.#values.delete(key);
  }

  entries(): IterableIterator<[Key, Value]> {
    return this.#values.entries();
  }

  values(): IterableIterator<Value> {
    return this.#values.values();
  }

  #note(key: Key): void {
    const before = this.#values.get(key);
    const restore = () => {
      if (before === undefined) this.#values.delete(key);
      else this.#values.set(key, before);
    };
    this.#journal.note({ table: this, key, before, restore });
  }
}

export interface NameEntry {
  readonly row: Row;
  /** Of its credentials, in hexadecimal. */
  readonly identities: readonly string[];
}

export interface Meta {
  readonly lastSequence: number;
  readonly nextCredential: number;
  /** When a server last said that it ran, in wall time. */
  readonly alive: number | undefined;
  readonly outages: readonly Outage[];
  readonly nextPeer: number;
}

interface Undo {
  readonly table: unknown;
  readonly key: unknown;
  readonly before: unknown;
  readonly restore: () => void;
}

export function nameKey(name: EndpointName, sector: Sector | undefined): string {
  return `${sector ?? ''}\0${name}`;
}

function undoAll(undos: readonly Undo[]): void {
  for (const { restore } of undos.toReversed()) restore();
}

const noMeta: Meta = { lastSequence: 0, nextCredential: 1, alive: undefined, outages: [], nextPeer: 1 };

/** One that ended stays for whoever resumes it. */
export type StoredSession = SessionRow & { readonly ended: boolean };
