import { ResponseCode } from '../coap/codec/code.ts';
import { type Reply, reply } from '../coap/codec/message.ts';
import { MaxAge, Options } from '../coap/codec/option.ts';
import type { Refusal, RefusalReason } from '../lwm2m/refusal.ts';
import type { Dialect } from '../lwm2m/registrationRequest.ts';

/** What a peer hears for each refusal: a code, and nothing else. The sentence is for operators and documentation. */
export interface Answer {
  readonly code: number;
  /** What LwM2M clients hear instead, where the specification or the field binds us. */
  readonly lwm2mCode?: number;
  readonly sentence: string;
}

/** `npm run generate` writes this table into `docs/answers.md`. */
export const answers = {
  'bad-query': {
    code: ResponseCode.BadRequest,
    sentence: 'A query parameter stands there twice, without its value, or where it has no meaning.',
  },
  'unknown-parameter': {
    code: ResponseCode.BadRequest,
    sentence: 'A query parameter is none of LwM2M, and the server was started with --strict-parameters.',
  },
  'bad-lifetime': {
    code: ResponseCode.BadRequest,
    sentence: 'The lifetime is no number from 1 to 4294967295; 0 is infinite, with LwM2M 1.1 or later.',
  },
  'bad-version': { code: ResponseCode.BadRequest, sentence: 'The LwM2M version is not written as major.minor.' },
  'bad-binding': {
    code: ResponseCode.BadRequest,
    sentence: 'The binding has a letter that this version does not know, or one twice.',
  },
  'unsupported-version': {
    code: ResponseCode.PreconditionFailed,
    sentence: 'The LwM2M version is none of 1.0, 1.1 and 1.2. Clients step down on this code only.',
  },
  'unknown-profile-id': {
    code: ResponseCode.Conflict,
    sentence: 'There is no object list, and none is known under this profile id: send the list.',
  },
  'content-format': {
    code: ResponseCode.UnsupportedContentFormat,
    sentence:
      'The payload is neither link-format (40) nor our CBOR map (60); or, of a Send, in no format that holds values.',
  },
  'not-acceptable': {
    code: ResponseCode.NotAcceptable,
    sentence:
      'Accept names a format that there is no answer in: registrations have CBOR (60), lookups 40 and 60, last values what they fit into.',
  },
  'bad-links': { code: ResponseCode.BadRequest, sentence: 'The payload is no well-formed link-format.' },
  'bad-cbor': {
    code: ResponseCode.BadRequest,
    sentence:
      'The payload is no CBOR that we accept: nested too deep, tagged, truncated, with a key twice or bad UTF-8.',
  },
  'bad-map': { code: ResponseCode.BadRequest, sentence: 'The registration map has a field that it may not have.' },
  'query-contradicts-map': {
    code: ResponseCode.BadRequest,
    sentence: 'The same field has one value in the query and another one in the map.',
  },
  'payload-not-expected': { code: ResponseCode.BadRequest, sentence: 'A removal has a payload.' },
  'update-of-identity': {
    code: ResponseCode.BadRequest,
    sentence: 'An update names another endpoint, sector or version: these change by registering again.',
  },
  'bad-endpoint-name': {
    code: ResponseCode.BadRequest,
    sentence:
      'The endpoint name or the sector is empty, longer than 63 bytes, or has control characters or angle brackets.',
  },
  'missing-endpoint-name': {
    code: ResponseCode.BadRequest,
    sentence: 'No endpoint name: LwM2M 1.0 must send one, and so must a device whose credential does not say it.',
  },
  'foreign-endpoint-name': {
    code: ResponseCode.Forbidden,
    lwm2mCode: ResponseCode.BadRequest,
    sentence: 'The credential stands for another endpoint name.',
  },
  'foreign-sector': {
    code: ResponseCode.Forbidden,
    lwm2mCode: ResponseCode.BadRequest,
    sentence: 'The credential stands for another sector.',
  },
  'name-needs-credential': {
    code: ResponseCode.Forbidden,
    sentence: 'The endpoint name has a credential: it registers over DTLS, with that credential.',
  },
  'name-taken': {
    code: ResponseCode.Forbidden,
    sentence: 'Another device registered this name on plain CoAP, from another address.',
  },
  'names-too-fast': {
    code: ResponseCode.ServiceUnavailable,
    sentence: 'More names that are new have come than the store has numbers for at the moment: try again.',
  },
  'registration-needs-dtls': {
    code: ResponseCode.Unauthorized,
    sentence: 'Plain CoAP answers discovery only, unless the server was started with --insecure-coap.',
  },
  'credential-revoked': { code: ResponseCode.Forbidden, sentence: 'The credential of this session was revoked.' },
  'not-a-device': {
    code: ResponseCode.Forbidden,
    sentence: "The credential is an operator's: it looks up and observes, and speaks for no device.",
  },
  'not-the-owner': {
    code: ResponseCode.Forbidden,
    lwm2mCode: ResponseCode.NotFound,
    sentence: 'The registration was made with another credential, or without one from another address.',
  },
  'out-of-order': {
    code: ResponseCode.Unauthorized,
    sentence: 'The request was overtaken by a newer one that changed the same registration.',
  },
  'unknown-registration': {
    code: ResponseCode.NotFound,
    sentence: 'No registration is at this location, or not any more: register again.',
  },
  'address-not-proved': {
    code: ResponseCode.Unauthorized,
    sentence: 'The answer is long, and nothing shows that the sender has its address: send the Echo option back.',
  },
  'links-not-read': {
    code: ResponseCode.ServiceUnavailable,
    sentence: 'Simple registration: the device did not answer GET /.well-known/core with 2.05. Try again.',
  },
  'lookup-needs-dtls': {
    code: ResponseCode.Unauthorized,
    sentence: 'Lookups on plain CoAP are answered only if the server was started with --insecure-coap.',
  },
  'values-need-operator': {
    code: ResponseCode.Unauthorized,
    sentence: "Last values are read with an operator's credential, over DTLS.",
  },
  'no-values': {
    code: ResponseCode.NotFound,
    sentence: 'No device is registered under this name, or the resource has no last value.',
  },
  'bad-search': {
    code: ResponseCode.BadRequest,
    sentence:
      'A lookup has a page without a count, a number that is none, a count beyond the limit, more than 16 criteria, or a bad where.',
  },
  'search-too-wide': {
    code: ResponseCode.BadRequest,
    sentence: 'The lookup would look at too many devices: add a criterion that the index knows.',
  },
  'profile-metadata': {
    code: ResponseCode.Forbidden,
    sentence: 'The metadata is not what the profile of the device allows.',
  },
  'profile-object': {
    code: ResponseCode.Forbidden,
    sentence: 'The device has an object that its profile does not allow.',
  },
  'profile-object-missing': {
    code: ResponseCode.BadRequest,
    sentence: 'The device lacks an object that its profile requires.',
  },
  'send-without-registration': {
    code: ResponseCode.NotFound,
    sentence: 'Values were sent by a device that is not registered.',
  },
  'send-unreadable': {
    code: ResponseCode.BadRequest,
    sentence: 'The values that were sent cannot be read, or are of the wrong type.',
  },
  'values-full': {
    code: ResponseCode.BadRequest,
    sentence: 'More values were sent than are kept for a device.',
  },
} as const satisfies Record<RefusalReason, Answer>;

export function answerTo(refusal: Refusal, dialect: Dialect | undefined): Reply {
  const answer: Answer = answers[refusal.reason];
  const code = dialect === 'lwm2m' ? (answer.lwm2mCode ?? answer.code) : answer.code;
  return reply(code);
}

/** *Later*, never *no*: after 4.03 some clients do not come back. `seconds` is advice. */
export function unavailable(seconds: number): Reply {
  return reply(ResponseCode.ServiceUnavailable, Options.empty.with(MaxAge, seconds));
}
