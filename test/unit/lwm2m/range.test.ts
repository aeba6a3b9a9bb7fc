import t from 'tap';
import type { ResourceType } from '../../../src/lwm2m/definition.ts';
import { Definitions } from '../../../src/lwm2m/definitions.ts';
import { isInRange } from '../../../src/lwm2m/range.ts';
import { formatValue, type ResourceValue } from '../../../src/lwm2m/value.ts';

t.test('a range is what the registry means by it, however it writes it', async t => {
  const table: readonly [
    range: string | undefined,
    type: ResourceType,
    inside: ResourceValue[],
    outside: ResourceValue[],
  ][] = [
    ['0..255', 'integer', [0, 255], [-1, 256, 2n ** 60n]],
    ['0-7', 'integer', [0, 7], [8]],
    ['1...15', 'integer', [1, 15], [0, 16]],
    ['-140..-44', 'integer', [-140, -44], [-43, 0]],
    ['-30..-120', 'integer', [-30, -75, -120], [-29, -121]],
    ['0.000001..1.0', 'float', [0.5, 1], [0, 1.1]],
    ['0..3, 99', 'integer', [0, 3, 99], [4, 98]],
    ['16,32,48', 'opaque', [new Uint8Array(16), new Uint8Array(48)], [new Uint8Array(17)]],
    ['6', 'opaque', [new Uint8Array(6)], [new Uint8Array(5)]],
    ['64', 'string', ['', 'a'.repeat(64)], ['a'.repeat(65)]],
    ['0..18446744073709551615', 'unsigned integer', [2n ** 64n - 1n], [-1]],
    ['see specification', 'integer', [1], []],
    [undefined, 'integer', [1], []],
    ['0..1', 'boolean', [true], []],
  ];
  for (const [range, type, inside, outside] of table) {
    for (const value of inside) t.ok(isInRange({ range, type }, value), `${formatValue(value)} is in ${range}`);
    for (const value of outside) t.notOk(isInRange({ range, type }, value), `${formatValue(value)} is not in ${range}`);
  }
});

t.test('every range of the registry can be read', async t => {
  let read = 0;
  for (const object of Definitions.registry().objects()) {
    for (const { range, type, name } of object.resources.values()) {
      if (range === undefined) continue;
      // A number far away is outside of what can be read, and inside of what cannot.
      if (isInRange({ range, type }, 1e300)) t.fail(`/${object.id} ${name}: ${range}`);
      read++;
    }
  }
  t.ok(read > 500, `${read} ranges`);
});
