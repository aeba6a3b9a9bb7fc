import type { Logger } from 'pino';
import { defaultLimits as coapLimits } from '../coap/settings.ts';
import { maxHeld, maxHolding } from '../dtls/associationSender.ts';
import { earlyLimits } from '../dtls/earlyData.ts';
import { maxMoves } from '../dtls/moves.ts';
import { defaultLimits as dtlsLimits } from '../dtls/settings.ts';
import { observerLimits } from '../service/observers.ts';
import { maxWaiting } from './decisions.ts';
import { intakeLimits } from './intake.ts';
import { maxPlainPeers } from './plainPeers.ts';
import { linesPerSecond } from './report.ts';
import { questionLimits } from './waitingQuestions.ts';

/**
 * Everything that is bounded: by which name the log and the counters know it, and what happens to whoever meets it.
 * `docs/limits.md` is this table, and a test compares them.
 */
export interface Limit {
  readonly name: string;
  readonly standard: string;
  /** Of `rollcall serve`, if it can be set. */
  readonly option?: string;
  /** What happens beyond it. */
  readonly bites: string;
  /** Where it is counted, as a path into `LimitCounters`. */
  readonly counter: string;
}

const { operators, others } = observerLimits;
const { handshakeRate, failuresPerNetwork, handshakesPerIdentity } = dtlsLimits;

export const limits: readonly Limit[] = [
  {
    name: 'sessions',
    standard: count(dtlsLimits.maxAssociations),
    option: '--max-sessions',
    bites: 'The session that was heard least recently ends; its device handshakes anew.',
    counter: 'dtls.evicted',
  },
  {
    name: 'session-idle',
    standard: days(dtlsLimits.idleTimeout),
    option: '--session-idle',
    bites: 'A session of which nothing was heard for so long ends.',
    counter: 'server.closed.idle',
  },
  {
    name: 'session-age',
    standard: days(dtlsLimits.maxAge),
    option: '--session-age',
    bites: 'An older session ends with the next record that comes; its device handshakes anew.',
    counter: 'server.closed.too-old',
  },
  {
    name: 'handshakes',
    standard: count(dtlsLimits.maxHandshakes),
    option: '--max-handshakes',
    bites: 'A handshake whose client has been silent goes for the new one, or the new one is left unanswered.',
    counter: 'dtls.handshakesFull',
  },
  {
    name: 'handshakes-per-network',
    standard: count(dtlsLimits.maxHandshakesPerNetwork),
    option: '--max-handshakes-per-network',
    bites: 'Hellos from the same IPv4 /24 or IPv6 /64 are left unanswered.',
    counter: 'dtls.networkFull',
  },
  {
    name: 'handshake-rate',
    standard: Number.isFinite(handshakeRate.perSecond) ? count(handshakeRate.perSecond) : 'off',
    option: '--handshake-rate',
    bites: 'Further hellos of that second are left unanswered.',
    counter: 'dtls.handshakeRate',
  },
  {
    name: 'failures-per-network',
    standard: count(failuresPerNetwork.perSecond),
    option: '--failures-per-network',
    bites: 'After forty seconds of more failed handshakes than that, hellos from the network are left unanswered.',
    counter: 'dtls.failureRate',
  },
  {
    name: 'handshakes-per-identity',
    standard: count(handshakesPerIdentity.perSecond * 60),
    option: '--handshakes-per-identity',
    bites:
      'After ten at once, a handshake that would succeed is left unanswered, and so is a hello that resumes; the session that is there stays.',
    counter: 'dtls.identityRate',
  },
  {
    name: 'waiting-hellos',
    standard: `${intakeLimits.maxHellos} with a cookie, ${intakeLimits.maxHellos} without`,
    bites: 'Hellos are left unanswered while so many wait for their turn: devices with a session go first.',
    counter: 'intake.loopBehind',
  },
  {
    name: 'waiting-commits',
    standard: count(intakeLimits.maxCommits),
    bites: 'Hellos are left unanswered while so many changes wait for the disk.',
    counter: 'intake.storeBehind',
  },
  {
    name: 'held-messages',
    standard: `${maxHeld}, of ${count(maxHolding)} sessions`,
    bites: 'A message to a device whose next sequence numbers are not durable yet is dropped; CoAP sends it again.',
    counter: 'dtls.starved',
  },
  {
    name: 'early-data',
    standard: `${earlyLimits.records} records, of ${count(earlyLimits.sessions)} sessions`,
    bites: 'What a device that resumes says before its session is durable is dropped; CoAP sends it again.',
    counter: 'dtls.earlyFull',
  },
  {
    name: 'unproved-address',
    standard: '3 × what came',
    bites: 'Nothing more goes to the new address of a device until it is proved.',
    counter: 'dtls.unprovedAddress',
  },
  {
    name: 'moves',
    standard: count(maxMoves),
    bites: 'The address move that began first is forgotten; the next record from there begins it again.',
    counter: 'dtls.movesFull',
  },
  {
    name: 'exchanges',
    standard: count(coapLimits.maxExchanges),
    bites: 'A request that must not be done twice is answered 5.03 while so many answers are owed or remembered.',
    counter: 'coap.exchangesRefused',
  },
  {
    name: 'body-size',
    standard: `${count(coapLimits.maxBody)} bytes`,
    bites: 'A longer body is answered 4.13 with the longest that is taken.',
    counter: 'coap.bodiesTooLong',
  },
  {
    name: 'bodies',
    standard: count(coapLimits.maxBodies),
    bites: 'The half-received body whose last block came first makes room for another.',
    counter: 'coap.bodiesDisplaced',
  },
  {
    name: 'requests',
    standard: `${count(coapLimits.maxRequests)}, ${coapLimits.maxQueuedForPeer} of a device`,
    bites: 'The server asks no more of the device, or of any, until an answer has come.',
    counter: 'coap.requestsRefused',
  },
  {
    name: 'observers',
    standard: `${count(operators.all)} of operators, ${others.all} others`,
    bites: 'Who would observe a lookup or last values is answered once, and told no more.',
    counter: 'service.observersRefused',
  },
  {
    name: 'observers-of-one',
    standard: `${operators.each} of an operator, ${others.each} of any other`,
    bites: 'The same, for one session or address.',
    counter: 'service.observersOfOneRefused',
  },
  {
    name: 'questions',
    standard: `${questionLimits.all} of operators, ${questionLimits.all} others, of whom ${questionLimits.each} of one`,
    bites: 'Half of the time is for questions: one behind so many that wait is answered 5.03.',
    counter: 'server.questionsRefused',
  },
  {
    name: 'waiting-answers',
    standard: count(maxWaiting),
    bites: 'A request whose answer rests on what is on its way to the disk is answered 5.03 while so many wait for it.',
    counter: 'server.waitingRefused',
  },
  {
    name: 'plain-peers',
    standard: count(maxPlainPeers),
    bites: 'What was kept for the address on plain CoAP that came first is forgotten.',
    counter: 'server.plainDisplaced',
  },
  {
    name: 'log-lines',
    standard: `${linesPerSecond} a second`,
    bites: 'Lines about strangers are left out; the next one says how many.',
    counter: 'server.linesSuppressed',
  },
];

