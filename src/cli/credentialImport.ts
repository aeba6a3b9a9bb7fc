import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { type Administration, checkCredential, type NewCredential } from '../adapters/lmdbAdmin.ts';
import { OperatorError } from '../adapters/operatorError.ts';
import type { WallTime } from '../base/time.ts';
import type { CredentialRole } from '../fleet/credential.ts';
import { endpointName, identityBytes, identityText, keyBytes } from './options.ts';
import { progressBar } from './progress.ts';

/** What became of a file of credentials. */
export interface ImportResult {
  added: number;
  /** They were there before, with the same name and key. */
  unchanged: number;
  bad: number;
  /** The first hundred lines that were not imported, and why. */
  readonly badLines: { readonly line: number; readonly reason: string }[];
}

/**
 * Imports lines of JSON, `{"endpoint": …, "identity": …, "key": …, "role": …}`, without holding more than a batch of them. Each
 * batch is durable before the next is read; a bad line is reported and left out, and importing a file again changes
 * nothing, so that an import that was interrupted is simply repeated. `-` reads from standard input.
 */
export async function importCredentials(administration: Administration, path: string): Promise<ImportResult> {
  const size = path === '-' ? 0 : await sizeOf(path);
  const input = path === '-' ? process.stdin : createReadStream(path);
  let bytes = 0;
  input.on('data', (chunk: Uint8Array | string) => {
    bytes += chunk.length;
  });
  const bar = progressBar('importing', size);
  const result: ImportResult = { added: 0, unchanged: 0, bad: 0, badLines: [] };
  let batch: NumberedCredential[] = [];
  let number = 0;
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    number++;
    if (line.trim() === '') continue;
    try {
      batch.push({ line: number, ...parseCredential(line) });
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      report(result, number, error.message);
    }
    if (batch.length < batchLength) continue;
    await add(administration, batch, result);
    batch = [];
    bar.at(bytes, `bytes, ${result.added + result.unchanged} credentials`);
  }
  await add(administration, batch, result);
  bar.at(size, `bytes, ${result.added + result.unchanged} credentials`);
  bar.end();
  return result;
}

async function add(
  administration: Administration,
  batch: readonly NumberedCredential[],
  result: ImportResult,
): Promise<void> {
  if (batch.length === 0) return;
  const added = await administration.add(Date.now() as WallTime, batch);
  for (const [i, { line, identity, endpoint, role }] of batch.entries()) {
    if (added[i] === 'added') result.added++;
    else if (added[i] === 'unchanged') result.unchanged++;
    else if (added[i] === 'name-taken') report(result, line, nameTaken(endpoint, role));
    else
      report(result, line, `identity ${identityText(identity)} exists with another key, name or role, or was revoked`);
  }
}

/** One line of the file. Throws `OperatorError`, which never quotes the line: it holds a key. */
export function parseCredential(line: string): NewCredential {
  const { endpoint, identity, key, role = 'device' } = parseJson(line);
  if (typeof endpoint !== 'string') throw new OperatorError('endpoint is missing or no text');
  if (identity !== undefined && typeof identity !== 'string') throw new OperatorError('identity is no text');
  if (typeof key !== 'string') throw new OperatorError('key is missing or no text');
  if (role !== 'device' && role !== 'operator') throw new OperatorError('role is neither device nor operator');
  const credential: NewCredential = {
    endpoint: endpointName(endpoint),
    sector: undefined,
    identity: identityBytes(identity ?? endpoint),
    key: keyBytes(key),
    role,
  };
  checkCredential(credential);
  return credential;
}

function parseJson(line: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    parsed = undefined;
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new OperatorError('no JSON object: expected {"endpoint": …, "identity": …, "key": …}');
  }
  return parsed as Record<string, unknown>;
}

/** A name is that of a device or of an operator, for good. */
export function nameTaken(endpoint: string, role: CredentialRole = 'device'): string {
  return role === 'operator'
    ? `${endpoint} is the name of a device: an operator needs another one`
    : `${endpoint} is the name of an operator: a device needs another one`;
}

function report(result: ImportResult, line: number, reason: string): void {
  result.bad++;
  if (result.badLines.length < maxReported) result.badLines.push({ line, reason });
}

async function sizeOf(path: string): Promise<number> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || found.isDirectory())
    throw new OperatorError(`${path} cannot be read: give a file of JSON lines, or -`);
  return found.size;
}

type NumberedCredential = NewCredential & { readonly line: number };

const batchLength = 1000;
const maxReported = 100;
