import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import t from 'tap';
import { objectDefinition } from '../../../src/lwm2m/definition.ts';
import { Definitions, isNameFault } from '../../../src/lwm2m/definitions.ts';
import type { ObjectJson } from '../../../src/lwm2m/objectJson.generated.ts';
import { type Path, parsePath } from '../../../src/lwm2m/path.ts';

const registry = Definitions.registry();

t.test('every object of schemas/lwm2m is there, as it is written there', async t => {
  const files = ['oma', 'ext', 'x'].flatMap(
    part => JSON.parse(readFileSync(`schemas/lwm2m/${part}.json`, 'utf8')) as ObjectJson[],
  );
  t.equal(files.length, 347);
  const ajv = new Ajv({ strict: true });
  const schema = JSON.parse(readFileSync('schemas/lwm2mObject.schema.json', 'utf8')) as object;
  for (const json of files) {
    const wanted = objectDefinition(json);
    if (!ajv.validate(schema, json)) return t.fail(ajv.errorsText());
    const found = registry.object(json.id, wanted.version);
    if (found === undefined) return t.fail(`object ${json.id}`);
    t.same(found, wanted, `/${json.id}`);
  }
  return t.end();
});

t.test('a version that nobody defined is read by its nearest relative', async t => {
  t.same(registry.object(5, [1, 0])?.version, [1, 0]);
  t.same(registry.object(5, [1, 9])?.version, [1, 2]);
  t.same(registry.object(5)?.version, registry.object(5, [9, 0])?.version);
  t.equal(registry.object(40_000), undefined);
  t.equal(registry.resource(3303, undefined, 5700)?.type, 'float');
  t.equal(registry.resource(3303, undefined, 1), undefined);
  const device = registry.forObjects([{ id: 0, version: [1, 0] }]);
  t.equal(device.resource(0, undefined, 17), undefined, 'object 0 has no resource 17 in 1.0');
  t.equal(device.resource(0, [1, 2], 17)?.name, 'OSCORE Security Mode');
});

t.test('a name leads to a path, and back', async t => {
  const table: readonly [text: string, path: string][] = [
    ['/3303/0/5700', '/3303/0/5700'],
    ['Temperature/0/Sensor Value', '/3303/0/5700'],
    ['/temperature/0/sensor  value', '/3303/0/5700'],
    ['Temperature', '/3303'],
    ['3303/0/Sensor Value', '/3303/0/5700'],
    ['Device/0/11/3', '/3/0/11/3'],
    ['LwM2M Server/1/Lifetime', '/1/1/1'],
    ['Server/1', '/1/1'],
    ['Security/0/DTLS/TLS Ciphersuite/2', '/0/0/16/2'],
  ];
  for (const [text, path] of table) t.equal(registry.resolve(text), path, text);
  t.equal(registry.nameOf(parsePath('/3303/0/5700') as Path), 'Temperature/0/Sensor Value');
  t.equal(registry.nameOf(parsePath('/40000/1/2') as Path), '40000/1/2');
  t.equal(registry.nameOf(parsePath('/') as Path), '/');
});

t.test('a name that fits nothing, or several things, is refused with what it may have meant', async t => {
  const table: readonly [text: string, message: RegExp, candidates: readonly string[]][] = [
    ['Location/0', /may be each of/, ['/6/0', '/3336/0']],
    ['3392/0/Object enabled', /may be each of/, ['/3392/0/']],
    ['Temprature/0', /no known object/, []],
    ['Temperature/0/Sensor', /no resource of object 3303/, []],
    ['Temperature/65535', /above 65534/, []],
    ['', /no path/, []],
    ['//', /no path/, []],
    [`a${'/1'.repeat(5000)}`, /too long/, []],
  ];
  for (const [text, message, candidates] of table) {
    const fault = registry.resolve(text);
    if (!isNameFault(fault)) return t.fail(`${text} is ${fault}`);
    t.match(fault.message, message, text);
    if (candidates.length > 1) t.same(fault.candidates, candidates);
    else if (candidates.length > 0) t.ok(fault.candidates.every(path => path.startsWith(candidates[0]!)));
  }
  return t.end();
});

t.test('own definitions stand beside those of the registry, or in place of them', async t => {
  const own = objectDefinition({
    id: 3303,
    name: 'Warmth',
    version: '1.1',
    resources: [{ id: 1, name: 'Grade', operations: 'R', type: 'integer' }],
  });
  const lamp = objectDefinition({ id: 32_769, name: 'Lamp', resources: [] });
  const definitions = registry.with([own, lamp]);
  t.equal(definitions.resolve('Warmth/0/Grade'), '/3303/0/1');
  t.equal(definitions.resolve('Lamp'), '/32769');
  t.equal(registry.object(32_769), undefined);
  t.equal([...definitions.objects()].length, [...registry.objects()].length + 1);
});
