import t from 'tap';
import type { WallTime } from '../../../src/base/time.ts';
import { deviceState, deviceView } from '../../../src/fleet/deviceView.ts';
import { rules, sampleRecord, unregistered, wall } from '../../support/records.ts';

t.test('of two devices of one name nobody would see which is which', async t => {
  const record = sampleRecord(1, { name: 'pump', sector: 'cellar' });
  t.match(deviceView(record, rules, wall), { endpoint: 'pump', sector: 'cellar', state: 'registered' });
  t.notOk('sector' in deviceView(sampleRecord(2, { name: 'pump' }), rules, wall));
  t.strictSame(deviceView(unregistered(3, 'pump'), rules, wall), { endpoint: 'pump', state: 'none' });
});

t.test('a lifetime is over in the moment in which it ends, and an infinite one is not', async t => {
  const record = sampleRecord(1, { lifetime: 60 });
  t.equal(deviceState(record, rules, (wall + 59_999) as WallTime), 'registered');
  t.equal(deviceState(record, rules, (wall + 60_000) as WallTime), 'lapsed');
  t.equal(deviceState(sampleRecord(1, { lifetime: 0 }), rules, (wall + 1e12) as WallTime), 'registered');
});
