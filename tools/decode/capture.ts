import type { Bytes } from '../../src/base/bytes.ts';

/** One UDP datagram of a capture. */
export interface CapturedDatagram {
  /** Milliseconds since 1970, if the capture says. */
  readonly at: number | undefined;
  /** `192.0.2.1:5684`, `[2001:db8::1]:5684`. */
  readonly from: string;
  readonly to: string;
  readonly payload: Bytes;
}

/** Whether a file begins like a capture of one of the two forms. */
export function isCapture(file: Bytes): boolean {
  return file.length >= 4 && (formOf(file) !== undefined || wordAt(file, 0, false) === pcapngSection);
}

/**
 * The UDP datagrams of a capture in the classic form or in pcapng, as far as it can be read: a capture is nobody's word,
 * and what is cut off or contradicts itself ends it.
 */
export function* readCapture(file: Bytes): Iterable<CapturedDatagram> {
  const packets = wordAt(file, 0, false) === pcapngSection ? pcapng(file) : classic(file);
  for (const { at, link, bytes } of packets) {
    const datagram = udpOf(link, bytes);
    if (datagram !== undefined) yield { at, ...datagram };
  }
}

interface Packet {
  readonly at: number | undefined;
  readonly link: number;
  readonly bytes: Bytes;
}

/** A header of 24 bytes, then packets with a header of 16 each (draft-ietf-opsawg-pcap). */
function* classic(file: Bytes): Iterable<Packet> {
  const form = formOf(file);
  if (form === undefined || file.length < 24) return;
  const { little, perSecond } = form;
  const link = wordAt(file, 20, little) & 0xffff;
  for (let at = 24; at + 16 <= file.length; ) {
    const length = wordAt(file, at + 8, little);
    if (at + 16 + length > file.length) return;
    const time = wordAt(file, at, little) * 1000 + (wordAt(file, at + 4, little) / perSecond) * 1000;
    yield { at: time, link, bytes: file.subarray(at + 16, at + 16 + length) };
    at += 16 + length;
  }
}

/** Blocks, each with its type and, in front and behind, its length (draft-ietf-opsawg-pcapng). */
function* pcapng(file: Bytes): Iterable<Packet> {
  let little = true;
  let links: number[] = [];
  for (let at = 0; at + 12 <= file.length; ) {
    const type = wordAt(file, at, little);
    if (type === pcapngSection) {
      little = wordAt(file, at + 8, true) === pcapngOrder;
      links = [];
    }
    const length = wordAt(file, at + 4, little);
    if (length < 12 || length % 4 !== 0 || at + length > file.length) return;
    const body = file.subarray(at + 8, at + length - 4);
    if (type === interfaceBlock && body.length >= 2) links.push(wordAt(body, 0, little, 2));
    if (type === enhancedPacket && body.length >= 20) {
      const captured = wordAt(body, 12, little);
      const link = links[wordAt(body, 0, little)];
      if (link !== undefined && 20 + captured <= body.length) {
        yield { at: undefined, link, bytes: body.subarray(20, 20 + captured) };
      }
    }
    if (type === simplePacket && body.length >= 4 && links[0] !== undefined) {
      yield { at: undefined, link: links[0], bytes: body.subarray(4) };
    }
    at += length;
  }
}

/** The datagram in a frame, if it is a whole one over UDP. */
function udpOf(link: number, frame: Bytes): Omit<CapturedDatagram, 'at'> | undefined {
  const packet = packetOf(link, frame);
  const version = (packet?.[0] ?? 0) >>> 4;
  if (packet === undefined) return undefined;
  if (version === 4) return ipv4(packet);
  return version === 6 ? ipv6(packet) : undefined;
}

/** Without what the link puts in front. */
function packetOf(link: number, frame: Bytes): Bytes | undefined {
  switch (link) {
    case 0: // BSD loopback
    case 108:
      return frame.subarray(4);
    case 1: {
      // Ethernet, perhaps with VLAN tags.
      let at = 12;
      while (frame[at] === 0x81 && frame[at + 1] === 0) at += 4;
      return frame.subarray(at + 2);
    }
    case 12: // raw IP, by three numbers
    case 14:
    case 101:
      return frame;
    case 113: // Linux "any"
      return frame.subarray(16);
    case 276: // and its second version
      return frame.subarray(20);
    default:
      return undefined;
  }
}

function ipv4(packet: Bytes): Omit<CapturedDatagram, 'at'> | undefined {
  const header = (packet[0]! & 0x0f) * 4;
  if (packet.length < 20 || header < 20 || packet[9] !== udp) return undefined;
  // A fragment is no whole datagram.
  if ((wordAt(packet, 6, false, 2) & 0x3fff) !== 0) return undefined;
  const text = (at: number): string => packet.subarray(at, at + 4).join('.');
  return segment(packet.subarray(header), text(12), text(16));
}

function ipv6(packet: Bytes): Omit<CapturedDatagram, 'at'> | undefined {
  if (packet.length < 40 || packet[6] !== udp) return undefined;
  const text = (at: number): string => {
    const groups = Array.from({ length: 8 }, (_, n) => wordAt(packet, at + 2 * n, false, 2).toString(16));
    return `[${groups
      .join(':')
      .replace(/\b0(:0)+\b/, ':')
      .replace(/:{3,}/, '::')}]`;
  };
  return segment(packet.subarray(40), text(8), text(24));
}

function segment(bytes: Bytes, source: string, destination: string): Omit<CapturedDatagram, 'at'> | undefined {
  if (bytes.length < 8) return undefined;
  const length = wordAt(bytes, 4, false, 2);
  if (length < 8 || length > bytes.length) return undefined;
  return {
    from: `${source}:${wordAt(bytes, 0, false, 2)}`,
    to: `${destination}:${wordAt(bytes, 2, false, 2)}`,
    payload: bytes.subarray(8, length),
  };
}

/** Byte order and what its times count, by its first four bytes. */
function formOf(file: Bytes): { little: boolean; perSecond: number } | undefined {
  for (const little of [true, false]) {
    const magic = wordAt(file, 0, little);
    if (magic === 0xa1b2c3d4) return { little, perSecond: 1e6 };
    if (magic === 0xa1b23c4d) return { little, perSecond: 1e9 };
  }
  return undefined;
}

/** Zeros stand for what is not there. */
function wordAt(bytes: Bytes, at: number, little: boolean, size: 2 | 4 = 4): number {
  let word = 0;
  for (let n = 0; n < size; n++) word = word * 256 + (bytes[little ? at + size - 1 - n : at + n] ?? 0);
  return word;
}

const udp = 17;
const pcapngSection = 0x0a0d0d0a;
const pcapngOrder = 0x1a2b3c4d;
const interfaceBlock = 1;
const simplePacket = 3;
const enhancedPacket = 6;
