import type { Registration } from '../fleet/device.ts';

/**
 * The base URI of a registration: what it gave, or the scheme, address and port of its newest request, which it follows
 * (RFC 9176 §5). Never with a zone identifier.
 */
export function baseOf({ transport, address, port }: Registration, given: string | undefined): string {
  if (given !== undefined) return given.replace(/%[^\]/]*(?=\])/, '');
  const host = address.includes(':') ? `[${withoutZone(address)}]` : address;
  return `${transport}://${host}${port === defaultPorts[transport] ? '' : `:${port}`}`;
}

/** A reference of a link against its base (RFC 3986 §5.2, for what Limited Link Format allows and what it does not). */
export function resolve(reference: string, base: string): string {
  if (/^[a-z][a-z0-9+.-]*:/i.test(reference)) return reference;
  const [, scheme = '', authority = '', path = ''] = /^([a-z][a-z0-9+.-]*:)(\/\/[^/?#]*)?([^?#]*)/i.exec(base) ?? [];
  if (reference.startsWith('//')) return scheme + reference;
  if (reference.startsWith('/')) return scheme + authority + reference;
  return `${scheme}${authority}${path.slice(0, path.lastIndexOf('/') + 1) || '/'}${reference}`;
}

/**
 * Whether a base may be shown to somebody: a link-local one only to those on the link from which the registration came
 * (RFC 9176 §6.1, §6.3), as far as the addresses name it.
 */
export function isOnLink(base: string, registrant: string, asker: string): boolean {
  if (!isLinkLocal(hostOf(base))) return true;
  return isLinkLocal(asker) && zoneOf(asker) === zoneOf(registrant);
}

/** Whose bases an address may be shown: those of one link see the same, and so do all who are on none (''). */
export function linkOf(asker: string): string {
  return isLinkLocal(asker) ? `%${zoneOf(asker)}` : '';
}

/** The path of a URI, or a path as it is; `undefined` if it has none. */
export function pathOf(reference: string): string | undefined {
  return /^(?:[a-z][a-z0-9+.-]*:\/\/[^/?#]*)?(\/.*)$/i.exec(reference)?.[1];
}

function hostOf(base: string): string {
  return /^[a-z][a-z0-9+.-]*:\/\/\[?([^\]/?#]*)/i.exec(base)?.[1] ?? '';
}

function isLinkLocal(host: string): boolean {
  return /^fe[89ab][0-9a-f]:/i.test(host) || host.startsWith('169.254.');
}

function withoutZone(address: string): string {
  return address.replace(/%.*/, '');
}

function zoneOf(address: string): string {
  return /%(.*)/.exec(address)?.[1] ?? '';
}

const defaultPorts = { coap: 5683, coaps: 5684 } as const;
