import { Decoder, Encoder } from 'cbor-x';
import { type Bytes, toHex } from '../base/bytes.ts';
import { FifoMap } from '../base/fifoMap.ts';
import type { HandshakeFault, HandshakeReport } from '../dtls/fault.ts';
import { type Environment, transact } from './lmdbEnvironment.ts';

/** Handshakes that failed for one reason under one identity; without an identity, from one address. */
export interface FailedHandshakes {
  readonly fault: HandshakeFault;
  readonly identity: Bytes | undefined;
  /** Of the last one, as all below. */
  readonly address: string;
  readonly port: number;
  readonly detail: string | undefined;
  readonly times: number;
  /** Milliseconds since 1970. */
  readonly first: number;
  readonly last: number;
}

/**
 * The last failed handshakes, folded, so that a device which fails again and again is one entry and not all of them. A
 * ring of fixed size in the store, written a little at a time, and less often the more there is: whoever floods the
 * server costs neither memory nor disk. What a crash loses is a second of it.
 */
export class HandshakeLog {
  readonly #environment: Environment;
  readonly #onError: (error: unknown) => void;
  readonly #entries = new FifoMap<string, Entry>();
  readonly #changed = new Set<Entry>();
  #timer: NodeJS.Timeout | undefined;

  constructor(environment: Environment, onError: (error: unknown) => void) {
    this.#environment = environment;
    this.#onError = onError;
    for (const entry of readSlots(environment)) this.#entries.set(keyOf(entry.failed), entry);
  }

  record({ at, remote, fault, identity, detail }: HandshakeReport): void {
    const { address, port } = remote;
    const failed = { fault, identity: identity?.slice(), address, port, detail, times: 1, first: at, last: at };
    const key = keyOf(failed);
    const before = this.#entries.get(key);
    const entry: Entry =
      before === undefined
        ? { slot: this.#freeSlot(), failed }
        : { ...before, failed: { ...failed, times: before.failed.times + 1, first: before.failed.first } };
    if (before !== undefined) this.#changed.delete(before);
    this.#entries.set(key, entry);
    this.#changed.add(entry);
    this.#timer ??= setTimeout(() => this.#write(), calmMilliseconds);
  }

  /** Writes what has not been written. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#put([...this.#changed]);
  }

  #freeSlot(): number {
    if (this.#entries.size < ringLength) return this.#entries.size;
    const key = this.#entries.oldestKey()!;
    const { slot } = this.#entries.get(key)!;
    this.#changed.delete(this.#entries.get(key)!);
    this.#entries.delete(key);
    return slot;
  }

  #write(): void {
    // The newest, of which an operator wants to know.
    const batch = [...this.#changed].slice(-batchLength);
    for (const entry of batch) this.#changed.delete(entry);
    this.#put(batch).catch(this.#onError);
    const pause = this.#changed.size > 0 ? floodMilliseconds : undefined;
    this.#timer = pause === undefined ? undefined : setTimeout(() => this.#write(), pause);
  }

  async #put(batch: readonly Entry[]): Promise<void> {
    const { handshakes } = this.#environment;
    if (batch.length === 0) return;
    await transact(this.#environment, () => {
      for (const { slot, failed } of batch) void handshakes.put(slot, encoder.encode(failed));
    });
  }
}

/** Newest first. */
export function readFailedHandshakes(environment: Environment): FailedHandshakes[] {
  return readSlots(environment)
    .map(({ failed }) => failed)
    .reverse();
}

/** Oldest first. */
function readSlots({ handshakes }: Environment): Entry[] {
  const entries: Entry[] = [];
  for (const { key, value } of handshakes.getRange({})) {
    entries.push({ slot: key, failed: decoder.decode(value) as FailedHandshakes });
  }
  return entries.sort((a, b) => a.failed.last - b.failed.last);
}

function keyOf({ fault, identity, address }: Pick<FailedHandshakes, 'fault' | 'identity' | 'address'>): string {
  return identity === undefined ? `${fault} from ${address}` : `${fault} of ${toHex(identity)}`;
}

interface Entry {
  readonly slot: number;
  readonly failed: FailedHandshakes;
}

const encoder = new Encoder({ useRecords: false });
const decoder = new Decoder({ useRecords: false });
const ringLength = 512;
const batchLength = 32;
const calmMilliseconds = 500;
const floodMilliseconds = 30_000;
