import type { Logger } from 'pino';
import { textOf, toHex } from '../base/bytes.ts';
import { codeText } from '../coap/codec/code.ts';
import type { HandshakeReport } from '../dtls/fault.ts';
import type { Report } from './datapathParts.ts';

/**
 * Tells the operator what happened: counters for all of it, a log line for what went wrong. Lines about strangers are
 * limited, so that a flood fills no disk; how many were left out, the next line says.
 */
export function createReport(log: Logger, failed: (report: HandshakeReport) => void = () => undefined): ServerReport {
  const counters: ServerCounters = {
    answers: {},
    refusals: {},
    handshakeFaults: {},
    closed: {},
    events: {},
    sessions: 0,
    moves: 0,
    plainDisplaced: 0,
    questionsRefused: 0,
    waitingRefused: 0,
    linesSuppressed: 0,
  };
  const limited = limitedLog(log, () => counters.linesSuppressed++);
  return {
    counters,
    session() {
      counters.sessions++;
    },
    moved() {
      counters.moves++;
    },
    displaced() {
      counters.plainDisplaced++;
    },
    busy() {
      counters.questionsRefused++;
    },
    crowded() {
      counters.waitingRefused++;
    },
    closed(_peer, reason) {
      count(counters.closed, reason);
    },
    handshake(handshake) {
      const { remote, fault, identity, detail } = handshake;
      failed(handshake);
      count(counters.handshakeFaults, fault);
      limited({
        msg: 'handshake failed',
        reason: fault,
        address: remote.address,
        port: remote.port,
        ...(identity === undefined ? {} : { identity: textOf(identity) ?? `hex:${toHex(identity)}` }),
        ...(detail === undefined ? {} : { detail }),
      });
    },
    refusal({ reason, detail }, code, context) {
      count(counters.refusals, reason);
      limited({
        msg: 'request refused',
        reason,
        code: codeText(code),
        address: context.address,
        port: context.port,
        ...(detail === undefined ? {} : { detail }),
      });
    },
    refused(fault, code, { address, port }) {
      count(counters.refusals, fault);
      const answer = code === undefined ? {} : { code: codeText(code) };
      limited({ msg: 'message refused', reason: fault, ...answer, address, port });
    },
    answered(code) {
      count(counters.answers, codeText(code));
    },
    committed({ events }) {
      for (const { type } of events) count(counters.events, type);
    },
    broken(what, error) {
      limited({ msg: what, error: String(error) }, 'error');
    },
    unavailable(why) {
      limited({ msg: 'request put off', reason: why === 'failed' ? 'store-failed' : 'store-conflict' });
    },
  };
}

/** What the server tells besides what the loop does. */
export interface ServerReport extends Report {
  readonly counters: ServerCounters;
  /** Something of ours failed, e.g. the disk, and the server goes on. */
  broken(what: string, error: unknown): void;
}

export interface ServerCounters {
  /** By CoAP code, e.g. `2.01`. */
  readonly answers: Record<string, number>;
  readonly refusals: Record<string, number>;
  readonly handshakeFaults: Record<string, number>;
  readonly closed: Record<string, number>;
  readonly events: Record<string, number>;
  sessions: number;
  /** Devices that were heard, and proved to be, at another address. */
  moves: number;
  /** Addresses on plain CoAP that made room for another. */
  plainDisplaced: number;
  /** Lookups that were put off, since as many waited for their turn as may. */
  questionsRefused: number;
  /** Requests that were put off, since as many answers waited for the disk as may. */
  waitingRefused: number;
  /** Lines that the log was spared. */
  linesSuppressed: number;
}

function count(table: Record<string, number>, key: string): void {
  table[key] = (table[key] ?? 0) + 1;
}

function limitedLog(
  log: Logger,
  leftOut: () => void,
): (line: Record<string, unknown>, level?: 'warn' | 'error') => void {
  let second = 0;
  let lines = 0;
  let suppressed = 0;
  return (line, level = 'warn') => {
    const now = Math.floor(Date.now() / 1000);
    if (now !== second) {
      second = now;
      lines = 0;
    }
    if (++lines > linesPerSecond) {
      suppressed++;
      leftOut();
      return;
    }
    log[level](suppressed === 0 ? line : { ...line, suppressed });
    suppressed = 0;
  };
}

export const linesPerSecond = 20;
