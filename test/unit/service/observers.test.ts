import t from 'tap';
import { noBytes, utf8 } from '../../../src/base/bytes.ts';
import type { Peer } from '../../../src/base/peer.ts';
import type { Instant, Now, WallTime } from '../../../src/base/time.ts';
import { Method } from '../../../src/coap/codec/code.ts';
import type { Exchange } from '../../../src/coap/exchange.ts';
import type { Store } from '../../../src/fleet/store.ts';
import type { Result } from '../../../src/service/lookupResult.ts';
import { type Observed, Observers, observerLimits } from '../../../src/service/observers.ts';
import { sampleRecord } from '../../support/records.ts';

const at = (milliseconds: number): Now => ({ instant: milliseconds as Instant, wall: milliseconds as WallTime });
const result: Result = { payload: noBytes, format: 40, etag: utf8('same'), rows: new Set(), ends: undefined };
const change = { record: sampleRecord(1), before: undefined, expected: undefined } as never;

function exchangeOf(peer: number, token: number) {
  const none = { block1: undefined, block2: undefined, acknowledged: false };
  return { peer: peer as Peer, messageId: 0, confirmable: true, code: Method.GET, token: utf8(`${token}`), ...none };
}

t.test('each update of a device would be held against whatever everybody who observes asked for', t => {
  const observers = new Observers();
  let looks = 0;
  let searches = 0;
  const observed: Observed = {
    key: 'lookup',
    row: undefined,
    showsRecord: (_change, _rows, _wall, mayLook) => {
      if (!mayLook(0.1)) return true;
      looks++;
      return false;
    },
    showsValue: () => false,
    look: () => {
      searches++;
      return result;
    },
  };
  const { all, each } = observerLimits.operators;
  for (let n = 0; n < all; n++) {
    const exchange = exchangeOf(1 + Math.floor(n / each), n);
    observers.begin({ exchange, isOperator: true }, observed, result, at(0));
  }
  t.equal(observers.size, all);
  observers.committed({ devices: [change], events: [] }, at(5000));
  t.ok(looks > 10 && looks < 30, `${looks} looks of 0.1 ms in the turn of an update`);
  t.equal(observers.nextDue(), 5000, 'the others look when it is their turn');
  const find: Store['find'] = () => ({ records: [], next: undefined });
  for (let n = 0; n < 2 * all; n++) observers.due({ now: at(5000), view: {} as never, find });
  t.equal(searches, all - looks, 'once each');
  t.end();
});

t.test('an update of a quiet fleet is looked at for all, and nobody searches for nothing', t => {
  const observers = new Observers();
  const observed: Observed = {
    key: 'lookup',
    row: undefined,
    showsRecord: (_change, _rows, _wall, mayLook) => !mayLook(0.03),
    showsValue: () => false,
    look: () => result,
  };
  for (let n = 0; n < 8; n++)
    observers.begin({ exchange: exchangeOf(n, n), isOperator: false }, observed, result, at(0));
  for (let now = 1000; now < 10_000; now += 10) observers.committed({ devices: [change], events: [] }, at(now));
  t.equal(observers.nextDue(), undefined);
  t.end();
});

t.test('a notification that was given up would end the observation that its client has begun anew meanwhile', t => {
  const observers = new Observers();
  const observed: Observed = {
    key: 'lookup',
    row: undefined,
    showsRecord: () => true,
    showsValue: () => false,
    look: () => result,
  };
  const former = { ...exchangeOf(1, 1), notified: 77 };
  observers.begin({ exchange: former, isOperator: true }, observed, result, at(0));
  const again: Exchange = exchangeOf(1, 1);
  observers.begin({ exchange: again, isOperator: true }, observed, result, at(1000));
  t.equal(again.notified, 77, 'what is not acknowledged of the former is known with the answer');
  observers.unobserved(former);
  t.equal(observers.size, 1);
  observers.unobserved(again);
  t.equal(observers.size, 0);
  t.end();
});
