import type { Bytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { WallTime } from '../base/time.ts';
import type { Dialect, EnablerVersion } from '../lwm2m/registrationRequest.ts';
import type { CredentialId, EndpointName, Row, Sector } from './names.ts';

/**
 * What the registry holds about one endpoint name, from the moment the name has a credential or a registration. The record outlives a registration: its generation must, so that an
 * old location never meets a new registration (the registration id is computed from row and generation).
 */
export interface DeviceRecord {
  readonly row: Row;
  /** Raised when a registration is removed. */
  readonly generation: number;
  /** Raised by one with every write: what a conditional commit compares. `0` stands for "not stored yet". */
  readonly version: number;
  readonly name: EndpointName;
  readonly sector: Sector | undefined;
  readonly registration: Registration | undefined;
  /** The last exchange that changed this record, so that its duplicate is answered and not done again. */
  readonly lastExchange: LastExchange | undefined;
}

export interface Registration {
  /** Who registered, and so who may change it: a credential, or `undefined` for a device on plain CoAP. */
  readonly owner: CredentialId | undefined;
  readonly dialect: Dialect;
  /** LwM2M enabler version, e.g. `[1, 1]`; `undefined` outside LwM2M. */
  readonly version: EnablerVersion | undefined;
  /** In seconds; `0` is infinite. */
  readonly lifetime: number;
  /** When the lifetime ends; `undefined` for an infinite one. */
  readonly expires: WallTime | undefined;
  /** The letters of `b` (LwM2M Core §6.2.1.2), without the Q of 1.0, which is `queueMode`. */
  readonly binding: string;
  readonly queueMode: boolean;
  readonly sms: string | undefined;
  readonly transport: 'coap' | 'coaps';
  /** Where the newest authenticated message came from. */
  readonly address: string;
  readonly port: number;
  readonly registeredAt: WallTime;
  readonly lastContact: WallTime;
  /** What was given to it: profile, queue, retention (fleet/allocation decodes it). */
  readonly allocation: Bytes;
  /** What the device says it is: objects, links, metadata (fleet/description decodes it). Changes rarely, so it stays encoded. */
  readonly description: Bytes;
}

/** The exchange that made the newest change. */
export interface LastExchange {
  /** The association it came on; `undefined` on plain CoAP, where the registration's address stands for it. */
  readonly association: Peer | undefined;
  /** The DTLS record sequence number it arrived in; `undefined` on plain CoAP. */
  readonly sequence: number | undefined;
  readonly messageId: number;
  /** Eight bytes that tell the request from others: a message ID used again for something else is not a duplicate. */
  readonly digest: Bytes;
  /** What was answered. */
  readonly answer: 'created' | 'changed' | 'deleted';
}
