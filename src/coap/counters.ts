/** What was dropped or refused, by reason. */
export interface CoapCounters {
  malformed: number;
  duplicates: number;
  badOptions: number;
  unmatched: number;
  /** Notifications that were overtaken by a newer one. */
  stale: number;
  exchangesRefused: number;
  /** Requests whose blocks do not fit, whose body is too long, or comes from an address that nobody proved. */
  bodiesRefused: number;
  /** Those of them whose body is too long. */
  bodiesTooLong: number;
  /** Half-received bodies that made room for another one. */
  bodiesDisplaced: number;
  requestsRefused: number;
  retransmissions: number;
}

export function newCounters(): CoapCounters {
  return {
    malformed: 0,
    duplicates: 0,
    badOptions: 0,
    unmatched: 0,
    stale: 0,
    exchangesRefused: 0,
    bodiesRefused: 0,
    bodiesTooLong: 0,
    bodiesDisplaced: 0,
    requestsRefused: 0,
    retransmissions: 0,
  };
}
