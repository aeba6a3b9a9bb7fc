import type { Bytes } from '../../src/base/bytes.ts';
import type { SeededRandom } from '../../src/base/random.ts';
import type { Milliseconds } from '../../src/base/time.ts';
import type { Clock } from './clock.ts';
import type { Journal } from './journal.ts';

/**
 * Datagrams between addresses, and all that happens to them: they are late, lost, doubled, overtaken, damaged, cut,
 * too long, kept by an eavesdropper and sent again, or do not pass at all. Each fault draws from a source of its own, so
 * that switching one off leaves the others as they were.
 */
export class Network {
  faults: NetworkFaults;
  /** Which addresses are cut off from the rest. */
  isCutOff: (address: Address) => boolean = () => false;
  /** Within what time what is sent there is sent again, where that is not the same for everybody. */
  replayWithin: (to: Address) => Milliseconds | undefined = () => undefined;
  /** Stands around each arrival, to see what it changes. */
  arriving: (from: Address, datagram: Bytes, arrive: () => void) => void = (_, __, arrive) => arrive();
  /** Sees what is sent, whatever becomes of it. */
  sending: (from: Address, to: Address, datagram: Bytes) => void = () => {};

  readonly #clock: Clock;
  readonly #journal: Journal;
  readonly #hosts = new Map<string, Host>();
  readonly #chances: Record<Chance, SeededRandom>;

  constructor(clock: Clock, journal: Journal, faults: NetworkFaults, randomFor: (part: string) => SeededRandom) {
    this.#clock = clock;
    this.#journal = journal;
    this.faults = faults;
    this.#chances = Object.fromEntries(chances.map(name => [name, randomFor(name)])) as Record<Chance, SeededRandom>;
  }

  bind(address: Address, host: Host): void {
    this.#hosts.set(keyOf(address), host);
  }

  /** What is sent there from now on gets lost. */
  release(address: Address): void {
    this.#hosts.delete(keyOf(address));
  }

  send(from: Address, to: Address, datagram: Bytes): void {
    this.sending(from, to, datagram);
    const sent = datagram.slice();
    const { faults } = this;
    if (this.isCutOff(from) || this.isCutOff(to)) return this.#journal.datagram('cut off', from, to, sent);
    if (this.#happens('loss')) return this.#journal.datagram('lost', from, to, sent);
    if (faults.mtu > 0 && sent.length > faults.mtu) return this.#journal.datagram('too long', from, to, sent);
    this.#journal.datagram('', from, to, sent);
    this.#deliver(from, to, this.#damaged(sent), this.#latency());
    if (this.#happens('duplicate')) this.#deliver(from, to, sent, this.#latency());
    if (this.#happens('replay')) {
      const within = this.replayWithin(to) ?? faults.replayWithin;
      const later = 1 + this.#chances.replay.fraction() * within;
      this.#deliver(from, to, sent, later);
    }
  }

  #damaged(sent: Bytes): Bytes {
    if (sent.length > 0 && this.#happens('corrupt')) {
      const bad = sent.slice();
      bad[this.#chances.corrupt.below(bad.length)]! ^= 1 << this.#chances.corrupt.below(8);
      return bad;
    }
    if (this.#happens('truncate')) return sent.slice(0, this.#chances.truncate.below(sent.length + 1));
    return sent;
  }

  #deliver(from: Address, to: Address, datagram: Bytes, latency: Milliseconds): void {
    this.#clock.after(latency, () => {
      if (this.isCutOff(from) || this.isCutOff(to)) return;
      const host = this.#hosts.get(keyOf(to));
      if (host === undefined) return;
      const handed = datagram.slice();
      this.arriving(from, datagram, () => host(from, handed));
      // What was handed in is the caller's again: whoever kept a view of it now holds rubbish.
      handed.fill(0xee);
    });
  }

  #latency(): Milliseconds {
    const { latency, jitter } = this.faults;
    return latency + (jitter === 0 ? 0 : this.#chances.jitter.fraction() * jitter);
  }

  #happens(fault: Exclude<Chance, 'jitter'>): boolean {
    const chance = this.faults[fault];
    return chance > 0 && this.#chances[fault].fraction() < chance;
  }
}

/** Chances are in [0, 1], for each datagram; times in milliseconds. */
export interface NetworkFaults {
  readonly latency: Milliseconds;
  /** Up to how much more: datagrams overtake each other. */
  readonly jitter: Milliseconds;
  readonly loss: number;
  readonly duplicate: number;
  /** One bit is turned over. */
  readonly corrupt: number;
  readonly truncate: number;
  /** An eavesdropper sends it once more. */
  readonly replay: number;
  readonly replayWithin: Milliseconds;
  /** Longer datagrams do not pass; 0 for any length. */
  readonly mtu: number;
}

export const calmNetwork: NetworkFaults = {
  latency: 20,
  jitter: 0,
  loss: 0,
  duplicate: 0,
  corrupt: 0,
  truncate: 0,
  replay: 0,
  replayWithin: 0,
  mtu: 0,
};

export interface Address {
  readonly address: string;
  readonly port: number;
}

export type Host = (from: Address, datagram: Bytes) => void;

export function keyOf({ address, port }: Address): string {
  return `${address} ${port}`;
}

const chances = ['jitter', 'loss', 'duplicate', 'corrupt', 'truncate', 'replay'] as const;
type Chance = (typeof chances)[number];
