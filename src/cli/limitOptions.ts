import { type Command, InvalidArgumentError, Option } from 'commander';
import { days, type Milliseconds } from '../base/time.ts';
import { type DtlsLimits, defaultLimits } from '../dtls/settings.ts';
import { wholeNumber } from './options.ts';

/** The limits that an operator may set; what happens beyond each stands in docs/limits.md. */
export function withLimitOptions(command: Command): Command {
  const add = (flags: string, description: string, standard: number | string, parse: (text: string) => unknown) =>
    command.addOption(new Option(flags, description).default(standard).argParser(parse));
  const { maxAssociations, maxHandshakes, maxHandshakesPerNetwork } = defaultLimits;
  const { failuresPerNetwork, handshakesPerIdentity } = defaultLimits;
  add('--max-sessions <count>', 'DTLS sessions at a time', maxAssociations, atMost(10_000_000));
  add('--session-idle <duration>', 'a session ends after such a silence', inDays('idleTimeout'), duration);
  add('--session-age <duration>', 'a session ends at this age', inDays('maxAge'), duration);
  add('--max-handshakes <count>', 'handshakes under way', maxHandshakes, wholeNumber);
  add('--max-handshakes-per-network <count>', 'for each IPv4 /24 or IPv6 /64', maxHandshakesPerNetwork, wholeNumber);
  add('--handshake-rate <per second>', 'handshakes that begin, or off', 'off', rate);
  add('--failures-per-network <per second>', 'handshakes that fail, or off', failuresPerNetwork.perSecond, rate);
  add(
    '--handshakes-per-identity <per minute>',
    'handshakes that succeed, or off',
    handshakesPerIdentity.perSecond * 60,
    rate,
  );
  add('--dtls-timeout <duration>', 'before a flight is sent again; 9s for slow links', '1s', duration);
  return command;
}

/** As commander hands them over: a default is as it was written, and everything else was parsed. */
export interface LimitOptions {
  readonly maxSessions: number;
  readonly sessionIdle: Milliseconds | string;
  readonly sessionAge: Milliseconds | string;
  readonly maxHandshakes: number;
  readonly maxHandshakesPerNetwork: number;
  readonly handshakeRate: number | string;
  readonly failuresPerNetwork: number;
  readonly handshakesPerIdentity: number;
  readonly dtlsTimeout: Milliseconds | string;
}

export function dtlsLimits(options: LimitOptions): Partial<DtlsLimits> {
  const perSecond = rate(String(options.handshakeRate));
  const { failuresPerNetwork, handshakesPerIdentity } = options;
  const firstTimeout = duration(options.dtlsTimeout);
  return {
    maxAssociations: options.maxSessions,
    idleTimeout: duration(options.sessionIdle),
    maxAge: duration(options.sessionAge),
    maxHandshakes: options.maxHandshakes,
    maxHandshakesPerNetwork: options.maxHandshakesPerNetwork,
    handshakeRate: { perSecond, burst: perSecond },
    failuresPerNetwork: { perSecond: failuresPerNetwork, burst: 40 * failuresPerNetwork },
    handshakesPerIdentity: {
      perSecond: handshakesPerIdentity / 60,
      burst: Math.max(defaultLimits.handshakesPerIdentity.burst, handshakesPerIdentity),
    },
    firstTimeout,
    // A flight is sent four times more at least, the time between them doubling: 1 + 2 + 4 + 8.
    giveUpAfter: Math.max(defaultLimits.giveUpAfter, 15 * firstTimeout),
  };
}

/** `90s`, `15m`, `12h` or `7d`, in milliseconds. */
export function duration(text: Milliseconds | string): Milliseconds {
  if (typeof text === 'number') return text;
  const match = /^([1-9]\d{0,5})([smhd])$/.exec(text);
  if (match === null) throw new InvalidArgumentError('expected a duration, e.g. 90s, 15m, 12h or 7d');
  return Number(match[1]) * { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[match[2] as 's' | 'm' | 'h' | 'd'];
}

function rate(text: string): number {
  return text === 'off' || text === 'Infinity' ? Number.POSITIVE_INFINITY : wholeNumber(text);
}

function atMost(most: number): (text: string) => number {
  return text => {
    const number = wholeNumber(text);
    if (number > most) throw new InvalidArgumentError(`expected at most ${most}`);
    return number;
  };
}

function inDays(limit: 'idleTimeout' | 'maxAge'): string {
  return `${defaultLimits[limit] / days(1)}d`;
}
