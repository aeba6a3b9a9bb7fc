import { readFile } from 'node:fs/promises';
import t from 'tap';
import schema from '../../../schemas/registration.schema.json' with { type: 'json' };
import { linkKeys, mapKeys, metadataKeys } from '../../../src/lwm2m/registrationMap.ts';

// The map stands in three places: in CDDL for those who write devices, in JSON Schema for what is checked, and in a table
// for what is decoded. Whoever changes one of them and forgets another fails here.

const cddl = await readFile('schemas/registration.cddl', 'utf8');

interface Member {
  readonly key: string;
  readonly optional: boolean;
  readonly type: string;
  readonly comment: string;
}

/** The members of a rule, in order; several may stand in a line. */
function members(rule: string): Member[] {
  const body = new RegExp(`^${rule} = \\{\\n([\\s\\S]*?)\\n\\}`, 'm').exec(cddl)?.[1] ?? '';
  const found: Member[] = [];
  for (const line of body.split('\n')) {
    const [code = '', comment = ''] = line.split(/;(.*)/);
    for (const [, optional, key, type] of code.matchAll(
      /(\? )?("?[\w-]+"?) => ((?:[^,{[(]|\{.*?\}\s*\}?|\[.*?\]|\(.*?\))+)/g,
    )) {
      found.push({ key: key!.replaceAll('"', ''), optional: optional !== undefined, type: type!.trim(), comment });
    }
  }
  return found.filter(({ key }) => !/^(nint|private|even|tstr)$/.test(key));
}

/** A type with the rules it names put in. */
function resolved(type: string): string {
  return type.replace(/\b[a-z]+(?:-[a-z]+)*\b/g, name => {
    const rule = new RegExp(`^${name} = ([^{;\\n][^;\\n]*?)\\s*(;|$)`, 'm').exec(cddl);
    return rule?.[1] ?? name;
  });
}

const firstWord = (comment: string) => comment.trim().split(/\s+/)[0];
const properties: Record<string, { [keyword: string]: unknown; $ref?: string }> = schema.properties;

/** A schema with its reference followed. */
function followed(field: string): Record<string, unknown> {
  const property = properties[field]!;
  const reference = property.$ref?.split('/').at(-1);
  return reference === undefined
    ? property
    : (schema.definitions as Record<string, Record<string, unknown>>)[reference]!;
}

t.test('an integer key means the same in CDDL and in the table that decodes it', async t => {
  const compact = members('compact');
  t.strictSame(new Map(compact.map(({ key, comment }) => [Number(key), firstWord(comment)])), mapKeys);
  t.strictSame(new Map(members('metadata').map(({ key, comment }) => [Number(key), firstWord(comment)])), metadataKeys);
  const names = /^; (href, .*), and any other/m.exec(cddl)![1]!.split(', ');
  t.strictSame(new Map(members('link').map(({ key }, i) => [Number(key), names[i]])), linkKeys);
});

t.test('both forms of the map and the schema have the same fields', async t => {
  const names = [...mapKeys.values()];
  t.strictSame(
    members('verbose').map(({ key }) => key),
    names,
  );
  t.strictSame(Object.keys(schema.properties).sort(), [...names].sort());
  const metadata = [...metadataKeys.values()];
  t.strictSame(
    members('text-metadata').map(({ key }) => key),
    metadata,
  );
  t.strictSame(Object.keys(schema.properties.meta.properties).sort(), [...metadata].sort());
  for (const rule of ['compact', 'verbose']) {
    const required = members(rule).filter(({ optional }) => !optional);
    t.equal(required.length, schema.required.length, `${rule} requires v and nothing else`);
  }
});

t.test('bounds are the same in CDDL and in the schema', async t => {
  let compared = 0;
  for (const form of ['compact', 'verbose']) {
    for (const { key, type } of members(form)) {
      const field = mapKeys.get(Number(key)) ?? key;
      const { minItems = 0, maxItems, minLength = 0, maxLength } = followed(field);
      const items = /^\[(\d+)\*(\d+)/.exec(type);
      if (items !== null) t.strictSame(items.slice(1).map(Number), [minItems, maxItems], `${form} ${field}: items`);
      const text = items === null && /tstr \.size \((\d+)\.\.(\d+)\)/.exec(resolved(type));
      if (text) t.strictSame(text.slice(1).map(Number), [minLength, maxLength], `${form} ${field}: length`);
      compared += Number(items !== null) + Number(Boolean(text));
      const isWide = items === null && /uint \.size 4/.test(resolved(type));
      if (isWide) t.equal(followed(field).maximum, 2 ** 32 - 1, `${form} ${field}: 32 bits`);
    }
  }
  t.equal(compared, 20, 'what was compared: four lists and six texts in each form');
  t.match(resolved('meta-text'), new RegExp(`\\.\\.${schema.definitions.text.maxLength}\\)`));
  t.match(resolved('href'), new RegExp(`\\.\\.${schema.properties.links.items.properties.href.maxLength}\\)`));
  t.match(resolved('binding'), /\{1,6\}/);
  t.match(schema.properties.b.pattern, /\{1,6\}/);
});
