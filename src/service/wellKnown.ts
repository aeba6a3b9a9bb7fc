import { utf8 } from '../base/bytes.ts';
import { ResponseCode } from '../coap/codec/code.ts';
import { ContentFormats } from '../coap/codec/contentFormat.ts';
import { formatLinks, type Link } from '../coap/codec/linkFormat.ts';
import { type Reply, type Request, reply } from '../coap/codec/message.ts';
import { Accept, ContentFormat, Options, UriQuery } from '../coap/codec/option.ts';
import type { Principal } from '../fleet/credential.ts';
import { valuesType } from './search.ts';

/**
 * `GET /.well-known/core`, with query filtering (RFC 6690 §4.1, RFC 9176 §4.3). What only operators may read, only they are
 * told of.
 */
export function wellKnownCore(request: Request, principal: Principal): Reply {
  const accept = request.options.get(Accept);
  if (accept !== undefined && accept !== ContentFormats.linkFormat) return reply(ResponseCode.NotAcceptable);
  const filters = request.options.all(UriQuery);
  const links = (principal.kind === 'operator' ? ofOperators : resources).filter(link =>
    filters.every(filter => matches(link, filter)),
  );
  const options = Options.empty.with(ContentFormat, ContentFormats.linkFormat);
  return reply(ResponseCode.Content, options, utf8(formatLinks(links)));
}

/** `rt=core.rd`, `rt=core.rd*`, `href=/rd`; a list of relation types matches by any of them. */
function matches(link: Link, filter: string): boolean {
  const equals = filter.indexOf('=');
  if (equals < 0) return Object.hasOwn(link.attributes, filter);
  const name = filter.slice(0, equals);
  const wanted = filter.slice(equals + 1);
  const value = name === 'href' ? link.href : attributeOf(link, name);
  if (value === undefined) return false;
  if (value === true) return wanted === '';
  const values = multiValued.has(name) ? value.split(' ') : [value];
  return wanted.endsWith('*')
    ? values.some(candidate => candidate.startsWith(wanted.slice(0, -1)))
    : values.includes(wanted);
}

/** Of its own: a stranger may well ask for `constructor`. */
function attributeOf({ attributes }: Link, name: string): string | true | undefined {
  return Object.hasOwn(attributes, name) ? attributes[name] : undefined;
}

const multiValued = new Set(['rt', 'if', 'rel', 'ct']);
/** As short as it can be: whole, it must fit into what an unproved address may be sent (RFC 9175 §2.4). */
const resources: readonly Link[] = [
  {
    href: '/rd',
    attributes: { rt: 'core.rd', ct: `${ContentFormats.linkFormat} ${ContentFormats.cbor}` },
  },
  { href: '/rd-lookup/ep', attributes: { rt: 'core.rd-lookup-ep', obs: true } },
  { href: '/rd-lookup/res', attributes: { rt: 'core.rd-lookup-res', obs: true } },
];
const ofOperators: readonly Link[] = [...resources, { href: '/device', attributes: { rt: valuesType, obs: true } }];
