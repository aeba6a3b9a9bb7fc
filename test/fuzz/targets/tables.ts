import { BlockList, isIP, SocketAddress } from 'node:net';
import { AddressTable, networkOf } from '../../../src/base/addressTable.ts';
import { fromBase64, toBase64 } from '../../../src/base/base64.ts';
import { type Bytes, fromHex, textOf, toHex, utf8 } from '../../../src/base/bytes.ts';
import { Deadlines } from '../../../src/base/deadlines.ts';
import { FifoMap } from '../../../src/base/fifoMap.ts';
import type { Peer, Remote } from '../../../src/base/peer.ts';
import { type Instant, seconds } from '../../../src/base/time.ts';
import { Deduplication } from '../../../src/coap/deduplication.ts';
import { isNew, mark, markAllUpTo, newReplayWindow } from '../../../src/dtls/replayWindow.ts';
import { Choices } from '../choices.ts';
import { ensure, ensureSame, type Target } from '../target.ts';

/** The tables that everything rests on, each beside a plain one that is too slow or too large to use. */
export const targets: readonly Target[] = [
  {
    name: 'replay-window',
    holds: 'it knows of the last 64 numbers which were there, as a set of all of them would',
    seeds: [Uint8Array.of(0, 5, 0, 5, 0, 70, 1, 3, 0, 6)],
    check: checkReplayWindow,
  },
  {
    name: 'address-table',
    holds: 'an address finds its slot, however it is written, and no other; what is no address has none',
    seeds: [
      utf8('\x00192.0.2.1\n\x01::1\n\x00192.0.2.1\n\x00fe80::1%eth0\n\x00fe80::1%eth1\n\x01fe80::1%eth0'),
      utf8('\x00::ffff:192.0.2.1\n\x01192.0.2.1'),
    ],
    words: ['::', ':', '.', '%eth0', '192.0.2.', 'ffff', '::ffff:', '\n\x00', '\n\x02'].map(utf8),
    check: checkAddressTable,
  },
  {
    name: 'base64',
    holds: 'bytes come back from text, text from bytes, and the platform reads the same',
    seeds: ['AAE', 'AAE=', '-_8', '+/8='].map(utf8),
    words: ['=', '==', '+', '/', '-', '_'].map(utf8),
    check: checkBase64,
  },
  {
    name: 'queues',
    holds: 'what is oldest, and what is due next, is what a search through all of them would find',
    seeds: [Uint8Array.of(0, 1, 9, 0, 2, 3, 1, 1, 2, 0, 3, 5)],
    check: checkQueues,
  },
  {
    name: 'deduplication',
    holds:
      'a message is recognised until its time is over, unless it could be forgotten; never more are kept than may be',
    seeds: [Uint8Array.of(0, 1, 0, 2, 1, 1, 2, 9, 0, 1, 3, 2)],
    check: checkDeduplication,
  },
];

function checkReplayWindow(bytes: Bytes): void {
  const choices = new Choices(bytes);
  const window = newReplayWindow();
  const seen = new Set<number>();
  const base = choices.of([0, 100, 2 ** 32, 2 ** 47]);
  let highest = -1;
  const known = (sequence: number): boolean => sequence <= highest - 64 || seen.has(sequence);
  while (!choices.isOver) {
    const kind = choices.below(8);
    const sequence = Math.max(0, (kind < 4 ? Math.max(highest, base) : base) + choices.byte() - 128);
    if (kind === 7) {
      markAllUpTo(window, sequence);
      for (let n = Math.max(0, Math.max(highest, sequence) - 64); n <= sequence; n++) seen.add(n);
    } else if (isNew(window, sequence)) {
      mark(window, sequence);
      seen.add(sequence);
    }
    highest = Math.max(highest, sequence);
    ensureSame(window.highest, highest, 'the highest');
    for (let n = Math.max(0, highest - 70); n <= highest + 2; n++)
      ensureSame(isNew(window, n), !known(n), `whether ${n} is new, of ${highest}`);
  }
}

function checkAddressTable(bytes: Bytes): void {
  const text = textOf(bytes);
  if (text === undefined) return;
  const slots = 8;
  const table = new AddressTable(slots, 7);
  const slotOf = new Map<string, number>();
  for (const line of text.split('\n').slice(0, 32)) {
    const operation = line.charCodeAt(0) % 3;
    const address = line.slice(1);
    const remote: Remote = { socket: 0, address, port: 5684 };
    const known = canonical(address);
    const found = table.find(remote);
    if (known === undefined) {
      // Some texts that no operating system gives are read all the same; they must only not be taken for another's.
      networkOf(remote);
      continue;
    }
    ensureSame(found, slotOf.get(known) ?? -1, `the slot of ${address}`);
    ensure(networkOf(remote) !== '', 'no network', address);
    if (operation === 0 && found < 0 && slotOf.size < slots) {
      const free = Array.from({ length: slots }, (_, slot) => slot).find(slot => ![...slotOf.values()].includes(slot))!;
      ensure(table.set(free, remote), 'no address', address);
      slotOf.set(known, free);
      ensureSame(canonical(table.remote(free).address), known, 'another address comes back');
    } else if (operation === 1 && found >= 0) {
      table.delete(found);
      slotOf.delete(known);
      ensureSame(table.find(remote), -1, 'found, and deleted');
    }
  }
}

