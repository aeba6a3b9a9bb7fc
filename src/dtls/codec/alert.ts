import type { Bytes } from '../../base/bytes.ts';

/** An alert (RFC 5246 §7.2): two bytes, level and description. */
export interface Alert {
  readonly level: 'warning' | 'fatal';
  readonly description: number;
}

export const AlertDescription = {
  closeNotify: 0,
  unexpectedMessage: 10,
  badRecordMac: 20,
  handshakeFailure: 40,
  illegalParameter: 47,
  decodeError: 50,
  decryptError: 51,
  protocolVersion: 70,
  insufficientSecurity: 71,
  internalError: 80,
  noRenegotiation: 100,
  unsupportedExtension: 110,
  unknownPskIdentity: 115,
} as const;

export function decodeAlert(bytes: Bytes): Alert | undefined {
  if (bytes.length !== 2 || (bytes[0] !== 1 && bytes[0] !== 2)) return undefined;
  return { level: bytes[0] === 1 ? 'warning' : 'fatal', description: bytes[1]! };
}

export function encodeAlert(alert: Alert): Bytes {
  return Uint8Array.of(alert.level === 'warning' ? 1 : 2, alert.description);
}

/** `handshakeFailure`, or the number of one we have no name for. */
export function alertName(description: number): string {
  return names.get(description) ?? String(description);
}

const names = new Map<number, string>(Object.entries(AlertDescription).map(([name, value]) => [value, name]));
