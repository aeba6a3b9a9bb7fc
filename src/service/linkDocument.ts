import { Encoder } from 'cbor-x';
import { type Bytes, utf8 } from '../base/bytes.ts';
import { ContentFormats } from '../coap/codec/contentFormat.ts';
import { formatLinks, type WrittenLink } from '../coap/codec/linkFormat.ts';
import { linkKeys } from '../lwm2m/registrationMap.ts';

/** Content-Formats of lookup results: link-format, and CBOR with the keys that links have in a registration map. */
export const linkFormats: readonly number[] = [ContentFormats.linkFormat, ContentFormats.cbor];

export function encodeLinks(links: readonly WrittenLink[], contentFormat: number): Bytes {
  if (contentFormat === ContentFormats.linkFormat) return utf8(formatLinks(links.map(printable)));
  const encoded = encoder.encode(links.map(mapOf));
  return new Uint8Array(encoded.buffer, encoded.byteOffset, encoded.length).slice();
}

function mapOf({ href, attributes }: WrittenLink): Map<number | string, LinkValue> {
  const map = new Map<number | string, LinkValue>([[keyOf('href'), href]]);
  for (const [name, value] of Object.entries(attributes)) map.set(keyOf(name), value);
  return map;
}

/** What a device sent in CBOR need not fit into link-format: a name that is none, or control characters, stay out. */
function printable({ href, attributes }: WrittenLink): WrittenLink {
  const fitting = Object.entries(attributes).filter(
    ([name, value]) => /^[\w!#$&+.^`|~-]+\*?$/.test(name) && (value === true || !/\p{Control}/u.test(String(value))),
  );
  return { href: href.replace(/[\s<>"\p{Control}]/gu, encodeURIComponent), attributes: Object.fromEntries(fitting) };
}

function keyOf(name: string): number | string {
  return keys.get(name) ?? name;
}

type LinkValue = string | boolean | readonly string[];

const keys = new Map([...linkKeys].map(([key, name]) => [name, key]));
const encoder = new Encoder({ mapsAsObjects: false, useRecords: false });
