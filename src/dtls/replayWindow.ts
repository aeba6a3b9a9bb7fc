/**
 * The anti-replay window of one direction (RFC 6347 §4.1.2.6): the highest sequence number that opened, and which of
 * the 64 up to it did. Ask `isNew`, open the record, and only then `mark`: a forged record must not move the window.
 */
export interface ReplayWindow {
  /** `-1` before the first record. */
  highest: number;
  /** Bit 0 stands for `highest`, bit 31 for `highest - 31`. */
  recent: number;
  /** Bit 0 stands for `highest - 32`. */
  older: number;
}

export function newReplayWindow(): ReplayWindow {
  return { highest: -1, recent: 0, older: 0 };
}

export function isNew(window: ReplayWindow, sequence: number): boolean {
  const behind = window.highest - sequence;
  if (behind < 0) return true;
  if (behind >= windowSize) return false;
  return ((behind < 32 ? window.recent >>> behind : window.older >>> (behind - 32)) & 1) === 0;
}

export function mark(window: ReplayWindow, sequence: number): void {
  const ahead = sequence - window.highest;
  if (ahead <= 0) {
    const behind = -ahead;
    if (behind < 32) window.recent |= 1 << behind;
    else if (behind < windowSize) window.older |= 1 << (behind - 32);
    return;
  }
  if (ahead >= windowSize) {
    window.older = 0;
    window.recent = 1;
  } else if (ahead >= 32) {
    window.older = window.recent << (ahead - 32);
    window.recent = 1;
  } else {
    window.older = (window.older << ahead) | (window.recent >>> (32 - ahead));
    window.recent = (window.recent << ahead) | 1;
  }
  window.highest = sequence;
}

/** Nothing up to `sequence` is new any more; what came after it stays as it is. */
export function markAllUpTo(window: ReplayWindow, sequence: number): void {
  if (sequence > window.highest) {
    window.highest = sequence;
    window.recent = -1;
    window.older = -1;
    return;
  }
  const behind = window.highest - sequence;
  if (behind < 32) window.recent |= -1 << behind;
  window.older |= behind <= 32 ? -1 : behind < windowSize ? -1 << (behind - 32) : 0;
}

const windowSize = 64;
