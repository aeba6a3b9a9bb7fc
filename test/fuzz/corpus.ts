import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bytes } from '../../src/base/bytes.ts';
import type { Target } from './target.ts';

/** What a target begins with: its own seeds, and the files of its folder. */
export function corpusOf(target: Target): Bytes[] {
  return [...target.seeds, ...filesOf(target.name).map(file => readInput(join(folderOf(target.name), file)))];
}

export function readInput(path: string): Bytes {
  return new Uint8Array(readFileSync(path));
}

/**
 * Puts inputs in the place of those that an earlier run found. What people put there, captures and what once failed, has
 * names that say so, and stays.
 */
export function replaceGrown(target: Target, inputs: readonly Bytes[]): void {
  const folder = folderOf(target.name);
  mkdirSync(folder, { recursive: true });
  const given = new Set(corpusOf(target).map(nameOf));
  const grown = filesOf(target.name).filter(file => grownName.test(file));
  for (const file of grown) given.delete(file);
  const kept = new Map(inputs.map(input => [nameOf(input), input]));
  for (const file of grown) if (!kept.has(file)) rmSync(join(folder, file));
  for (const [file, input] of kept) if (!given.has(file)) writeFileSync(join(folder, file), input);
}

/** One name for the same bytes. */
export function nameOf(input: Bytes): string {
  return createHash('sha256').update(input).digest('hex').slice(0, 12);
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
