import { CoapEndpoint } from '../coap/endpoint.ts';
import type { CoapOptions } from '../coap/settings.ts';
import type { DtlsEndpoint } from '../dtls/endpoint.ts';
import { isPlainPeer } from './plainPeers.ts';

/**
 * The CoAP of a server over its associations: their sequence numbers, which never go back, make its tokens, and what fits
 * into their records bounds its messages. On plain CoAP there is neither.
 */
export function coapOver(dtls: DtlsEndpoint, options: Omit<CoapOptions, 'sequenceOf' | 'maxMessageOf'>): CoapEndpoint {
  return new CoapEndpoint({
    ...options,
    sequenceOf: peer => (isPlainPeer(peer) ? undefined : dtls.writeSequence(peer)),
    maxMessageOf: peer => (isPlainPeer(peer) ? undefined : dtls.maxPlaintext(peer)),
  });
}
