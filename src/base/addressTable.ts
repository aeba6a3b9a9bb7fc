import type { Remote } from './peer.ts';

/**
 * Which slot belongs to which remote address: open addressing over addresses in binary form, 20 bytes each. A `Map` of
 * texts takes twice the time and five times the memory for each peer. One address has one slot, and a slot one address.
 */
export class AddressTable {
  readonly #words: Uint32Array;
  /** Slot + 1 of each occupied place, 0 for a free one. At most half of the places are occupied. */
  readonly #places: Int32Array;
  readonly #mask: number;
  /** Chosen by the caller at random: a stranger must not be able to aim many addresses at one place. */
  readonly #seed: number;
  readonly #zones = new Zones();

  constructor(slots: number, seed: number) {
    this.#words = new Uint32Array(slots * wordsPerAddress);
    let places = 16;
    while (places < 2 * slots) places *= 2;
    this.#places = new Int32Array(places);
    this.#mask = places - 1;
    this.#seed = seed | 0;
  }

  /** The slot of an address, or `-1`. */
  find(remote: Remote): number {
    if (!this.#parse(remote, false)) return -1;
    return this.#places[this.#placeOf(hash(parsed, 0, this.#seed), parsed, 0)]! - 1;
  }

  /** Gives an address that has no slot to a slot that has no address. `false` if the text is no IP address. */
  set(slot: number, remote: Remote): boolean {
    if (!this.#parse(remote, true)) return false;
    this.#places[this.#placeOf(hash(parsed, 0, this.#seed), parsed, 0)] = slot + 1;
    this.#words.set(parsed, slot * wordsPerAddress);
    return true;
  }

  /** Whether this is the slot's address, found by it or not. */
  is(slot: number, remote: Remote): boolean {
    return this.#parse(remote, false) && same(this.#words, slot * wordsPerAddress, parsed, 0);
  }

  delete(slot: number): void {
    this.release(slot);
    const at = slot * wordsPerAddress;
    if (this.#words[at + 4]! >>> 24 === ipv6InZone) this.#zones.leave(this.#words[at + 1]!);
    this.#words.fill(0, at, at + wordsPerAddress);
  }

  /** The slot keeps its address, and is not found by it any more: another one may have it. */
  release(slot: number): void {
    const at = slot * wordsPerAddress;
    let hole = this.#placeOf(hash(this.#words, at, this.#seed), this.#words, at);
    if (this.#places[hole] !== slot + 1) return;
    // Moves back whatever stands behind the hole and wants to stand at or before it, so that no search ends early.
    for (let place = (hole + 1) & this.#mask; this.#places[place] !== 0; place = (place + 1) & this.#mask) {
      const wanted = hash(this.#words, (this.#places[place]! - 1) * wordsPerAddress, this.#seed) & this.#mask;
      if (((place - wanted) & this.#mask) < ((place - hole) & this.#mask)) continue;
      this.#places[hole] = this.#places[place]!;
      hole = place;
    }
    this.#places[hole] = 0;
  }

  remote(slot: number): Remote {
    const w = this.#words.subarray(slot * wordsPerAddress, (slot + 1) * wordsPerAddress);
    const last = w[4]!;
    return { socket: (last >>> 16) & 0xff, address: this.#text(w), port: last & 0xffff };
  }

  #text(w: Uint32Array): string {
    const family = w[4]! >>> 24;
    if (family === ipv4) return dotted(w[3]!);
    const zone = family === ipv6InZone ? this.#zones.text(w[1]!) : '';
    const [first, second, third, fourth] = [w[0]!, zone === '' ? w[1]! : 0, w[2]!, w[3]!];
    const groups = [first, second, third, fourth].flatMap(word => [word >>> 16, word & 0xffff]);
    return groups.map(group => group.toString(16)).join(':') + zone;
  }

  /** Reads an address into `parsed`; `enters` if it is to have a slot. One in a zone that nobody is in is nowhere. */
  #parse(remote: Remote, enters: boolean): boolean {
    if (!parse(remote)) return false;
    const text = zoneOf(remote.address);
    if (text === '') return true;
    // A link-local address has zeros there (RFC 4291 §2.5.6), and no other one has a zone.
    if (parsed[0] !== linkLocal || parsed[1] !== 0) return false;
    const zone = enters ? this.#zones.enter(text) : this.#zones.number(text);
    if (zone === undefined) return false;
    parsed[1] = zone;
    parsed[4] = (parsed[4]! & 0xff_ffff) + ipv6InZone * 0x100_0000;
    return true;
  }

  /** Where the address stands, or the free place where it would. */
  #placeOf(start: number, words: Uint32Array, at: number): number {
    let place = start & this.#mask;
    for (;;) {
      const slot = this.#places[place]! - 1;
      if (slot < 0 || same(this.#words, slot * wordsPerAddress, words, at)) return place;
      place = (place + 1) & this.#mask;
    }
  }
}

function dotted(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 0xff}.${(word >>> 8) & 0xff}.${word & 0xff}`;
}

/**
 * Names the network an address is in: the same text for all of an IPv4 /24 (mapped or not) and of an IPv6 /64, in its
 * zone if it has one; `''` for what is no address.
 */
export function networkOf(remote: Remote): string {
  if (!parse(remote)) return '';
  const mapped = parsed[0] === 0 && parsed[1] === 0 && parsed[2] === 0xffff;
  if (mapped || parsed[4]! >>> 24 === ipv4) return `${parsed[3]! >>> 8}`;
  return `${parsed[0]}:${parsed[1]}${zoneOf(remote.address)}`;
}

/**
 * A link-local address is one in its zone only (RFC 4007 §6), which the operating system writes behind it. The zones that
 * slots are in have numbers, which are used again: interfaces come and go.
 */
class Zones {
  readonly #texts: string[] = [];
  readonly #slots: number[] = [];

  number(text: string): number | undefined {
    const zone = this.#texts.indexOf(text);
    return zone < 0 || this.#slots[zone] === 0 ? undefined : zone;
  }

  text(zone: number): string {
    return this.#texts[zone]!;
  }

  /** One slot more is in it. */
  enter(text: string): number {
    const known = this.number(text);
    const free = this.#slots.indexOf(0);
    const zone = known ?? (free < 0 ? this.#texts.length : free);
    this.#texts[zone] = text;
    this.#slots[zone] = (this.#slots[zone] ?? 0) + 1;
    return zone;
  }

  leave(zone: number): void {
    this.#slots[zone]!--;
  }
}

/** `%eth0`, as the operating system writes it behind a link-local address; `''` if there is none. */
function zoneOf(address: string): string {
  const at = address.indexOf('%');
  return at < 0 ? '' : address.slice(at);
}

/** Reads an address into `parsed`: four words of address, then family, socket and port in one. */
function parse(remote: Remote): boolean {
  const text = remote.address;
  const family = text.includes(':') ? parseIpv6(text) : parseIpv4(text);
  if (family === 0) return false;
  parsed[4] = (family << 24) | (remote.socket << 16) | remote.port;
  return true;
}

function parseIpv4(text: string): number {
  let word = 0;
  let octet = 0;
  let digits = 0;
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x2e) {
      if (digits === 0) return 0;
      word = (word << 8) | octet;
      octet = 0;
      digits = 0;
      dots++;
    } else if (code >= 0x30 && code <= 0x39) {
      octet = octet * 10 + code - 0x30;
      digits++;
      if (octet > 255) return 0;
    } else {
      return 0;
    }
  }
  if (dots !== 3 || digits === 0) return 0;
  parsed[0] = 0;
  parsed[1] = 0;
  parsed[2] = 0;
  parsed[3] = (word << 8) | octet;
  return ipv4;
}

function parseIpv6(text: string): number {
  const zone = text.indexOf('%');
  const [head, tail, more] = (zone < 0 ? text : text.slice(0, zone)).split('::');
  if (more !== undefined) return 0;
  const front = groupsOf(head ?? '');
  const back = tail === undefined ? [] : groupsOf(tail);
  if (front === undefined || back === undefined) return 0;
  const gap = 8 - front.length - back.length;
  if (tail === undefined ? gap !== 0 : gap < 1) return 0;
  const groups = [...front, ...Array.from({ length: gap }, () => 0), ...back];
  for (let i = 0; i < 4; i++) parsed[i] = (groups[2 * i]! << 16) | groups[2 * i + 1]!;
  return ipv6;
}

function groupsOf(text: string): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  for (const part of text.split(':')) {
    if (part.includes('.')) {
      // `::ffff:192.0.2.1`: the last two groups in dotted form.
      if (parseIpv4(part) === 0) return undefined;
      groups.push(parsed[3]! >>> 16, parsed[3]! & 0xffff);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return groups;
}

function hash(words: Uint32Array, at: number, seed: number): number {
  let h = seed;
  for (let i = at; i < at + wordsPerAddress; i++) {
    h = Math.imul(h ^ words[i]!, 0x9e3779b1);
    h ^= h >>> 15;
  }
  h = Math.imul(h, 0x85ebca77);
  return h ^ (h >>> 13);
}

function same(a: Uint32Array, at: number, b: Uint32Array, bt: number): boolean {
  return (
    a[at + 4] === b[bt + 4] &&
    a[at + 3] === b[bt + 3] &&
    a[at + 2] === b[bt + 2] &&
    a[at + 1] === b[bt + 1] &&
    a[at] === b[bt]
  );
}

const ipv4 = 4;
const ipv6 = 6;
/** With the number of the zone in the second word. */
const ipv6InZone = 7;
const linkLocal = 0xfe80_0000;
const wordsPerAddress = 5;
// Scratch memory of `parse`.
const parsed = new Uint32Array(wordsPerAddress);
