import t from 'tap';
import { noBytes, utf8 } from '../../../src/base/bytes.ts';
import type { Peer } from '../../../src/base/peer.ts';
import type { Instant, Now, WallTime } from '../../../src/base/time.ts';
import { codeText, Method } from '../../../src/coap/codec/code.ts';
import type { Reply } from '../../../src/coap/codec/message.ts';
import { ETag, MaxAge, Observe, Options, UriQuery } from '../../../src/coap/codec/option.ts';
import type { Exchange } from '../../../src/coap/exchange.ts';
import type { Row } from '../../../src/fleet/names.ts';
import type { Store } from '../../../src/fleet/store.ts';
import { KeptAnswers } from '../../../src/service/keptAnswers.ts';
import { LookupInterface, maxPages } from '../../../src/service/lookup.ts';
import { Observers } from '../../../src/service/observers.ts';
import type { RequestContext } from '../../../src/service/outcome.ts';
import { rules, sampleRecord, wall } from '../../support/records.ts';

/** Lookups with Observe 0 of one client, always under the same token, in a store that finds nothing. */
class Directory {
  readonly observers = new Observers();
  /** How many more turns the search for nothing takes. */
  turns = 0;
  #seconds = 0;
  readonly #lookup: LookupInterface;

  constructor() {
    const options = { insecureCoap: true, openLookup: false };
    this.#lookup = new LookupInterface(options, rules, this.observers, new KeptAnswers());
  }

  ask(block2?: Exchange['block2'], more: (options: Options) => Options = options => options): Reply {
    const options = more(Options.empty.with(Observe, 0));
    const code = Method.GET;
    const message = { kind: 'request', type: 'CON', messageId: 1, token: utf8('t'), payload: noBytes } as const;
    const exchange = { peer, messageId: 1, confirmable: true, code, token: utf8('t'), block1: undefined, block2 };
    const context = {
      ...this.#turn(),
      principal: { kind: 'operator', credential: 1 },
      address: '192.0.2.1',
      peer,
      addressProved: true,
      exchange: { ...exchange, acknowledged: false },
    } as unknown as RequestContext;
    const { turns } = this;
    let outcome = this.#lookup.get('ep', { ...message, code, options }, context);
    while (outcome.kind === 'unfinished') outcome = outcome.goOn(context);
    this.turns = turns;
    if (outcome.kind !== 'reply') throw new Error(outcome.kind);
    return outcome.reply;
  }

  /** A device registers. */
  change(): void {
    const change = { record: sampleRecord(1), before: undefined } as never;
    this.observers.committed({ devices: [change], events: [] }, this.#turn().now);
  }

  notifications() {
    this.#seconds += 2;
    return this.observers.due({ ...this.#turn(), view: {} as never });
  }

  #turn(): { now: Now; find: Store['find'] } {
    const find: Store['find'] = (_, from) => ({
      records: [],
      next: this.turns-- > 0 ? ((from + 1) as Row) : undefined,
    });
    const at = 1000 * this.#seconds;
    return { now: { instant: at as Instant, wall: (wall + at) as WallTime }, find };
  }
}

const peer = 1 as Peer;

t.test('an observed lookup that comes to take too long would end in silence', t => {
  const directory = new Directory();
  t.ok(directory.ask().options.has(Observe));
  directory.turns = 100;
  directory.change();
  const [told, more] = directory.notifications();
  t.equal(codeText(told!.reply.code), '5.03', 'the last that is said of it (RFC 7641 §4.2)');
  t.notOk(told!.reply.options.has(Observe), '§3.2');
  t.equal(told!.reply.options.get(MaxAge), 30);
  t.ok(told!.confirmable);
  t.equal(more, undefined);
  t.equal(directory.observers.size, 0);
  t.end();
});

t.test('who asks to observe anew and is answered without Observe would be told nevertheless', t => {
  const directory = new Directory();
  directory.ask();
  directory.turns = 10;
  t.notOk(directory.ask().options.has(Observe));
  t.equal(directory.observers.size, 0, 'the one of this token has ended');
  t.end();
});

t.test('who asks for the rest of an answer would be made to observe, and not be told so', t => {
  const directory = new Directory();
  t.notOk(directory.ask({ number: 1, more: false, size: 64 }).options.has(Observe));
  t.equal(directory.observers.size, 0, 'a later block is not what is observed (RFC 7959 §2.6)');
  t.end();
});

t.test('who has an older answer, and says so with each block, would never read the rest of what he had once', t => {
  const directory = new Directory();
  const etag = directory.ask().options.get(ETag)!;
  const withTag = (options: Options) => options.with(ETag, etag);
  t.equal(codeText(directory.ask(undefined, withTag).code), '2.03');
  t.equal(
    codeText(directory.ask({ number: 1, more: false, size: 64 }, withTag).code),
    '2.05',
    'of which a block is cut',
  );
  t.end();
});

t.test('where pages begin would be kept without end, or looked for anew with each', t => {
  const begun: number[] = [];
  let seconds = 0;
  const lookup = new LookupInterface(
    { insecureCoap: true, openLookup: false },
    rules,
    new Observers(),
    new KeptAnswers(),
  );
  const page = (query: string) => {
    const options = query.split('&').reduce((before, parameter) => before.with(UriQuery, parameter), Options.empty);
    const message = { kind: 'request', type: 'CON', messageId: 1, token: noBytes, payload: noBytes } as const;
    begun.length = 0;
    const context = {
      now: { instant: (1000 * seconds) as Instant, wall },
      find: (_: unknown, from: Row) => {
        begun.push(from);
        return { records: [sampleRecord(from)], next: (from + 1) as Row };
      },
      principal: { kind: 'operator', credential: 1 },
      address: '192.0.2.1',
      peer,
      exchange: { peer, messageId: 1, token: noBytes, block2: undefined },
    } as unknown as RequestContext;
    let outcome = lookup.get('ep', { ...message, code: Method.GET, options }, context);
    while (outcome.kind === 'unfinished') outcome = outcome.goOn(context);
    return begun[0];
  };
  t.equal(page('page=0&count=3'), 1);
  t.equal(page('page=1&count=3'), 3, 'in the device that the one before ended with');
  t.equal(page('page=1&count=3'), 3);
  t.equal(page('page=1&count=2'), 1, 'of another search');
  seconds = 61;
  t.equal(page('page=1&count=3'), 1, 'not for long, for meanwhile devices come and go');
  t.equal(page('page=2&count=3'), 6);
  for (let n = 0; n < maxPages; n++) page(`ep=node-${n}*&count=1`);
  t.equal(page('page=2&count=3'), 1, 'the oldest makes room');
  t.end();
});
