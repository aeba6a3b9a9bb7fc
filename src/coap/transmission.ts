import { type Milliseconds, seconds } from '../base/time.ts';

/** The transmission parameters (RFC 7252 §4.8). Everything else follows from these. */
export interface TransmissionParameters {
  readonly ackTimeout: Milliseconds;
  readonly ackRandomFactor: number;
  readonly maxRetransmit: number;
  /** How many interactions may be outstanding with one peer. */
  readonly nstart: number;
  readonly maxLatency: Milliseconds;
}

export const defaultTransmission: TransmissionParameters = {
  ackTimeout: seconds(2),
  ackRandomFactor: 1.5,
  maxRetransmit: 4,
  nstart: 1,
  maxLatency: seconds(100),
};

/** From the first transmission of a CON message to the moment its sender gives up: 93 s by default. */
export function maxTransmitWait(p: TransmissionParameters): Milliseconds {
  return p.ackTimeout * (2 ** (p.maxRetransmit + 1) - 1) * p.ackRandomFactor;
}

/** From the first transmission to the last retransmission: 45 s by default. */
export function maxTransmitSpan(p: TransmissionParameters): Milliseconds {
  return p.ackTimeout * (2 ** p.maxRetransmit - 1) * p.ackRandomFactor;
}

/** For how long a message ID may still come back, and so for how long a duplicate is recognised: 247 s by default. */
export function exchangeLifetime(p: TransmissionParameters): Milliseconds {
  return maxTransmitSpan(p) + 2 * p.maxLatency + p.ackTimeout;
}

/** The first timeout of a CON message, between ACK_TIMEOUT and ACK_TIMEOUT times ACK_RANDOM_FACTOR (RFC 7252 §4.2). */
export function firstTimeout(p: TransmissionParameters, fraction: number): Milliseconds {
  return p.ackTimeout * (1 + (p.ackRandomFactor - 1) * fraction);
}