/** Of all machines, by the name that a limit's `counter` begins with. */
export type LimitCounters = Readonly<Record<'dtls' | 'coap' | 'server' | 'intake' | 'service', object>>;

/** How often a limit has bitten so far. */
export function timesBitten({ counter }: Limit, counters: LimitCounters): number {
  let at: unknown = counters;
  for (const name of counter.split('.')) at = (at as Record<string, unknown> | undefined)?.[name];
  return typeof at === 'number' ? at : 0;
}

/**
 * Names the limits that have bitten since the last look, one line each: a flood that meets a limit a million times is
 * one line.
 */
export class LimitWatch {
  readonly #counters: LimitCounters;
  readonly #log: Logger;
  readonly #seen = new Map<Limit, number>();

  constructor(counters: LimitCounters, log: Logger) {
    this.#counters = counters;
    this.#log = log;
  }

  look(): void {
    for (const limit of limits) {
      const times = timesBitten(limit, this.#counters);
      const before = this.#seen.get(limit) ?? 0;
      if (times === before) continue;
      this.#seen.set(limit, times);
      const { name, option, counter } = limit;
      this.#log.warn({ msg: 'limit', limit: name, times: times - before, counter, ...(option && { option }) });
    }
  }
}

function count(number: number): string {
  return String(number).replaceAll(/\B(?=(\d{3})+$)/g, ',');
}

function days(milliseconds: number): string {
  return `${milliseconds / 86_400_000}d`;
}
