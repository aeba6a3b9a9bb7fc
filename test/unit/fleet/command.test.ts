import t from 'tap';
import { type WallTime, wallAfter } from '../../../src/base/time.ts';
import { type Command, type CommandId, cancelled, newCommand, sent, unsent } from '../../../src/fleet/command.ts';
import { jsonValue } from '../../../src/fleet/value.ts';
import { wall } from '../../support/records.ts';

const later = wallAfter(wall, 1000);
const queued = newCommand(1 as CommandId, { kind: 'read', paths: ['/3/0/0'] }, wall);

t.test('a command that found no room to be sent would lose one of its attempts', async t => {
  const back = unsent(sent(queued, later), 'busy', later);
  t.match(back, { state: 'queued', reason: 'busy', attempts: queued.attempts, since: later });
});

t.test('a command that has left cannot be taken back', async t => {
  t.match(cancelled(queued, later), { state: 'cancelled', version: queued.version + 1, since: later });
  const states: readonly Command[] = [sent(queued, later), cancelled(queued, later)!];
  for (const command of states) t.equal(cancelled(command, later as WallTime), undefined, command.state);
});

t.test('a value of any type can be shown in JSON', async t => {
  for (const [value, shown] of [
    [21.5, 21.5],
    [Number.NaN, 'NaN'],
    [Number.NEGATIVE_INFINITY, '-Infinity'],
    [2n ** 63n, '9223372036854775808'],
    [true, true],
    ['ACME', 'ACME'],
    [Uint8Array.of(0, 255), '00ff'],
    [{ unix: 0 }, '1970-01-01T00:00:00Z'],
    [{ object: 3303, instance: 1 }, '3303:1'],
  ] as const) {
    t.equal(JSON.stringify(jsonValue(value)), JSON.stringify(shown));
  }
});
