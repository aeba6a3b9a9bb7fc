/** A link of the CoRE Link Format: `<href>;name=value;flag` (RFC 6690 §2). */
export interface Link {
  readonly href: string;
  /** By name. Of an attribute that stands there twice the first counts (RFC 6690 §2: rel, rt, if …); a flag is `true`. */
  readonly attributes: Readonly<Record<string, string | true>>;
}

/** A link to be written: of an attribute with several values each stands there by itself. */
export interface WrittenLink {
  readonly href: string;
  readonly attributes: Readonly<Record<string, string | true | readonly string[]>>;
}

/**
 * Parses a whole link-format document in one pass; `undefined` if it is malformed or has more than `maxLinks` links.
 * An empty document has no links.
 */
export function parseLinks(text: string, maxLinks = 1024): readonly Link[] | undefined {
  const links: Link[] = [];
  let at = skipSpace(text, 0);
  if (at === text.length) return links;
  for (;;) {
    if (text[at] !== '<' || links.length === maxLinks) return undefined;
    const close = text.indexOf('>', at);
    if (close < 0) return undefined;
    const href = text.slice(at + 1, close);
    if (!isUriReference(href)) return undefined;
    // Without a prototype: a device may well name an attribute `__proto__`.
    const attributes: Record<string, string | true> = Object.create(null);
    at = skipSpace(text, close + 1);
    while (text[at] === ';') {
      const parsed = parseAttribute(text, skipSpace(text, at + 1));
      if (parsed === undefined) return undefined;
      attributes[parsed.name] ??= parsed.value;
      at = skipSpace(text, parsed.end);
    }
    links.push({ href, attributes });
    if (at === text.length) return links;
    if (text[at] !== ',') return undefined;
    at = skipSpace(text, at + 1);
  }
}

export function formatLinks(links: readonly WrittenLink[]): string {
  return links.map(formatLink).join(',');
}

export function formatLink({ href, attributes }: WrittenLink): string {
  let text = `<${href}>`;
  for (const [name, value] of Object.entries(attributes)) {
    for (const one of typeof value === 'object' ? value : [value]) text += formatAttribute(name, one);
  }
  return text;
}

function formatAttribute(name: string, value: string | true): string {
  if (value === true) return `;${name}`;
  if (bareAttributes.has(name) && isToken(value)) return `;${name}=${value}`;
  return `;${name}="${value.replace(/["\\]/g, '\\$&')}"`;
}

function parseAttribute(text: string, start: number): { name: string; value: string | true; end: number } | undefined {
  let at = start;
  while (at < text.length && isNameCharacter(text.charCodeAt(at))) at++;
  if (at === start) return undefined;
  const name = text.slice(start, at);
  at = skipSpace(text, at);
  if (text[at] !== '=') return { name, value: true, end: at };
  at = skipSpace(text, at + 1);
  if (text[at] === '"') return parseQuoted(text, name, at + 1);
  const from = at;
  while (at < text.length && isTokenCharacter(text.charCodeAt(at))) at++;
  return at === from ? undefined : { name, value: text.slice(from, at), end: at };
}

function parseQuoted(text: string, name: string, start: number) {
  let value = '';
  for (let at = start; at < text.length; at++) {
    const character = text[at]!;
    if (character === '"') return { name, value, end: at + 1 };
    if (character === '\\') {
      at++;
      if (at === text.length) return undefined;
      value += text[at];
    } else {
      value += character;
    }
  }
  return undefined;
}

/** Line breaks between links are common in hand-made documents, and harmless. */
function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && (text[at] === ' ' || text[at] === '\t' || text[at] === '\r' || text[at] === '\n')) at++;
  return at;
}

function isUriReference(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code <= 0x20 || code === 0x22 || code === 0x3c || code === 0x5c || (code >= 0x7f && code <= 0x9f)) return false;
  }
  return true;
}

/** `parmname` of RFC 5987: attr-char, and the `*` of extended attributes. */
function isNameCharacter(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) ||
    (code >= 0x41 && code <= 0x5a) ||
    (code >= 0x30 && code <= 0x39) ||
    '!#$&+-.^_`|~*'.includes(String.fromCharCode(code))
  );
}

/** `ptokenchar` (RFC 6690 §2): what a value may be made of without quotes. */
function isTokenCharacter(code: number): boolean {
  return code > 0x20 && code < 0x7f && code !== 0x22 && code !== 0x2c && code !== 0x3b && code !== 0x5c;
}

function isToken(value: string): boolean {
  if (value.length === 0) return false;
  for (let i = 0; i < value.length; i++) if (!isTokenCharacter(value.charCodeAt(i))) return false;
  return true;
}

/** Attributes whose values stand without quotes by their definition: numbers. */
const bareAttributes = new Set([
  'ct',
  'sz',
  'ver',
  'dim',
  'ssid',
  'pmin',
  'pmax',
  'gt',
  'lt',
  'st',
  'epmin',
  'epmax',
  'edge',
  'con',
]);
