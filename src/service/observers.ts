import { sameBytes, toHex } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import { type Instant, type Now, seconds, type WallTime } from '../base/time.ts';
import type { Reply } from '../coap/codec/message.ts';
import type { Exchange } from '../coap/exchange.ts';
import type { Registration } from '../fleet/device.ts';
import type { Row } from '../fleet/names.ts';
import type { FleetRules } from '../fleet/registration.ts';
import type { Commit } from '../fleet/store.ts';
import { type Lookup, type Result, replyOf } from './lookupResult.ts';
import { SearchView } from './search.ts';

/**
 * Who observes which lookup (RFC 7641; RFC 9176 §6.2): told when its result has changed, at most once in a while however
 * often that happens. Bounded, in all and for each peer; who finds no room is answered and not told more. In memory only:
 * after a restart clients observe anew.
 */
export class Observers {
  readonly #rules: FleetRules;
  readonly #byToken = new Map<string, Observer>();
  readonly #perPeer = new Map<Peer, number>();

  constructor(rules: FleetRules) {
    this.#rules = rules;
  }

  get size(): number {
    return this.#byToken.size;
  }

  /** The sequence number of the answer, or `undefined` if there is no room. The same token again begins anew. */
  begin(exchange: Exchange, lookup: Lookup, result: Result, now: Now): number | undefined {
    this.end(exchange);
    const mine = this.#perPeer.get(exchange.peer) ?? 0;
    if (this.#byToken.size >= maxObservers || mine >= maxForPeer) return undefined;
    this.#perPeer.set(exchange.peer, mine + 1);
    const { etag, rows, ends } = result;
    const sequence = firstSequence;
    this.#byToken.set(keyOf(exchange), {
      exchange,
      lookup: { ...lookup, etags: [] },
      etag: toHex(etag),
      rows,
      ends,
      sequence,
      toldAt: now.instant,
      confirmedAt: now.instant,
      changed: false,
    });
    return sequence;
  }

  end(exchange: Exchange): void {
    if (!this.#byToken.delete(keyOf(exchange))) return;
    const left = this.#perPeer.get(exchange.peer)! - 1;
    if (left === 0) this.#perPeer.delete(exchange.peer);
    else this.#perPeer.set(exchange.peer, left);
  }

  /** The peer is gone: its session ended, or its address is somebody else's. */
  drop(peer: Peer): void {
    if (!this.#perPeer.has(peer)) return;
    for (const { exchange } of this.#byToken.values()) if (exchange.peer === peer) this.end(exchange);
  }

  /** Changes are durable: whose result may they concern? */
  committed({ devices }: Commit, wall: WallTime): void {
    if (this.#byToken.size === 0) return;
    for (const { record, before } of devices) {
      const refreshed = showsTheSame(before?.registration, record.registration);
      for (const observer of this.#byToken.values()) {
        if (observer.changed) continue;
        const shown = observer.rows.has(record.row);
        // Its lifetime goes on, and nothing that is shown of it has changed.
        if (shown && refreshed) continue;
        observer.changed = shown || this.#view(observer, wall).accepts(record);
      }
    }
  }

  /** Somebody else changed what stands in a row. */
  touched(row: Row): void {
    for (const observer of this.#byToken.values()) if (observer.rows.has(row)) observer.changed = true;
  }

  /** When `due` has something to do. */
  nextDue({ instant, wall }: Now): Instant | undefined {
    let next: Instant | undefined;
    for (const observer of this.#byToken.values()) {
      const { changed, ends, toldAt } = observer;
      if (!changed && ends === undefined) continue;
      const wanted = changed ? instant : instant + Math.max(0, ends! - wall);
      const at = Math.max(wanted, toldAt + atMostEvery) as Instant;
      if (next === undefined || at < next) next = at;
    }
    return next;
  }

  /** The notifications that are due, a few in a turn. `result` looks up; if it cannot in time, the observation ends. */
  due(now: Now, result: (lookup: Lookup) => Result | undefined): Notification[] {
    const notifications: Notification[] = [];
    let looked = 0;
    for (const observer of this.#byToken.values()) {
      const ended = observer.ends !== undefined && observer.ends <= now.wall;
      if (!(observer.changed || ended) || now.instant < observer.toldAt + atMostEvery) continue;
      if (++looked > maxInTurn) break;
      const found = result(observer.lookup);
      observer.changed = false;
      observer.toldAt = now.instant;
      if (found === undefined) {
        this.end(observer.exchange);
        continue;
      }
      observer.rows = found.rows;
      observer.ends = found.ends;
      if (toHex(found.etag) === observer.etag) continue;
      observer.etag = toHex(found.etag);
      observer.sequence = (observer.sequence + 1) % 2 ** 24;
      // Now and then one has to be acknowledged, so that nobody is told for ever who went away (RFC 7641 §4.5).
      const confirmable = now.instant >= observer.confirmedAt + confirmEvery;
      if (confirmable) observer.confirmedAt = now.instant;
      const { exchange, lookup, sequence } = observer;
      notifications.push({ exchange, lookup, confirmable, reply: replyOf(found, lookup.format, [], sequence) });
    }
    return notifications;
  }

  #view({ lookup: { search, address, only } }: Observer, now: WallTime): SearchView {
    return new SearchView(search, { now, rules: this.#rules, address, only });
  }
}

/** What to tell somebody who observes a lookup. */
export interface Notification {
  readonly exchange: Exchange;
  readonly lookup: Lookup;
  readonly reply: Reply;
  readonly confirmable: boolean;
}

interface Observer {
  readonly exchange: Exchange;
  readonly lookup: Lookup;
  etag: string;
  rows: ReadonlySet<Row>;
  ends: WallTime | undefined;
  sequence: number;
  toldAt: Instant;
  confirmedAt: Instant;
  /** Its result may be another one by now. */
  changed: boolean;
}

/** Of what lookups show, nothing has changed. */
function showsTheSame(before: Registration | undefined, after: Registration | undefined): boolean {
  if (before === undefined || after === undefined) return before === after;
  return (
    before.address === after.address &&
    before.port === after.port &&
    before.transport === after.transport &&
    sameBytes(before.description, after.description)
  );
}

function keyOf({ peer, token }: Exchange): string {
  return `${peer} ${toHex(token)}`;
}

const maxObservers = 64;
const maxForPeer = 8;
const atMostEvery = seconds(1);
const confirmEvery = seconds(60);
const maxInTurn = 4;
const firstSequence = 1;
