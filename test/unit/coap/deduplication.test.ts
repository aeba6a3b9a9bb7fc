import fc from 'fast-check';
import t from 'tap';
import type { Peer } from '../../../src/base/peer.ts';
import type { Instant, Milliseconds } from '../../../src/base/time.ts';
import { Deduplication } from '../../../src/coap/deduplication.ts';

const lifetime = 100 as Milliseconds;

/** What the table is about, without its memory layout: two lists, in which those go first whose time is over first. */
class Model {
  readonly kept = new Map<string, { until: number; answer: Uint8Array | undefined }>();
  readonly forgettable = new Map<string, { until: number; answer: Uint8Array | undefined }>();
  readonly #half: number;

  constructor(capacity: number) {
    this.#half = capacity >> 1;
  }

  look(key: string) {
    const entry = this.kept.get(key) ?? this.forgettable.get(key);
    return entry === undefined ? 'new' : (entry.answer ?? 'pending');
  }

  open(now: number, key: string): boolean {
    if (this.kept.size >= this.#half) return false;
    this.kept.set(key, { until: now + lifetime, answer: undefined });
    return true;
  }

  answered(key: string, answer: Uint8Array, forgettable: boolean): void {
    const entry = this.kept.get(key);
    if (entry === undefined) return;
    entry.answer = answer;
    if (!forgettable) return;
    this.kept.delete(key);
    const inOrder = [...this.forgettable].sort(([, a], [, b]) => a.until - b.until);
    if (inOrder.length >= this.#half) this.forgettable.delete(inOrder[0]![0]);
    this.forgettable.set(key, entry);
  }

  expire(now: number): void {
    for (const list of [this.kept, this.forgettable]) {
      for (const [key, { until }] of list) {
        if (until <= now) list.delete(key);
      }
    }
  }
}

const step = fc.record({
  peer: fc.constantFrom(1, 2, 2 ** 36, 2 ** 37 - 1),
  messageId: fc.oneof(fc.nat({ max: 12 }), fc.nat({ max: 0xffff })),
  what: fc.constantFrom('receive', 'receive', 'answer', 'answer for good', 'wait'),
  length: fc.nat({ max: 90 }),
});

t.test('whatever arrives, it is remembered as two bounded lists would remember it', async t => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), fc.constantFrom(4, 64, 256), (steps, capacity) => {
        const table = new Deduplication(lifetime, capacity, 7);
        const model = new Model(capacity);
        let now = 0;
        for (const { peer, messageId, what, length } of steps) {
          const key = `${peer}/${messageId}`;
          const seen = table.look(peer as Peer, messageId);
          if (!sameLook(seen, model.look(key))) throw new Error(`another answer for ${key}`);
          if (what === 'wait') {
            now += length;
            table.expire(now as Instant);
            model.expire(now);
          } else if (what === 'receive') {
            if (seen !== 'new') continue;
            if (table.open(now as Instant, peer as Peer, messageId) !== model.open(now, key)) throw new Error('room');
          } else {
            const answer = new Uint8Array(length).fill(messageId);
            table.answered(peer as Peer, messageId, answer, what === 'answer');
            model.answered(key, answer, what === 'answer');
          }
          if (table.size !== model.kept.size + model.forgettable.size) throw new Error('size');
        }
        table.expire((now + lifetime) as Instant);
        if (table.size !== 0 || table.nextExpiry() !== undefined) throw new Error('something is left over');
      }),
    ),
  );
});

t.test(
  'a table that is full of answers owed takes no new request, and has room again when one is answered',
  async t => {
    const table = new Deduplication(lifetime, 8, 7);
    const now = 0 as Instant;
    for (let id = 0; id < 4; id++) t.ok(table.open(now, 1 as Peer, id));
    t.notOk(table.open(now, 1 as Peer, 4));
    table.answered(1 as Peer, 0, Uint8Array.of(1), true);
    t.ok(table.open(now, 1 as Peer, 4));
    t.same(table.look(1 as Peer, 0), Uint8Array.of(1), 'and what was answered is still known');
  },
);

t.test('the answer that was kept last is the one that a duplicate gets, also where it is the shorter one', async t => {
  const table = new Deduplication(lifetime, 8, 7);
  table.open(0 as Instant, 1 as Peer, 1);
  table.answered(1 as Peer, 1, new Uint8Array(90), false);
  table.answered(1 as Peer, 1, Uint8Array.of(7), true);
  t.same(table.look(1 as Peer, 1), Uint8Array.of(7));
});

t.test('a message that was answered late would be remembered beyond its time, and a new one taken for it', async t => {
  const table = new Deduplication(lifetime, 8, 7);
  table.open(0 as Instant, 1 as Peer, 1);
  table.open(50 as Instant, 1 as Peer, 2);
  table.answered(1 as Peer, 2, Uint8Array.of(2), true);
  table.answered(1 as Peer, 1, Uint8Array.of(1), true);
  t.equal(table.nextExpiry(), lifetime);
  table.expire(lifetime as Instant);
  t.equal(table.look(1 as Peer, 1), 'new', 'EXCHANGE_LIFETIME after it came, its message ID may be used again');
  t.same(table.look(1 as Peer, 2), Uint8Array.of(2));
});

t.test('an answer is handed out as a copy, so that nobody changes what a duplicate gets', async t => {
  const table = new Deduplication(lifetime, 8, 7);
  table.open(0 as Instant, 1 as Peer, 1);
  table.answered(1 as Peer, 1, Uint8Array.of(1, 2), false);
  (table.look(1 as Peer, 1) as Uint8Array)[0] = 9;
  t.same(table.look(1 as Peer, 1), Uint8Array.of(1, 2));
});

function sameLook(a: string | Uint8Array, b: string | Uint8Array): boolean {
  return typeof a === 'string' || typeof b === 'string' ? a === b : Buffer.compare(a, b) === 0;
}
