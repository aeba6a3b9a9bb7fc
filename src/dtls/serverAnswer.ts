import { type Bytes, concatBytes, noBytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { RandomSource } from '../base/random.ts';
import type { ClientHello } from './codec/clientHello.ts';
import { ExtensionType, encodeConnectionId } from './codec/extension.ts';
import { encodeHandshake, HandshakeType } from './codec/handshake.ts';
import { dtls12 } from './codec/record.ts';
import { encodeServerHello } from './codec/serverHello.ts';
import { encodeServerKeyExchange } from './codec/serverKeyExchange.ts';
import type { NegotiatedCids } from './connectionId.ts';
import { ephemeralKey } from './crypto/ecdhe.ts';
import { KeySchedule } from './crypto/keySchedule.ts';
import type { HandshakePolicy } from './handshakeStep.ts';
import { answerTo, type Terms } from './negotiation.ts';
import type { HandshakeMessage } from './reassembly.ts';
import type { ResumableSession } from './resumption.ts';
import type { Agreed, Keyed } from './serverState.ts';

// What the server says to a hello that it agrees with: flight 4, of either ladder in `serverHandshake.ts`.

/** ServerHello, ServerKeyExchange if the suite has one, ServerHelloDone; and what was agreed with them. */
export function answerInFull(
  policy: HandshakePolicy,
  random: RandomSource,
  peer: Peer,
  heard: HeardHello,
): { agreed: Agreed; flight: readonly Bytes[] } {
  const { message, terms } = heard;
  // A session without extended master secret must not be resumed, so it needs no name (RFC 7627 §5.3).
  const sessionId = terms.extended ? policy.resumption?.idOf(peer) : undefined;
  const { body, serverRandom, cids } = serverHello(policy, random, peer, heard, sessionId ?? noBytes);
  const flight = [encodeHandshake(HandshakeType.serverHello, message.messageSequence, body)];
  const send = (type: number, body: Bytes): void =>
    void flight.push(encodeHandshake(type, message.messageSequence + flight.length, body));
  const ephemeral = terms.group && ephemeralKey(terms.group, random);
  if (ephemeral !== undefined) {
    send(HandshakeType.serverKeyExchange, encodeServerKeyExchange({ hint: noBytes, share: ephemeral }));
  }
  send(HandshakeType.serverHelloDone, noBytes);
  const transcript = concatBytes(message.transcript, ...flight);
  const messageSequence = message.messageSequence + flight.length;
  return { agreed: { terms, serverRandom, cids, ephemeral, transcript, messageSequence }, flight };
}

/** The server's Finished comes first here: it covers the two hellos, and the client's covers it too. */
export function answerResumed(
  policy: HandshakePolicy,
  random: RandomSource,
  peer: Peer,
  heard: HeardHello,
  { owner, masterSecret }: ResumableSession,
): Keyed {
  const { message, hello, terms } = heard;
  const { body, serverRandom, cids } = serverHello(policy, random, peer, heard, hello.sessionId);
  const answer = encodeHandshake(HandshakeType.serverHello, message.messageSequence, body);
  const hellos = concatBytes(message.transcript, answer);
  const schedule = new KeySchedule(terms.suite, masterSecret, { client: hello.random, server: serverRandom });
  const verifyData = schedule.verifyData('server', hellos);
  const finished = encodeHandshake(HandshakeType.finished, message.messageSequence + 1, verifyData);
  return {
    terms,
    schedule,
    keys: schedule.keys(),
    owner,
    cids,
    transcript: concatBytes(hellos, finished),
    messageSequence: message.messageSequence + 2,
    resumed: { answer, finished },
  };
}

function serverHello(
  policy: HandshakePolicy,
  random: RandomSource,
  peer: Peer,
  { hello, terms }: HeardHello,
  sessionId: Bytes,
) {
  const serverRandom = random.bytes(32);
  const cids = cidsFor(policy, peer, terms);
  const extensions = answerTo(hello, terms);
  if (cids !== undefined) extensions.set(ExtensionType.connectionId, encodeConnectionId(cids.server));
  if (cids?.returnRoutability === true) extensions.set(ExtensionType.returnRoutability, noBytes);
  const body = encodeServerHello({
    version: dtls12,
    random: serverRandom,
    sessionId,
    cipherSuite: terms.suite.id,
    compressionMethod: 0,
    extensions,
  });
  return { body, serverRandom, cids };
}

/** The hello with the cookie, as it stands in the transcript and read, and what it led to. */
export interface HeardHello {
  readonly message: HandshakeMessage;
  readonly hello: ClientHello;
  readonly terms: Terms;
}

/** Agreed on anew in each handshake, in one that resumes a session too (RFC 9146 §3). */
function cidsFor({ cids }: HandshakePolicy, peer: Peer, terms: Terms): NegotiatedCids | undefined {
  const { clientCid, returnRoutability } = terms;
  if (cids === undefined || clientCid === undefined) return undefined;
  return { server: cids.of(peer), client: clientCid.slice(), returnRoutability };
}
