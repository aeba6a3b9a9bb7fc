import { toHex } from '../base/bytes.ts';
import { Deadlines } from '../base/deadlines.ts';
import type { Peer } from '../base/peer.ts';
import { after, type Instant, type Milliseconds, type Now, seconds, type WallTime } from '../base/time.ts';
import type { Reply, Request } from '../coap/codec/message.ts';
import { Observe } from '../coap/codec/option.ts';
import type { Exchange } from '../coap/exchange.ts';
import type { Row } from '../fleet/names.ts';
import type { Commit, DeviceChange, Store, View } from '../fleet/store.ts';
import type { ValuePath } from '../lwm2m/path.ts';
import { type Result, replyOf } from './lookupResult.ts';

/**
 * What can be observed (RFC 7641): a lookup (RFC 9176 §6.2), or the last values of a device. It says which changes may
 * show in it, and what it is now.
 */
export interface Observed {
  /** What was asked, for whoever keeps the rest of a long answer. */
  readonly key: string;
  /** The one device that it is about; `undefined` if any may be. */
  readonly row: Row | undefined;
  /**
   * Whether a change of a device's record may show in a result that has these rows. Where nothing but a look into the
   * record tells, `mayLook` is asked for the time that it takes, in milliseconds: without it, it may show.
   */
  showsRecord(change: DeviceChange, rows: ReadonlySet<Row>, wall: WallTime, mayLook: MayLook): boolean;
  showsValue(path: ValuePath): boolean;
  /** `later`: what it rests on is not durable yet. A `Reply` is the last that is said of it (RFC 7641 §4.2). */
  look(turn: ObserverTurn): Result | Reply | 'later';
}

export interface ObserverTurn {
  readonly now: Now;
  readonly view: View;
  readonly find: Store['find'];
}

export type MayLook = (effort: Milliseconds) => boolean;

/** Who observes: an operator may more, and has room of his own that nobody else takes. */
export interface Observing {
  readonly exchange: Exchange;
  readonly isOperator: boolean;
}

/**
 * Who observes what: told when it has changed, at most once in a while however often that happens. Bounded, in all and
 * for each peer; who finds no room is answered and not told more. In memory only: after a restart clients observe anew.
 *
 * Call `committed` for what is durable, `touched` for what another process wrote, `due` when `nextDue` has come.
 */
export class Observers {
  readonly counters = { observersRefused: 0, observersOfOneRefused: 0 };
  readonly #byPeer = new Map<Peer, Map<string, Observer>>();
  /** Those of what any device may show in. */
  readonly #ofAll = new Set<Observer>();
  readonly #byRow = new Map<Row, Set<Observer>>();
  /** When to look at one again: it may have changed, or a part of it ends by itself. */
  readonly #due = new Deadlines<Observer>();
  readonly #count = { operators: 0, others: 0 };
  /** Of the newest answer or notification of all. */
  #sequence = 0;
  /** When the time that was spent on looking into records is made up for. */
  #lookedUntil = 0 as Instant;

  get size(): number {
    return this.#count.operators + this.#count.others;
  }

  /** The sequence number of the answer, or `undefined` if there is no room. The same token again begins anew. */
  begin({ exchange, isOperator }: Observing, observed: Observed, result: Result, now: Now): number | undefined {
    this.end(exchange);
    const mine = this.#byPeer.get(exchange.peer) ?? new Map<string, Observer>();
    const group = isOperator ? 'operators' : 'others';
    if (mine.size >= observerLimits[group].each) {
      this.counters.observersOfOneRefused++;
      return undefined;
    }
    if (this.#count[group] >= observerLimits[group].all) {
      this.counters.observersRefused++;
      return undefined;
    }
    const observer: Observer = {
      exchange,
      observed,
      group,
      etag: toHex(result.etag),
      rows: result.rows,
      ends: result.ends,
      toldAt: now.instant,
      confirmedAt: now.instant,
      changed: false,
    };
    this.#byPeer.set(exchange.peer, mine.set(toHex(exchange.token), observer));
    this.#placeOf(observed).add(observer);
    this.#count[group]++;
    this.#arm(observer, now);
    return this.#nextSequence(now);
  }

  /** Its client wants to be told no more under this token, or asks anew: the answer takes the place of any notification. */
  end(exchange: Exchange): void {
    const observer = this.#byPeer.get(exchange.peer)?.get(toHex(exchange.token));
    if (observer === undefined) return;
    exchange.notified = observer.exchange.notified;
    this.#remove(observer);
  }

  /** Whoever was notified did not want it, or has gone; unless it has asked anew since then. */
  unobserved(exchange: Exchange): void {
    const observer = this.#byPeer.get(exchange.peer)?.get(toHex(exchange.token));
    if (observer?.exchange === exchange) this.#remove(observer);
  }

