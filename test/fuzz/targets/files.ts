import { parseObjectJson } from '../../../src/adapters/objectFiles.ts';
import { parseObjectXml } from '../../../src/adapters/objectXml.ts';
import { OperatorError } from '../../../src/adapters/operatorError.ts';
import { parseProfile } from '../../../src/adapters/profiles.ts';
import { type Bytes, textOf, utf8 } from '../../../src/base/bytes.ts';
import { parseCredential } from '../../../src/cli/credentialImport.ts';
import { ensure, ensureSame, type Target } from '../target.ts';

const profile = `name: meters
match: { metadata: { manufacturer: 'ACME*' }, models: [7, x], names: ['*'] }
metadata: { required: [serial], properties: { serial: { pattern: '^S[0-9]{4}$' } } }
objects: { allowed: [1, 3], required: [3] }
lifetime: { min: 60, max: 86400 }
observe: [{ path: '/3303/*/5700', pmin: 5, st: 0.5 }, { paths: ['/3/0/9', '/3/0/7'] }]
queue: { limit: 16, awake: 30 }
events: { count: 1000, age: 2592000, bytes: 262144 }
values: { limit: 128 }
tags: [metering]
`;
const object = `[{ "id": 32769, "name": "Lamp", "version": "1.1", "multiple": true, "resources": [
  { "id": 0, "name": "Brightness", "operations": "RW", "type": "unsigned integer", "unit": "%", "range": "0..100" },
  { "id": 1, "name": "Blink", "operations": "E", "type": "none" }] }]`;
const xml = `<?xml version="1.0"?><LWM2M><Object ObjectType="MODefinition"><Name>Lamp &amp; Co</Name><ObjectID>32769</ObjectID>
<ObjectURN>urn:oma:lwm2m:x:32769:1.1</ObjectURN><ObjectVersion>1.1</ObjectVersion><MultipleInstances>Multiple</MultipleInstances>
<Mandatory>Optional</Mandatory><Resources><Item ID="0"><Name>Brightness</Name><Operations>RW</Operations>
<MultipleInstances>Single</MultipleInstances><Mandatory>Mandatory</Mandatory><Type>Integer</Type>
<RangeEnumeration>0..100</RangeEnumeration><Units>%</Units></Item></Resources></Object></LWM2M>`;
const yamlWords = [
  '\n',
  '  ',
  '- ',
  ': ',
  '{',
  '}',
  '[',
  ']',
  '&a ',
  '*a',
  '<<: ',
  '!!',
  '|\n',
  '"',
  "'",
  '#',
  '---\n',
  '? ',
  'null',
  '1e9',
  '0x1',
].map(utf8);
const xmlWords = [
  '<Item ID="1">',
  '</Item>',
  '<Name>',
  '</',
  '/>',
  '<![CDATA[',
  ']]>',
  '<!--',
  '-->',
  '<?',
  '?>',
  '&lt;',
  '&#0;',
  '<!DOCTYPE',
  '__proto__',
].map(utf8);

/** What operators write: it is taken, or refused with the place of what is wrong. */
export const targets: readonly Target[] = [
  {
    name: 'profile-file',
    holds: 'a profile says the same written as JSON; else the place of what is wrong is told, within the file',
    seeds: [utf8(profile), utf8('name: default'), utf8('{"name":"a","match":{"names":["x"]}}')],
    words: yamlWords,
    weight: 5,
    check: bytes => {
      const found = parsed(bytes, text => parseProfile(text, origin), true);
      if (found === undefined) return;
      ensureSame(parseProfile(JSON.stringify(found.file), origin).file, found.file, 'another profile');
      found.metadataFault({ manufacturer: 'ACME', serial: 'S0001', __proto__: 'x' });
    },
  },
  {
    name: 'object-file',
    holds: 'object definitions have resources with numbers of their own; else the place of what is wrong is told',
    seeds: [utf8(object), utf8('{ id: 5, name: x, resources: [] }')],
    words: [...yamlWords, ...['"id":', '"version": "1.', '"resources":', '"operations":"RW"', '"type":"'].map(utf8)],
    weight: 5,
    check: bytes => {
      for (const { id, version } of parsed(bytes, text => parseObjectJson(text, origin), true) ?? []) {
        ensure(Number.isInteger(id) && version.every(part => Number.isInteger(part)), 'no numbers', id, version);
      }
    },
  },
  {
    name: 'object-xml',
    holds: "OMA's XML becomes what JSON can say, never an entity's expansion; else it is told what is wrong",
    seeds: [utf8(xml), utf8('<LWM2M><Object><ObjectID>1</ObjectID></Object></LWM2M>')],
    words: xmlWords,
    maxLength: 1024,
    check: bytes => {
      const found = parsed(bytes, text => parseObjectXml(text, origin), false);
      if (found === undefined) return;
      const said = JSON.stringify(found);
      // An object that says nothing has names for what it leaves out.
      ensure(said.length <= 8 * bytes.length + 200, 'longer than it was', said.length, bytes.length);
      ensureSame(JSON.parse(said), found, 'no plain JSON');
      const text = JSON.stringify(found);
      try {
        parseObjectJson(text, origin);
      } catch (error) {
        ensure(error instanceof OperatorError, 'fails', String(error));
      }
    },
  },
  {
    name: 'credential-line',
    holds: 'a line of an import is a credential within its bounds, or told to be wrong without its key',
    seeds: [
      '{"endpoint":"node-1","identity":"node-1","key":"00112233445566778899aabbccddeeff"}',
      '{"endpoint":"n","identity":"hex:00ff","key":"0011223344556677"}',
    ].map(utf8),
    words: [
      '"endpoint":"',
      '"identity":"hex:',
      '"key":"',
      '00112233445566778899aabbccddeeff',
      '\\u0000',
      'null',
      '{}',
    ].map(utf8),
    check: bytes => {
      const found = parsed(bytes, text => parseCredential(text), false);
      if (found === undefined) return;
      const { endpoint, identity, key } = found;
      ensure(utf8(endpoint).length <= 63 && identity.length >= 1 && identity.length <= 128, 'out of bounds', found);
      ensure(key.length >= 1 && key.length <= 64, 'a key of', key.length);
    },
  },
];

/** `undefined` if it was refused, which must be by an `OperatorError` that quotes no secret and is short. */
function parsed<T>(bytes: Bytes, parse: (text: string) => T, hasPlace: boolean): T | undefined {
  const text = textOf(bytes);
  if (text === undefined) return undefined;
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    ensure(error.message.length <= 300 + 2 * text.length, 'a long message', error.message.length);
    ensure(!/[0-9a-f]{16}/i.test(error.message.replaceAll(origin, '')) || hasPlace, 'it quotes the key', error.message);
    if (!hasPlace) return undefined;
    const [, line] = /^file:(\d+):(\d+): /.exec(error.message) ?? [];
    ensure(line !== undefined && Number(line) >= 1, 'no place', error.message);
    ensure(Number(line) <= text.split(/\r\n|\r|\n/).length, 'a line beyond the file', error.message);
    return undefined;
  }
}

const origin = 'file';
