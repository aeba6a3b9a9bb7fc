import { type Bytes, noBytes } from '../base/bytes.ts';
import { FifoMap } from '../base/fifoMap.ts';
import type { Peer } from '../base/peer.ts';
import { after, type Instant, seconds } from '../base/time.ts';
import { Method, ResponseCode } from '../coap/codec/code.ts';
import { ContentFormats } from '../coap/codec/contentFormat.ts';
import { type Request, type Response, reply } from '../coap/codec/message.ts';
import { Accept, ContentFormat, MaxAge, Options, UriPath, UriQuery } from '../coap/codec/option.ts';
import type { RequestDraft, RequestFault } from '../coap/exchange.ts';
import { type Refusal, refusal } from '../lwm2m/refusal.ts';
import { answerTo } from './answer.ts';
import type { Outcome, RequestContext } from './outcome.ts';
import type { RegistrationInterface } from './rd.ts';

/**
 * Simple registration, `POST /.well-known/rd` (RFC 9176 §5.1): a device that cannot upload its links has the server read
 * them. What may not register is refused before it is asked; then, once its address is proved, its /.well-known/core is
 * read, and with those links it registers as others do. Answered with 2.04 and no location.
 */
export class SimpleRegistration {
  readonly #rd: RegistrationInterface;
  /** The links of devices, as long as they are fresh. Bounded: the one read first goes first. */
  readonly #links = new FifoMap<Peer, FreshLinks>();

  constructor(rd: RegistrationInterface) {
    this.#rd = rd;
  }

  register(request: Request, context: RequestContext): Outcome {
    if (request.payload.length > 0) return refused(refusal('payload-not-expected'));
    if (request.options.all(UriQuery).some(parameter => /^base(=|$)/.test(parameter))) {
      return refused(refusal('bad-query', 'base with a simple registration'));
    }
    const mayRegister = this.#registerWith(noBytes, request, context);
    if ('refusal' in mayRegister && mayRegister.refusal !== undefined) return mayRegister;
    if (!context.addressProved) return refused(refusal('address-not-proved'));
    const known = this.#links.get(context.peer);
    if (known !== undefined && context.now.instant < known.until) {
      return this.#registerWith(known.payload, request, context);
    }
    return {
      kind: 'ask',
      draft: readLinks,
      answered: answer => {
        const links = this.#read(answer, context);
        if ('kind' in links) return () => refused(links);
        return turn => this.#registerWith(links.payload, request, turn);
      },
    };
  }

  #read(answer: Response | RequestFault, { peer, now }: RequestContext): FreshLinks | Refusal {
    if (typeof answer === 'string') return refusal('links-not-read', answer);
    if (answer.code !== ResponseCode.Content) return refusal('links-not-read', `code ${answer.code}`);
    const format = answer.options.get(ContentFormat) ?? ContentFormats.linkFormat;
    if (format !== ContentFormats.linkFormat) return refusal('content-format', String(format));
    const age = Math.min(answer.options.get(MaxAge) ?? defaultMaxAge, longestMaxAge);
    const fresh = { payload: answer.payload.slice(), until: after(now.instant, seconds(age)) };
    if (this.#links.size >= maxLinks) this.#links.delete(this.#links.oldestKey()!);
    this.#links.set(peer, fresh);
    return fresh;
  }

  /** As if the device had sent the links itself. */
  #registerWith(payload: Bytes, request: Request, turn: RequestContext): Outcome {
    const options = request.options.without(ContentFormat).with(ContentFormat, ContentFormats.linkFormat);
    const outcome = this.#rd.register({ ...request, options, payload }, turn);
    if (!('reply' in outcome) || outcome.reply.code !== ResponseCode.Created) return outcome;
    return { ...outcome, reply: reply(ResponseCode.Changed) };
  }
}

interface FreshLinks {
  readonly payload: Bytes;
  readonly until: Instant;
}

function refused(why: Refusal): Outcome {
  return { kind: 'reply', reply: answerTo(why, 'rd'), refusal: why };
}

const readLinks: RequestDraft = {
  code: Method.GET,
  options: Options.empty.with(UriPath, '.well-known').with(UriPath, 'core').with(Accept, ContentFormats.linkFormat),
  payload: noBytes,
};
const maxLinks = 1024;
/** In seconds (RFC 7252 §5.10.5). */
const defaultMaxAge = 60;
const longestMaxAge = 3600;
