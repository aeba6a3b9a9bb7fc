import type { Bytes } from '../base/bytes.ts';
import type { RandomSource } from '../base/random.ts';
import { days, type Milliseconds, seconds } from '../base/time.ts';
import type { AdmissionLimits } from './admission.ts';
import { lastWriteSequence } from './associationSender.ts';
import type { AssociationLimits } from './associations.ts';
import type { CipherSuite } from './codec/cipherSuite.ts';
import type { ConnectionIds } from './connectionId.ts';
import type { HalfOpenLimits } from './halfOpen.ts';
import type { KeyLog } from './keyLog.ts';
import type { PskPort } from './psk.ts';
import type { ResumptionPort } from './resumption.ts';
import type { Sleepers } from './sleepers.ts';

export interface DtlsOptions {
  readonly psk: PskPort;
  readonly random: RandomSource;
  /** The number of the first peer; each handshake takes the next one. */
  readonly firstPeer: number;
  /** Suites to agree to, most wanted first; by default all that we speak. */
  readonly suites?: readonly CipherSuite[];
  /** 32 bytes that turn unknown identities into keys; kept over restarts, an identity stays unknown in the same way. */
  readonly fakeKeySecret?: Bytes;
  /** Sessions of an earlier process; all of them have lower numbers than `firstPeer`. */
  readonly sleepers?: Sleepers;
  /** Without them a device whose address changes has to begin anew. */
  readonly cids?: ConnectionIds | undefined;
  /** Without it every handshake is a full one. */
  readonly resumption?: ResumptionPort | undefined;
  /** Without it, as it should be, the secrets of sessions go nowhere. */
  readonly keyLog?: KeyLog | undefined;
  readonly limits?: Partial<DtlsLimits>;
}

export interface DtlsLimits extends HalfOpenLimits, AdmissionLimits, AssociationLimits {
  /** How long after its full handshake a session may be resumed: a day at most is advised (RFC 5246 §F.1.4). */
  readonly resumptionLifetime: Milliseconds;
}

export const defaultLimits: DtlsLimits = {
  maxAssociations: 200_000,
  idleTimeout: days(7),
  maxAge: days(30),
  writeMarkStep: 1000,
  lastWriteSequence,
  maxHandshakes: 10_000,
  maxHandshakesPerNetwork: 4_000,
  firstTimeout: seconds(1),
  giveUpAfter: seconds(60),
  handshakeRate: { burst: Number.POSITIVE_INFINITY, perSecond: Number.POSITIVE_INFINITY },
  failuresPerNetwork: { burst: 2000, perSecond: 50 },
  handshakesPerIdentity: { burst: 10, perSecond: 0.1 },
  resumptionLifetime: days(1),
};