  /** The peer is gone: its session ended, or its address is somebody else's. */
  drop(peer: Peer): void {
    for (const observer of this.#byPeer.get(peer)?.values() ?? []) this.#remove(observer);
  }

  /** Changes are durable: whose result may they concern? */
  committed({ devices, values = [] }: Commit, now: Now): void {
    if (this.size === 0) return;
    const mayLook: MayLook = effort => this.#mayLook(effort, now);
    for (const change of devices) {
      for (const observer of this.#about(change.record.row)) {
        if (observer.changed || !observer.observed.showsRecord(change, observer.rows, now.wall, mayLook)) continue;
        this.#mark(observer, now);
      }
    }
    for (const { row, value } of values) {
      for (const observer of this.#byRow.get(row) ?? []) {
        if (!observer.changed && observer.observed.showsValue(value.path)) this.#mark(observer, now);
      }
    }
  }

  /** Somebody else changed what stands in a row. */
  touched(row: Row, now: Now): void {
    for (const observer of this.#about(row)) {
      if (observer.rows.has(row) || observer.observed.row === row) this.#mark(observer, now);
    }
  }

  /** When `due` has something to do. */
  nextDue(): Instant | undefined {
    return this.#due.next();
  }

  /** The notifications that are due, a few in a turn. */
  due(turn: ObserverTurn): Notification[] {
    const { now } = turn;
    const notifications: Notification[] = [];
    for (let looked = 0; looked < maxInTurn; looked++) {
      const observer = this.#due.takeDue(now.instant);
      if (observer === undefined) break;
      observer.changed = false;
      observer.toldAt = now.instant;
      const notification = this.#look(observer, turn);
      if (notification !== undefined) notifications.push(notification);
    }
    return notifications;
  }

  /**
   * A change is looked at for each of those who observe, within the turn of whoever made it. That has a tenth of the time;
   * beyond it they count as changed, once each, and look again when they are due, in the time that questions have.
   */
  #mayLook(effort: Milliseconds, { instant }: Now): boolean {
    if (this.#lookedUntil > instant + looksAtOnce) return false;
    this.#lookedUntil = after(Math.max(this.#lookedUntil, instant) as Instant, effort * looksShare);
    return true;
  }

  #look(observer: Observer, turn: ObserverTurn): Notification | undefined {
    const { now } = turn;
    const { exchange, observed } = observer;
    const found = observed.look(turn);
    if (found === 'later') {
      this.#mark(observer, now);
      return undefined;
    }
    if ('code' in found) {
      this.#remove(observer);
      return { exchange, key: observed.key, confirmable: true, reply: found };
    }
    observer.rows = found.rows;
    observer.ends = found.ends;
    this.#arm(observer, now);
    if (toHex(found.etag) === observer.etag) return undefined;
    observer.etag = toHex(found.etag);
    // Now and then one has to be acknowledged, so that nobody is told for ever who went away (RFC 7641 §4.5).
    const confirmable = now.instant >= observer.confirmedAt + confirmEvery;
    if (confirmable) observer.confirmedAt = now.instant;
    return { exchange, key: observed.key, confirmable, reply: replyOf(found, [], this.#nextSequence(now)) };
  }

  /**
   * Greater than any that was given for the same token before (RFC 7641 §4.4), also by an earlier process: a client that
   * asks anew would take what follows for older than what it has.
   */
  #nextSequence({ wall }: Now): number {
    this.#sequence = Math.max(this.#sequence + 1, Math.floor(wall));
    return this.#sequence % 2 ** 24;
  }

  #remove(observer: Observer): void {
    const { exchange, observed, group } = observer;
    const mine = this.#byPeer.get(exchange.peer);
    mine?.delete(toHex(exchange.token));
    if (mine?.size === 0) this.#byPeer.delete(exchange.peer);
    const place = this.#placeOf(observed);
    place.delete(observer);
    if (place.size === 0 && observed.row !== undefined) this.#byRow.delete(observed.row);
    this.#due.clear(observer);
    this.#count[group]--;
  }

  #mark(observer: Observer, now: Now): void {
    observer.changed = true;
    this.#arm(observer, now);
  }

  #arm(observer: Observer, { instant, wall }: Now): void {
    const { changed, ends, toldAt } = observer;
    if (!changed && ends === undefined) return this.#due.clear(observer);
    const wanted = changed ? instant : instant + Math.max(0, ends! - wall);
    this.#due.set(observer, Math.max(wanted, after(toldAt, atMostEvery)) as Instant);
  }

  *#about(row: Row): Iterable<Observer> {
    yield* this.#ofAll;
    yield* this.#byRow.get(row) ?? [];
  }

  #placeOf({ row }: Observed): Set<Observer> {
    if (row === undefined) return this.#ofAll;
    const place = this.#byRow.get(row) ?? new Set<Observer>();
    this.#byRow.set(row, place);
    return place;
  }
}

/**
 * 0 from whoever wants to observe, 1 from whoever does not any more (RFC 7641 §2). Who asks for the rest of an answer is no
 * observer for that: his answer would not say so (RFC 7959 §2.6).
 */
export function observeOf({ options }: Request, { block2 }: Exchange): number | undefined {
  const observe = options.get(Observe);
  return observe === 0 && block2 !== undefined && block2.number > 0 ? undefined : observe;
}

/** What to tell somebody who observes. */
export interface Notification {
  readonly exchange: Exchange;
  readonly key: string;
  readonly reply: Reply;
  readonly confirmable: boolean;
}

interface Observer {
  readonly exchange: Exchange;
  readonly observed: Observed;
  readonly group: 'operators' | 'others';
  etag: string;
  rows: ReadonlySet<Row>;
  ends: WallTime | undefined;
  toldAt: Instant;
  confirmedAt: Instant;
  /** Its result may be another one by now. */
  changed: boolean;
}

/** Devices, and who observes on plain CoAP, take no room from operators. */
export const observerLimits = { operators: { all: 1024, each: 128 }, others: { all: 64, each: 8 } } as const;
const atMostEvery = seconds(1);
const confirmEvery = seconds(60);
const maxInTurn = 2;
/** Looking into records has one in so many milliseconds; and at once as much as two milliseconds. */
const looksShare = 10;
const looksAtOnce: Milliseconds = 2 * looksShare;
