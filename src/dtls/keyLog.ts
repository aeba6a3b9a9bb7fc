import { type Bytes, toHex } from '../base/bytes.ts';

/**
 * Who is told the secrets of new sessions, so that a capture of them can be read. Whoever has one reads all that was
 * said in its session, and can speak as either side: for a test bench, by an option whose name says that it is dangerous.
 */
export interface KeyLog {
  /** `clientRandom`, 32 bytes, is what a reader finds the session by. */
  secret(clientRandom: Bytes, masterSecret: Bytes): void;
}

/** A line of the file that `SSLKEYLOGFILE` names, as packet analysers read it (draft-ietf-tls-keylogfile §2.2). */
export function keyLogLine(clientRandom: Bytes, masterSecret: Bytes): string {
  return `CLIENT_RANDOM ${toHex(clientRandom)} ${toHex(masterSecret)}\n`;
}
