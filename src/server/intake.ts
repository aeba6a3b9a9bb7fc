import type { Bytes } from '../base/bytes.ts';
import type { Remote } from '../base/peer.ts';
import type { Milliseconds } from '../base/time.ts';
import { bringsCookie } from '../dtls/codec/clientHello.ts';
import { HandshakeType, handshakeHeaderLength } from '../dtls/codec/handshake.ts';
import { ContentType, recordHeaderLength } from '../dtls/codec/record.ts';
import { connectionIdLength } from '../dtls/connectionId.ts';

/**
 * Where DTLS datagrams come in: devices that have a session, or are about to, go first; ClientHellos wait until the socket
 * has been read to its end and are then served for a short while. What does not fit is left unanswered: the client sends
 * it again, later each time, and so a herd spreads itself. It is left out here, where one can tell who waits, and not in
 * the system's buffer, where a record of a device is lost as easily as a hello.
 *
 * Hellos with a cookie and hellos without one take turns. So no more cookies are given out than come back to be served,
 * and a flood of one kind leaves the other its half.
 */
export class Intake {
  readonly counters: IntakeCounters = { loopBehind: 0, storeBehind: 0 };
  readonly #parts: IntakeParts;
  readonly #first = new Line();
  readonly #withCookie = new Line();
  #isDeferred = false;
  #readInTurn = 0;
  #lastServed: Milliseconds = 0;

  constructor(parts: IntakeParts) {
    this.#parts = parts;
  }

  receive(remote: Remote, datagram: Bytes): void {
    this.#readInTurn++;
    const at = clientHelloIn(datagram);
    if (at === undefined) return this.#parts.receive(remote, datagram);
    const { maxCommits, maxHellos } = this.#parts.limits;
    const line = bringsCookie(datagram, at + helloOffset) ? this.#withCookie : this.#first;
    if (this.#parts.commits() >= maxCommits) this.counters.storeBehind++;
    else if (line.length >= maxHellos) this.counters.loopBehind++;
    else {
      line.push({ remote, datagram });
      this.#defer();
    }
  }

  #serve(): void {
    this.#isDeferred = false;
    const now = this.#parts.clock();
    const isMoreToRead = this.#readInTurn >= mostReadInTurn;
    this.#readInTurn = 0;
    if (isMoreToRead && now - this.#lastServed < patienceMilliseconds) return this.#defer();
    const until = now + sliceMilliseconds;
    do {
      this.#serveOne(this.#withCookie);
      this.#serveOne(this.#first);
    } while (this.#isWaiting && this.#parts.clock() < until);
    this.#lastServed = this.#parts.clock();
    if (this.#isWaiting) this.#defer();
  }

  #serveOne(line: Line): void {
    const next = line.shift();
    if (next !== undefined) this.#parts.receive(next.remote, next.datagram);
  }

  get #isWaiting(): boolean {
    return this.#first.length + this.#withCookie.length > 0;
  }

  #defer(): void {
    if (this.#isDeferred) return;
    this.#isDeferred = true;
    this.#parts.defer(() => this.#serve());
  }
}

export interface IntakeParts {
  readonly limits: IntakeLimits;
  receive(remote: Remote, datagram: Bytes): void;
  /** How many commits are under way: if the disk cannot keep up, one more session makes it worse. */
  commits(): number;
  /** Calls `run` after what has arrived was read, and before the socket is read again. */
  defer(run: () => void): void;
  clock(): Milliseconds;
}

export interface IntakeLimits {
  /** With a cookie, and as many without. */
  readonly maxHellos: number;
  readonly maxCommits: number;
}

export interface IntakeCounters {
  /** Hellos left unanswered since too many waited for their turn. */
  loopBehind: number;
  /** Hellos left unanswered since too many commits waited for the disk. */
  storeBehind: number;
}

export const intakeLimits: IntakeLimits = { maxHellos: 512, maxCommits: 8192 };

interface Waiting {
  readonly remote: Remote;
  readonly datagram: Bytes;
}

/** First in, first out, at a cost that does not depend on how many wait. */
class Line {
  #items: Waiting[] = [];
  #next = 0;

  get length(): number {
    return this.#items.length - this.#next;
  }

  push(item: Waiting): void {
    this.#items.push(item);
  }

  shift(): Waiting | undefined {
    const item = this.#items[this.#next];
    if (item === undefined) return undefined;
    this.#next++;
    // Half of it has been served: the rest moves, once for each that was served at most.
    if (this.#next * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#next);
      this.#next = 0;
    }
    return item;
  }
}

/**
 * Where the first record stands that begins a hello, behind whatever others. Nobody is trusted for it: it only says who
 * waits.
 */
function clientHelloIn(datagram: Bytes): number | undefined {
  for (let at = 0; at + recordHeaderLength < datagram.length; ) {
    const fragment = at + recordHeaderLength + (datagram[at] === ContentType.tls12Cid ? connectionIdLength : 0);
    const isInClear = datagram[at + 3] === 0 && datagram[at + 4] === 0;
    const isHello = datagram[at] === ContentType.handshake && datagram[fragment] === HandshakeType.clientHello;
    if (isHello && isInClear) return at;
    at = fragment + ((datagram[fragment - 2] ?? 0) << 8) + (datagram[fragment - 1] ?? 0);
  }
  return undefined;
}

const helloOffset = recordHeaderLength + handshakeHeaderLength;
/** About forty hellos. */
const sliceMilliseconds: Milliseconds = 1;
/** libuv reads so many datagrams of a socket before it does anything else: after fewer, there are no more. */
const mostReadInTurn = 32;
/** However much there is to read, hellos have a fiftieth of the time. */
const patienceMilliseconds: Milliseconds = 50;
