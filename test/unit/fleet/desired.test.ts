import t from 'tap';
import type { WallTime } from '../../../src/base/time.ts';
import { type Desired, delivered, desire, isDue, isNotKept, refusedWith, tried } from '../../../src/fleet/desired.ts';
import type { LastValue } from '../../../src/fleet/value.ts';
import { resourcePath } from '../../../src/lwm2m/path.ts';
import { sampleRecord, wall } from '../../support/records.ts';

const path = resourcePath(3308, 0, 5900);
const at = (seconds: number) => (wall + seconds * 1000) as WallTime;
const registeredAt = (seconds: number) => ({
  ...sampleRecord(1).registration!,
  registeredAt: at(seconds),
  lastContact: at(seconds),
});
const registration = registeredAt(0);
const reported = (value: number, seconds: number, source: LastValue['source'] = 'notification'): LastValue => ({
  path,
  value,
  received: at(seconds),
  measured: undefined,
  source,
  peer: undefined,
  sequence: undefined,
});
const fresh = desire(path, 20, undefined, at(1));

t.test('when a desired value is to be written, and when it is not', async t => {
  const done = delivered(fresh, registration, at(2));
  const no = refusedWith(fresh, '4.05', registration, at(2));
  const later = registeredAt(100);
  const cases: readonly [
    what: string,
    due: boolean,
    of: Desired,
    last: LastValue | undefined,
    of: typeof registration,
  ][] = [
    ['once it is set', true, fresh, undefined, registration],
    ['though the device has it, as far as anybody knows', true, fresh, reported(20, 0), registration],
    ['not once it is delivered', false, done, undefined, registration],
    ['not while our own Write is all that is known', false, done, reported(20, 2, 'write'), registration],
    ['for another value that was reported since', true, done, reported(18, 3), registration],
    ['not for the same', false, done, reported(20, 3), registration],
    ['after a registration of which nothing is known', true, done, undefined, later],
    ['after a registration, if only we say that it is so', true, done, reported(20, 2, 'write'), later],
    ['not after a registration, if the device said so', false, done, reported(20, 3), later],
    ['after a registration, if the device said otherwise', true, done, reported(18, 101), later],
    ['not again what was refused', false, no, undefined, registration],
    ['but after the next registration', true, no, undefined, later],
    ['and when it is set anew', true, desire(path, 20, no, at(50)), undefined, registration],
  ];
  for (const [what, due, desired, last, of] of cases) t.equal(isDue(desired, last, of), due, what);
});

t.test('what is not answered is tried three times for each contact', async t => {
  let desired = fresh;
  for (let n = 1; n <= 3; n++) {
    t.ok(isDue(desired, undefined, registration));
    desired = tried(desired, 'timeout', registration, at(10 * n));
  }
  t.match(desired, { state: 'pending', tries: 3, reason: 'timeout', version: fresh.version + 3 });
  t.notOk(isDue(desired, undefined, registration));
  const updated = { ...registration, lastContact: at(40) };
  t.ok(isDue(desired, undefined, updated));
  t.match(tried(desired, 'timeout', updated, at(41)), { tries: 1 }, 'and again three times');
});

t.test('a device that does not keep a value is given up after three times in a row, each within an hour', async t => {
  let desired = delivered(fresh, registration, at(2));
  for (let n = 1; n <= 3; n++) {
    t.notOk(isNotKept(desired, registration, at(2 + 60 * n)));
    desired = delivered(desired, registration, at(2 + 60 * n));
  }
  t.ok(isNotKept(desired, registration, at(240)));
  t.notOk(isNotKept(desired, registration, at(4000)), 'once a day is no quarrel');
  t.match(delivered(desired, registration, at(4000)), { again: 0 });
  t.notOk(isNotKept(desired, registeredAt(250), at(260)), 'nor is it after another registration');
});

t.test('what was unset and set again could be taken for what it was before', async t => {
  const again = desire(path, 25, undefined, at(1.001));
  const stale = [1, 2, 3].reduce(desired => tried(desired, 'timeout', registration, at(2)), fresh);
  t.ok(again.version > stale.version, 'an answer to the former would be written over the latter');
});

t.test('a device that registers anew after the clock was set back would not get back what it lost', async t => {
  const done = delivered(fresh, registration, at(2));
  const earlier = registeredAt(-100);
  t.ok(isDue(done, undefined, earlier));
  t.ok(isDue(done, reported(20, 2, 'write'), earlier));
  t.notOk(isDue(done, reported(20, -90), earlier), 'unless it says itself that it has it');
  t.ok(
    isDue(refusedWith(fresh, '4.05', registration, at(2)), undefined, earlier),
    'and what was refused is tried again',
  );
  const mute = [1, 2, 3].reduce(desired => tried(desired, 'timeout', registration, at(2)), fresh);
  t.ok(isDue(mute, undefined, { ...registration, lastContact: at(-90) }), 'or not answered, once it was heard');
});

t.test('a value of a store of before, which does not say of which registration it is, goes by the time', async t => {
  const done = { ...delivered(fresh, registration, at(2)), during: undefined };
  t.notOk(isDue(done, undefined, registration));
  t.ok(isDue(done, undefined, registeredAt(100)));
  const mute = { ...[1, 2, 3].reduce(d => tried(d, 'timeout', registration, at(2)), fresh), during: undefined };
  t.notOk(isDue(mute, undefined, registration));
  t.ok(isDue(mute, undefined, { ...registration, lastContact: at(3) }));
});

t.test('a clock that is set back would have a value written again and again', async t => {
  for (const next of [
    delivered(fresh, registration, at(-3600)),
    refusedWith(fresh, '4.05', registration, at(-3600)),
    [1, 2, 3].reduce(desired => tried(desired, 'timeout', registration, at(-3600)), fresh),
  ]) {
    t.notOk(isDue(next, undefined, registration), next.state);
  }
  const undone = [1, 2, 3, 4].reduce(desired => delivered(desired, registration, at(-3600)), fresh);
  t.ok(isDue(undone, reported(18, -3590), registration), 'what is reported meanwhile counts');
  t.ok(isNotKept(undone, registration, at(-3580)), 'and not without end');
});

t.test('what is no number is the same if nothing of it is another', async t => {
  const zone = desire(resourcePath(3, 0, 15), 'Europe/Rome', undefined, at(1));
  const done = delivered(zone, registration, at(2));
  const said = (value: string) => ({ ...reported(0, 3), value });
  t.notOk(isDue(done, said('Europe/Rome'), registration));
  t.ok(isDue(done, said('Europe/rome'), registration));
});
