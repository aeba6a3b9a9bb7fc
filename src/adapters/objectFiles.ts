import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import schema from '../../schemas/lwm2mObject.schema.json' with { type: 'json' };
import { type ObjectDefinition, objectDefinition } from '../lwm2m/definition.ts';
import { Definitions } from '../lwm2m/definitions.ts';
import type { ObjectJson } from '../lwm2m/objectJson.generated.ts';
import { parseLocated } from './locatedYaml.ts';
import { OperatorError } from './operatorError.ts';

/**
 * The definitions of the OMA registry and, if a directory is named, those of its files on top: OMA's XML (`.xml`), or our
 * JSON (`.json`, or the same as `.yaml`). Throws `OperatorError` that names the file and the place in it.
 */
export async function readDefinitions(directory: string | undefined): Promise<Definitions> {
  const registry = Definitions.registry();
  return directory === undefined ? registry : registry.with(await readObjectFiles(directory));
}

export async function readObjectFiles(directory: string): Promise<readonly ObjectDefinition[]> {
  const names = (await listing(directory)).filter(name => /\.(xml|json|ya?ml)$/i.test(name)).sort();
  if (names.length > maxFiles) throw new OperatorError(`${directory}: ${names.length} files, more than ${maxFiles}`);
  const found = new Map<string, string>();
  const definitions: ObjectDefinition[] = [];
  for (const name of names) {
    const path = join(directory, name);
    for (const definition of await readObjectFile(path)) {
      const key = `object ${definition.id} in version ${definition.version.join('.')}`;
      const before = found.get(key);
      if (before !== undefined) throw new OperatorError(`${path}: ${before} has ${key} too`);
      found.set(key, path);
      definitions.push(definition);
    }
  }
  return definitions;
}

/** One file may hold one object, or a list of them. */
export async function readObjectFile(path: string): Promise<readonly ObjectDefinition[]> {
  const { size } = await stat(path).catch((error: Error) => {
    throw new OperatorError(error.message);
  });
  if (size > maxFileSize) throw new OperatorError(`${path}: ${size} bytes, more than ${maxFileSize}`);
  const text = await readFile(path, 'utf8');
  if (!/\.xml$/i.test(path)) return parseObjectJson(text, path);
  // Only who has such files pays for the parser.
  const { parseObjectXml } = await import('./objectXml.ts');
  return parseObjectXml(text, path).map(json => checked(json, () => path));
}

export function parseObjectJson(text: string, origin: string): readonly ObjectDefinition[] {
  const { value, whereIs } = parseLocated(text, origin);
  if (!Array.isArray(value)) return [checked(value, whereIs)];
  if (value.length === 0) throw new OperatorError(`${whereIs('')}: no objects`);
  return value.map((object, index) => checked(object, pointer => whereIs(`/${index}${pointer}`)));
}

/** What no schema can say: that no two resources have the same number. */
function checked(object: unknown, whereIs: (pointer: string) => string): ObjectDefinition {
  if (!isObjectJson(object)) {
    const { instancePath, message, params } = isObjectJson.errors![0]!;
    const { additionalProperty } = params as { additionalProperty?: string };
    const about = additionalProperty === undefined ? '' : `: ${additionalProperty}`;
    const subject = instancePath === '' ? 'an object' : named(object, instancePath);
    throw new OperatorError(`${whereIs(instancePath)}: ${subject} ${message ?? 'is wrong'}${about}`);
  }
  const ids = new Set<number>();
  for (const [index, { id }] of object.resources.entries()) {
    if (ids.has(id)) throw new OperatorError(`${whereIs(`/resources/${index}`)}: resource ${id} is there twice`);
    ids.add(id);
  }
  return objectDefinition(object);
}

/** `resource 5700, type`, where a resource is meant that has a number. */
function named(object: unknown, pointer: string): string {
  const [, list, index, ...rest] = pointer.split('/');
  const resource = (object as { resources?: { id?: unknown }[] } | null)?.resources?.[Number(index)];
  if (list !== 'resources' || typeof resource?.id !== 'number') return pointer.slice(1);
  return [`resource ${resource.id}`, ...rest].join(', ');
}

async function listing(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    throw new OperatorError((error as Error).message);
  }
}

const isObjectJson = new Ajv({ strict: true }).compile<ObjectJson>(schema);
const maxFiles = 2000;
const maxFileSize = 1_048_576;
