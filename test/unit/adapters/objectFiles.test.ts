import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  parseObjectJson,
  readDefinitions,
  readObjectFile,
  readObjectFiles,
} from '../../../src/adapters/objectFiles.ts';
import { OperatorError } from '../../../src/adapters/operatorError.ts';

const lampXml = `<?xml version="1.0" encoding="UTF-8"?>
<LWM2M xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <Object ObjectType="MODefinition">
    <Name>Lamp &amp; Switch</Name>
    <Description1><![CDATA[Lights <b>up</b>.]]></Description1>
    <ObjectID>32769</ObjectID>
    <ObjectURN>urn:oma:lwm2m:x:32769:1.1</ObjectURN>
    <LWM2MVersion>1.1</LWM2MVersion>
    <ObjectVersion>1.1</ObjectVersion>
    <MultipleInstances>Multiple</MultipleInstances>
    <Mandatory>Optional</Mandatory>
    <Resources>
      <Item ID="0">
        <Name>Brightness</Name><Operations>RW</Operations><MultipleInstances>Single</MultipleInstances>
        <Mandatory>Mandatory</Mandatory><Type>Unsigned Integer</Type>
        <RangeEnumeration>0..100</RangeEnumeration><Units>%</Units><Description>How bright.</Description>
      </Item>
      <Item ID="1">
        <Name>Blink</Name><Operations>E</Operations><MultipleInstances>Single</MultipleInstances>
        <Mandatory>Optional</Mandatory><Type></Type><RangeEnumeration/><Units/>
      </Item>
    </Resources>
  </Object>
</LWM2M>`;
const lampJson = {
  id: 32769,
  name: 'Lamp & Switch',
  version: '1.1',
  urn: 'urn:oma:lwm2m:x:32769:1.1',
  multiple: true,
  resources: [
    {
      id: 0,
      name: 'Brightness',
      operations: 'RW',
      type: 'unsigned integer',
      mandatory: true,
      unit: '%',
      range: '0..100',
    },
    { id: 1, name: 'Blink', operations: 'E', type: 'none' },
  ],
};

t.test("OMA's XML and our JSON say the same", async t => {
  const directory = await files(t, { 'lamp.xml': lampXml });
  const fromXml = await readObjectFile(join(directory, 'lamp.xml'));
  t.same(fromXml, parseObjectJson(JSON.stringify(lampJson), 'lamp.json'));
  t.same(fromXml, parseObjectJson(JSON.stringify([lampJson]), 'lamps.json'), 'alone or in a list');
  const definitions = await readDefinitions(directory);
  t.equal(definitions.resolve('Lamp & Switch/0/Brightness'), '/32769/0/0');
  t.equal(definitions.resolve('Temperature/0/Sensor Value'), '/3303/0/5700', 'beside those of the registry');
});

t.test('a file that is wrong is refused with its place', async t => {
  const table: readonly [name: string, text: string, message: RegExp][] = [
    ['a.json', '{"id": 1,\n "name": "A"', /a\.json:2:\d+: /],
    [
      'a.json',
      '{"id": 1,\n "name": "A",\n "resources": [{"id": 5}]}',
      /a\.json:3:\d+: resource 5 must have required property/,
    ],
    ['a.json', '{"id": 70000, "name": "A", "resources": []}', /a\.json:1:8: id must be <= 65534/],
    ['a.json', '{"id": 1, "name": "A", "resources": [], "colour": 1}', /must NOT have additional properties: colour/],
    ['a.json', '[]', /a\.json:1:1: no objects/],
    [
      'a.json',
      JSON.stringify({ ...lampJson, resources: [lampJson.resources[1], lampJson.resources[1]] }),
      /resource 1 is there twice/,
    ],
    [
      'a.yaml',
      'id: 1\nname: A\nresources:\n  - id: 5\n    name: B\n    operations: R\n    type: int\n',
      /a\.yaml:7:11: resource 5, type must be equal to one of/,
    ],
    ['a.yaml', 'id: &a 1\nname: A\nresources: [*a]\n', /aliases are not allowed/],
    ['a.xml', lampXml.replace('</Item>', '</Itme>'), /a\.xml:\d+:\d+: .*Item/],
    ['a.xml', lampXml.replace('<LWM2M', '<!DOCTYPE LWM2M [<!ENTITY a "aaaa">]><LWM2M'), /document type declaration/],
    ['a.xml', '<DDF/>', /no Object/],
    ['a.xml', lampXml.replace('32769', 'many'), /object many: ObjectID many is no identifier/],
    ['a.xml', lampXml.replace('<Name>Blink</Name>', ''), /object 32769, resource 1: Name is missing/],
    ['a.xml', lampXml.replace('Unsigned Integer', 'Uint'), /a\.xml: resource 0, type must be equal to one of/],
    [
      'a.xml',
      lampXml.replace('<MultipleInstances>Multiple', '<MultipleInstances>Several'),
      /object 32769: MultipleInstances is Several, neither multiple nor single/,
    ],
    ['a.xml', `${'<a>'.repeat(2000)}${'</a>'.repeat(2000)}`, /a\.xml: .*nested/],
    ['a.xml', `<LWM2M>${' '.repeat(1_100_000)}</LWM2M>`, /more than 1048576/],
  ];
  for (const [name, text, message] of table) {
    const directory = await files(t, { [name]: text });
    await t.rejects(readObjectFiles(directory), { message }, `${name} ${text.slice(0, 50)}`);
  }
  await t.rejects(readObjectFiles('/nowhere'), OperatorError);
  const twice = await files(t, { 'a.xml': lampXml, 'b.json': JSON.stringify(lampJson) });
  await t.rejects(readObjectFiles(twice), { message: /b\.json: .*a\.xml has object 32769 in version 1\.1 too/ });
});

async function files(t: Tap, contents: Readonly<Record<string, string>>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-objects-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(contents)) await writeFile(join(directory, name), text);
  return directory;
}
type Tap = { teardown(end: () => Promise<void>): void };
