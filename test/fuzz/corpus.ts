import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bytes } from '../../src/base/bytes.ts';
import type { Target } from './target.ts';

/** What a target begins with: what was given, and what an earlier run found. */
export function corpusOf(target: Target): Bytes[] {
  return [...givenOf(target), ...inputsOf(target.name, file => grownName.test(file))];
}

/** Its own seeds, and the files that people put into its folder: captures, and what once failed. Their names say so. */
export function givenOf(target: Target): Bytes[] {
  return [...target.seeds, ...inputsOf(target.name, file => !grownName.test(file))];
}

export function readInput(path: string): Bytes {
  return new Uint8Array(readFileSync(path));
}

/** Puts inputs in the place of those that an earlier run found. */
export function replaceGrown({ name }: Target, inputs: readonly Bytes[]): void {
  const folder = folderOf(name);
  const kept = new Map(inputs.map(input => [nameOf(input), input]));
  for (const file of filesOf(name)) if (grownName.test(file) && !kept.has(file)) rmSync(join(folder, file));
  if (kept.size > 0) mkdirSync(folder, { recursive: true });
  for (const [file, input] of kept) writeFileSync(join(folder, file), input);
}

/** One name for the same bytes. */
export function nameOf(input: Bytes): string {
  return createHash('sha256').update(input).digest('hex').slice(0, 12);
}

function inputsOf(name: string, wanted: (file: string) => boolean): Bytes[] {
  return filesOf(name)
    .filter(wanted)
    .map(file => readInput(join(folderOf(name), file)));
}

function folderOf(name: string): string {
  return join(root, name);
}

function filesOf(name: string): string[] {
  try {
    return readdirSync(folderOf(name)).sort();
  } catch {
    return [];
  }
}

const root = fileURLToPath(new URL('../../../test/fuzz/corpus', import.meta.url));
const grownName = /^[0-9a-f]{12}$/;
