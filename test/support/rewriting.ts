import { type Bytes, concatBytes } from '../../src/base/bytes.ts';
import { type ClientHello, decodeClientHello, encodeClientHello } from '../../src/dtls/codec/clientHello.ts';
import { decodeFragments, encodeHandshake, HandshakeType } from '../../src/dtls/codec/handshake.ts';
import { ContentType, decodeRecord, encodePlainRecord } from '../../src/dtls/codec/record.ts';
import { decodeServerHello, encodeServerHello, type ServerHello } from '../../src/dtls/codec/serverHello.ts';
import { type HandshakePair, split } from './handshakePair.ts';

/** From now on somebody in between changes each hello of this side. */
export function rewriteHello(pair: HandshakePair, side: 'client', change: (hello: ClientHello) => ClientHello): void;
export function rewriteHello(pair: HandshakePair, side: 'server', change: (hello: ServerHello) => ServerHello): void;
export function rewriteHello(
  pair: HandshakePair,
  side: 'client' | 'server',
  change: (hello: never) => ClientHello | ServerHello,
): void {
  const type = side === 'client' ? HandshakeType.clientHello : HandshakeType.serverHello;
  pair.intercept = (from, datagram) => {
    const record = decodeRecord(datagram, 0)!;
    const isPlain = record.epoch === 0 && record.type === ContentType.handshake;
    const first = isPlain ? decodeFragments(record.fragment)?.[0] : undefined;
    if (from !== side || first?.type !== type) return [datagram];
    const body =
      side === 'client'
        ? encodeClientHello(change(decodeClientHello(first.body) as never) as ClientHello)
        : encodeServerHello(change(decodeServerHello(first.body) as never) as ServerHello);
    const message = encodeHandshake(type, first.messageSequence, body);
    const hello = encodePlainRecord(record.type, record.version, record.sequence, message);
    return [concatBytes(hello, ...split(datagram).slice(1))];
  };
}

/** The extensions of a hello but one. */
export function without(
  { extensions }: { readonly extensions: ReadonlyMap<number, Bytes> },
  type: number,
): Map<number, Bytes> {
  return new Map([...extensions].filter(([known]) => known !== type));
}
