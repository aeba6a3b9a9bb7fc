import type { Bytes } from '../base/bytes.ts';
import type { DtlsRecord } from './codec/record.ts';
import type { NegotiatedCids } from './connectionId.ts';
import type { EphemeralKey } from './crypto/ecdhe.ts';
import type { KeySchedule, SessionKeys } from './crypto/keySchedule.ts';
import type { Terms } from './negotiation.ts';
import type { Owner } from './psk.ts';

/** Named for what it waits for, and holding what that needs. */
export type ServerState =
  | { readonly expects: 'client-hello' }
  | ExpectsClientKeyExchange
  | { readonly expects: 'change-cipher-spec'; readonly keyed: Keyed; early: DtlsRecord | undefined }
  | { readonly expects: 'finished'; readonly keyed: Keyed }
  /** It succeeded or failed. */
  | { readonly expects: 'nothing' };

export interface ExpectsClientKeyExchange {
  readonly expects: 'client-key-exchange';
  readonly agreed: Agreed;
  readonly flight: readonly Bytes[];
  /** What arrived before the ClientKeyExchange that it follows. */
  readonly overtook: { changeCipherSpec: boolean; finished: DtlsRecord | undefined };
}

export interface Agreed {
  readonly terms: Terms;
  readonly serverRandom: Bytes;
  readonly cids: NegotiatedCids | undefined;
  /** Our half of the ephemeral exchange, if the suite has one. */
  readonly ephemeral: EphemeralKey | undefined;
  readonly transcript: Bytes;
  /** Of our next message: what we sent decides it, and ServerKeyExchange is not always there. */
  readonly messageSequence: number;
}

export interface Keyed {
  readonly terms: Terms;
  readonly schedule: KeySchedule;
  readonly keys: SessionKeys;
  /** `undefined`: the key is one that nobody has. */
  readonly owner: Owner | undefined;
  readonly cids: NegotiatedCids | undefined;
  /** All that comes before the client's Finished. */
  readonly transcript: Bytes;
  /** Of our next message. */
  readonly messageSequence: number;
  /** Our flight, if it is a session that is resumed; else the client has all of it. */
  readonly resumed: Resumed | undefined;
}

/** ServerHello and Finished, as messages. */
export interface Resumed {
  readonly answer: Bytes;
  readonly finished: Bytes;
}
