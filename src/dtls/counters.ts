/** What was dropped, and what happened, by reason. They only ever rise. */
export interface DtlsCounters {
  /** Datagrams, records or messages that do not parse. */
  malformed: number;
  /** Records of an epoch other than 0 and 1. */
  unknownEpoch: number;
  /** Alerts and application data in clear. */
  unprotected: number;
  /** Well-formed, and not what was expected. */
  unexpected: number;
  /** Protected records from an address that has no association and no handshake. */
  noAssociation: number;
  /** Records that were received before, or are too old to tell. */
  replayed: number;
  /** Records without the connection ID that was agreed to, or with one that was not. */
  wrongCid: number;
  /** Records of an association that do not open: forged, damaged, or under keys of a session that is gone. */
  notAuthentic: number;
  /** Plaintext beyond what a record may hold, in either direction. */
  tooLong: number;
  /** Messages of ours that were dropped: too many waited for sequence numbers that may be used. */
  starved: number;
  /** Records of clients that resume, dropped: too many came before their session was durable. */
  earlyFull: number;
  /** Datagrams that were not sent: their address was not proved, and had its share. */
  unprovedAddress: number;
  /** Associations that went on from another address. */
  moved: number;
  /** HelloVerifyRequests sent. */
  verifyRequests: number;
  /** Hellos with a good cookie that were left unanswered since their network had too many handshakes under way. */
  networkFull: number;
  /** The same, since too many handshakes from their network had failed of late. */
  failureRate: number;
  /** The same, since as many handshakes had begun as may in that time. */
  handshakeRate: number;
  /** Handshakes that could have succeeded, left unanswered since their owner had completed too many of late. */
  identityRate: number;
  /** Hellos for which there was no room: an old handshake went for it, or it stayed unanswered. */
  handshakesFull: number;
  /** Sessions that ended so that another could begin. */
  evicted: number;
  /** Address moves that were forgotten so that another could be looked into. */
  movesFull: number;
  /** Flights sent again because nothing had come back. */
  retransmissions: number;
  failedHandshakes: number;
  established: number;
}

export function newCounters(): DtlsCounters {
  return {
    malformed: 0,
    unknownEpoch: 0,
    unprotected: 0,
    unexpected: 0,
    noAssociation: 0,
    replayed: 0,
    wrongCid: 0,
    notAuthentic: 0,
    tooLong: 0,
    starved: 0,
    earlyFull: 0,
    unprovedAddress: 0,
    moved: 0,
    verifyRequests: 0,
    networkFull: 0,
    failureRate: 0,
    handshakeRate: 0,
    identityRate: 0,
    handshakesFull: 0,
    evicted: 0,
    movesFull: 0,
    retransmissions: 0,
    failedHandshakes: 0,
    established: 0,
  };
}
