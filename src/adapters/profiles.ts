import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Ajv, type ErrorObject } from 'ajv';
import schema from '../../schemas/profile.schema.json' with { type: 'json' };
import type { MetadataFault, Profile } from '../fleet/profile.ts';
import type { ProfileFile } from '../fleet/profileFile.generated.ts';
import { parseLocated, unescapedKey } from './locatedYaml.ts';
import { OperatorError } from './operatorError.ts';

/**
 * Reads a profile from YAML or JSON, which is YAML too, and compiles its metadata schema. Throws `OperatorError` with
 * the line and column of what is wrong.
 */
export function parseProfile(text: string, origin: string): Profile {
  const { value: file, whereIs } = parseLocated(text, origin);
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

function metadataCheck(schema: ProfileFile['metadata']): Profile['metadataFault'] {
  if (schema === undefined) return () => undefined;
  const validate = new Ajv({ strict: true, strictTypes: false, strictRequired: false }).compile(schema);
  return metadata => (validate(metadata) ? undefined : faultOf(validate.errors![0]!));
}

function faultOf(error: ErrorObject): MetadataFault {
  const params = error.params as { missingProperty?: string; additionalProperty?: string };
  const field = error.instancePath.split('/')[1] ?? params.missingProperty ?? params.additionalProperty ?? 'metadata';
  return { field: unescapedKey(field), message: error.message ?? error.keyword };
}

function sentence({ instancePath, message, params }: ErrorObject): string {
  const { additionalProperty } = params as { additionalProperty?: string };
  const about = additionalProperty === undefined ? '' : `: ${additionalProperty}`;
  return `${instancePath === '' ? 'a profile' : instancePath.slice(1)} ${message ?? 'is wrong'}${about}`;
}

const isProfile = new Ajv({ strict: true, allowUnionTypes: true, strictRequired: false }).compile<ProfileFile>(schema);
