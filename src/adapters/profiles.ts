import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Ajv, type ErrorObject } from 'ajv';
import { type Document, isMap, LineCounter, parseDocument } from 'yaml';
import schema from '../../schemas/profile.schema.json' with { type: 'json' };
import type { MetadataFault, Profile } from '../fleet/profile.ts';
import type { ProfileFile } from '../fleet/profileFile.generated.ts';
import { OperatorError } from './operatorError.ts';

/**
 * Reads a profile from YAML or JSON, which is YAML too, and compiles its metadata schema. Throws `OperatorError` with
 * the line and column of what is wrong.
 */
export function parseProfile(text: string, origin: string): Profile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const at = (offset: number | undefined) => {
    const { line, col } = lines.linePos(offset ?? 0);
    return `${origin}:${line}:${col}`;
  };
  const [broken] = document.errors;
  if (broken !== undefined) throw new OperatorError(`${at(broken.pos[0])}: ${broken.message.split('\n')[0]}`);
  const file = plainValue(document) as ProfileFile | undefined;
  if (file === undefined) throw new OperatorError(`${at(0)}: a profile has no aliases`);
  const whereIs = (path: string) => {
    const keys = path.split('/').slice(1).map(unescaped);
    for (; keys.length > 0; keys.pop()) {
      const node = document.getIn(keys, true) as { range?: [number, number, number] } | undefined;
      if (node?.range !== undefined) return at(node.range[0]);
    }
    return at(isMap(document.contents) ? document.contents.range?.[0] : 0);
  };
  if (!isProfile(file)) {
    const error = isProfile.errors![0]!;
    throw new OperatorError(`${whereIs(error.instancePath)}: ${sentence(error)}`);
  }
  if (file.match === undefined && file.name !== 'default') {
    throw new OperatorError(`${whereIs('/name')}: a profile other than default needs a match`);
  }
  const { min, max } = file.lifetime ?? {};
  if (min !== undefined && max !== undefined && min > max) {
    throw new OperatorError(`${whereIs('/lifetime')}: the minimum is more than the maximum`);
  }
  try {
    return { file, metadataFault: metadataCheck(file.metadata) };
  } catch (error) {
    throw new OperatorError(`${whereIs('/metadata')}: ${(error as Error).message}`);
  }
}

/** Every `.yaml`, `.yml` and `.json` file of a directory, by file name. */
export async function readProfileFiles(directory: string): Promise<{ text: string; profile: Profile }[]> {
  const names = (await readdir(directory)).filter(name => /\.(ya?ml|json)$/.test(name)).sort();
  const found = new Map<string, { text: string; profile: Profile }>();
  for (const name of names) {
    const path = join(directory, name);
    const text = await readFile(path, 'utf8');
    const profile = parseProfile(text, path);
    if (found.has(profile.file.name))
      throw new OperatorError(`${path}: another file has a profile ${profile.file.name}`);
    found.set(profile.file.name, { text, profile });
  }
  return [...found.values()];
}

/** `undefined` if there is an alias in it: a few of them can stand for gigabytes. */
function plainValue(document: Document.Parsed): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch {
    return undefined;
  }
}

function metadataCheck(schema: ProfileFile['metadata']): Profile['metadataFault'] {
  if (schema === undefined) return () => undefined;
  const validate = new Ajv({ strict: true, strictTypes: false, strictRequired: false }).compile(schema);
  return metadata => (validate(metadata) ? undefined : faultOf(validate.errors![0]!));
}

function faultOf(error: ErrorObject): MetadataFault {
  const params = error.params as { missingProperty?: string; additionalProperty?: string };
  const field = error.instancePath.split('/')[1] ?? params.missingProperty ?? params.additionalProperty ?? 'metadata';
  return { field: unescaped(field), message: error.message ?? error.keyword };
}

function sentence({ instancePath, message, params }: ErrorObject): string {
  const { additionalProperty } = params as { additionalProperty?: string };
  const about = additionalProperty === undefined ? '' : `: ${additionalProperty}`;
  return `${instancePath === '' ? 'a profile' : instancePath.slice(1)} ${message ?? 'is wrong'}${about}`;
}

/** A JSON pointer's segment (RFC 6901 §4). */
function unescaped(segment: string): string {
  return segment.replaceAll('~1', '/').replaceAll('~0', '~');
}

const isProfile = new Ajv({ strict: true, allowUnionTypes: true, strictRequired: false }).compile<ProfileFile>(schema);