/** One text for each address; `undefined` for what the platform takes for none. */
function canonical(text: string): string | undefined {
  const at = text.indexOf('%');
  const [address, zone] = at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at)];
  if (isIP(address) === 0) return undefined;
  if (zone !== '' && (isIP(address) === 4 || !linkLocal.check(address, 'ipv6'))) return undefined;
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  return `${family} ${new SocketAddress({ address, family }).address}${zone}`;
}

const linkLocal = new BlockList();
linkLocal.addSubnet('fe80::', 64, 'ipv6');

function checkBase64(bytes: Bytes): void {
  for (const alphabet of ['base64', 'base64url'] as const) {
    const written = toBase64(bytes, alphabet);
    ensureSame(written, Buffer.from(bytes).toString(alphabet), 'what the platform writes');
    ensureSame(fromBase64(written, alphabet), bytes, 'other bytes');
    const text = textOf(bytes);
    const read = text === undefined ? undefined : fromBase64(text, alphabet);
    if (read === undefined) continue;
    ensureSame(read, new Uint8Array(Buffer.from(text!, alphabet)), 'what the platform reads');
    ensureSame(toBase64(read, alphabet).replace(/=+$/, ''), text!.replace(/=+$/, ''), 'another text');
  }
  ensureSame(fromHex(toHex(bytes)), bytes, 'other bytes from hexadecimal');
}

function checkQueues(bytes: Bytes): void {
  const choices = new Choices(bytes);
  const deadlines = new Deadlines<number>();
  const map = new FifoMap<number, number>();
  const due = new Map<number, number>();
  const values = new Map<number, number>();
  while (!choices.isOver) {
    const key = choices.below(32);
    switch (choices.below(4)) {
      case 0: {
        const at = choices.byte();
        deadlines.set(key, at as Instant);
        due.set(key, at);
        values.delete(key);
        values.set(key, at);
        map.set(key, at);
        break;
      }
      case 1:
        deadlines.clear(key);
        due.delete(key);
        ensureSame(map.delete(key), values.delete(key), 'whether it was there');
        break;
      case 2: {
        const now = choices.byte();
        const taken = deadlines.takeDue(now as Instant);
        const earliest = Math.min(...due.values());
        ensureSame(
          taken === undefined ? undefined : due.get(taken),
          earliest <= now ? earliest : undefined,
          'another is due',
        );
        if (taken !== undefined) due.delete(taken);
        break;
      }
      default:
        ensureSame(map.get(key), values.get(key), 'a value');
        ensureSame(deadlines.at(key), due.get(key), 'a deadline');
    }
    ensureSame([map.size, deadlines.size], [values.size, due.size], 'how many');
    ensureSame(map.oldestKey(), values.keys().next().value, 'the oldest');
    ensureSame(deadlines.next(), due.size === 0 ? undefined : Math.min(...due.values()), 'what is due next');
  }
  ensureSame([...map], [...values], 'what is in it');
}

function checkDeduplication(bytes: Bytes): void {
  const choices = new Choices(bytes);
  const capacity = 2 + choices.below(40);
  const table = new Deduplication(lifetime, capacity, 7);
  const kept = new Map<number, Remembered>();
  const forgettable = new Map<number, Remembered>();
  let now = 0;
  while (!choices.isOver) {
    const messageId = choices.below(64);
    const peer = (1 + choices.below(2)) as Peer;
    const key = peer * 0x1_0000 + messageId;
    const entry = kept.get(key) ?? forgettable.get(key);
    switch (choices.below(4)) {
      case 0:
        if (entry !== undefined) break;
        ensureSame(table.open(now as Instant, peer, messageId), kept.size < capacity >> 1, 'whether there is room');
        if (kept.size < capacity >> 1) kept.set(key, { until: now + lifetime, answer: undefined });
        break;
      case 1: {
        const isForgettable = choices.below(2) === 1;
        const answer = new Uint8Array(choices.below(100)).fill(messageId);
        table.answered(peer, messageId, answer, isForgettable);
        if (entry === undefined || forgettable.has(key)) break;
        entry.answer = answer;
        if (!isForgettable) break;
        if (forgettable.size >= capacity >> 1) forgettable.delete(firstOf(forgettable));
        kept.delete(key);
        forgettable.set(key, entry);
        break;
      }
      case 2:
        now += 1000 * choices.below(60);
        table.expire(now as Instant);
        for (const list of [kept, forgettable]) for (const [at, { until }] of list) if (until <= now) list.delete(at);
        break;
      default:
        table.forget(peer, messageId);
        kept.delete(key);
        forgettable.delete(key);
    }
    const all = [...kept, ...forgettable];
    for (const [at, { answer }] of all) {
      const found = table.look(Math.floor(at / 0x1_0000) as Peer, at % 0x1_0000);
      ensureSame(found, answer ?? 'pending', 'another answer');
    }
    ensureSame(table.size, all.length, 'how many');
    ensureSame(
      table.nextExpiry(),
      all.length === 0 ? undefined : Math.min(...all.map(([, { until }]) => until)),
      'when',
    );
  }
}

/** The one whose time is over first; of several the one that was put there first. */
function firstOf(list: ReadonlyMap<number, Remembered>): number {
  return [...list].reduce((first, one) => (one[1].until < first[1].until ? one : first))[0];
}

interface Remembered {
  readonly until: number;
  answer: Bytes | undefined;
}

const lifetime = seconds(100);
