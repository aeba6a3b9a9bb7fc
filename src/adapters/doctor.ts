import { stat } from 'node:fs/promises';
import type { Progress } from './backup.ts';
import { DirectoryLock } from './directoryLock.ts';
import { Keyring } from './keyring.ts';
import { type Environment, openEnvironment, readMeta } from './lmdbEnvironment.ts';
import { storeForm } from './lmdbForms.ts';
import { keyFromEnvironment, masterKeyPath, nextKeyPath, readKeyFile } from './masterKey.ts';
import { OperatorError } from './operatorError.ts';
import { checkRecords } from './recordCheck.ts';
import { bytesText, freeBytes } from './staging.ts';
import { describe, readAll, readNames, storePath } from './storeCheck.ts';
import { type Header, StoreFile } from './storeFile.ts';

/** What one look at a store found, with examples, and what can be done about it. */
export interface Finding {
  readonly state: 'ok' | 'warning' | 'damaged';
  readonly check: string;
  readonly found: string;
  readonly examples?: readonly string[];
  readonly wayBack?: string;
}

/**
 * Looks at everything in a data directory and changes nothing. A server may run on it: the pages are read as of one
 * transaction, which a reader of our own keeps from being written over. What LMDB would stumble over is read without it.
 */
export async function examine(directory: string, progress: Progress): Promise<Finding[]> {
  const path = storePath(directory);
  const found = await stat(path).catch((error: Error) => {
    throw new OperatorError(`no store in ${directory}: ${error.message}`);
  });
  const findings: Finding[] = [
    modeFinding('store file', found.mode, `${found.size.toLocaleString('en')} bytes`, path),
    await serverFinding(directory),
    await roomFinding(directory, found.size),
  ];
  const file = StoreFile.open(path);
  try {
    findings.push(...(await examineFile(directory, file, progress)));
  } finally {
    file.close();
  }
  return findings;
}

async function examineFile(directory: string, file: StoreFile, progress: Progress): Promise<Finding[]> {
  const { headers, damage } = file.headers();
  const newest = headers[0];
  if (newest === undefined) {
    return [{ state: 'damaged', check: 'headers', found: damage.join('; '), wayBack: fromBackup(directory) }];
  }
  const findings: Finding[] = [headersFinding(directory, newest, damage)];
  const mayOpen = damage.length === 0 && readNames(file, newest);
  const environment = mayOpen ? await openEnvironment(directory, false) : undefined;
  const reader = environment?.root.useReadTransaction();
  try {
    // The headers as they are now: from here on nothing that they lead to is written over.
    const header = file.headers().headers[0] ?? newest;
    const report = readAll(file, header, (pages, of) => progress('check', pages, of));
    findings.push(pagesFinding(directory, file, report.damage.map(describe), report.pages, header));
    if (report.damage.length > 0 || environment === undefined) return findings;
    const form = readMeta(environment, 'form');
    if (form !== storeForm) {
      return [
        ...findings,
        { state: 'warning', check: 'form', found: `${form}: the next start brings it to ${storeForm}` },
      ];
    }
    findings.push({ state: 'ok', check: 'form', found: String(form) });
    const { keyring, finding } = await keyFinding(directory, environment);
    findings.push(finding, ...recordFindings(directory, environment, keyring, progress));
    return findings;
  } finally {
    reader?.done();
    await environment?.root.close();
  }
}

function recordFindings(
  directory: string,
  environment: Environment,
  keyring: Keyring | undefined,
  progress: Progress,
): Finding[] {
  const { counts, complaints } = checkRecords(environment, keyring, (done, of) => progress('records', done, of));
  const findings: Finding[] = [
    { state: 'ok', check: 'devices', found: `${counts.devices}, ${counts.registered} registered` },
    { state: 'ok', check: 'credentials', found: `${counts.credentials}, ${counts.unsealed} open with the master key` },
    { state: 'ok', check: 'events', found: String(counts.events) },
  ];
  for (const { about, count, examples } of complaints) {
    findings.push({
      state: 'damaged',
      check: about,
      found: `${count} do not agree`,
      examples,
      wayBack: about === 'keys' ? keyWayBack : repair(directory),
    });
  }
  if (complaints.length === 0)
    findings.push({ state: 'ok', check: 'agreement', found: 'every index with every record' });
  return findings;
}

function headersFinding(directory: string, { transaction }: Header, damage: readonly string[]): Finding {
  if (damage.length === 0) return { state: 'ok', check: 'headers', found: `transaction ${transaction}` };
  return {
    state: 'damaged',
    check: 'headers',
    found: `${damage.join('; ')}; the other one is of transaction ${transaction}`,
    wayBack: repair(directory),
  };
}

function pagesFinding(
  directory: string,
  file: StoreFile,
  damage: readonly string[],
  pages: number,
  { lastPage, transaction }: Header,
): Finding {
  if (damage.length === 0) return { state: 'ok', check: 'pages', found: `${pages} of ${lastPage + 1} in use` };
  const before = file.headers().headers.find(header => header.transaction < transaction);
  const isBeforeSound = before !== undefined && readAll(file, before).damage.length === 0;
  return {
    state: 'damaged',
    check: 'pages',
    found: `${damage.length} damaged${isBeforeSound ? '; all was sound before the last transaction' : ''}`,
    examples: damage.slice(0, maxExamples),
    wayBack: `${repair(directory)}; or ${fromBackup(directory)}`,
  };
}

async function serverFinding(directory: string): Promise<Finding> {
  const runs = await DirectoryLock.isTaken(directory);
  return { state: 'ok', check: 'server', found: runs ? 'one runs on it' : 'none runs on it' };
}

async function roomFinding(directory: string, size: number): Promise<Finding> {
  const free = await freeBytes(directory);
  const found = `${bytesText(free)} free`;
  if (free > Math.max(size / 4, littleRoom)) return { state: 'ok', check: 'disk', found };
  const wayBack = 'make room: while there is none, registrations are refused with 5.03';
  return { state: 'warning', check: 'disk', found, wayBack };
}

/** Which of the keys at hand opens the store. */
async function keyFinding(
  directory: string,
  environment: Environment,
): Promise<{ keyring: Keyring | undefined; finding: Finding }> {
  const check = 'master key';
  const wrapped = readMeta(environment, 'keys');
  if (wrapped === undefined) {
    return { keyring: undefined, finding: { state: 'ok', check, found: 'none yet: no server has run here' } };
  }
  const path = masterKeyPath(directory);
  const sources = [
    ['ROLLCALL_MASTER_KEY', () => keyFromEnvironment('ROLLCALL_MASTER_KEY')],
    [path, () => readKeyFile(path)],
    [nextKeyPath(directory), () => readKeyFile(nextKeyPath(directory))],
  ] as const;
  const faults: string[] = [];
  for (const [name, read] of sources) {
    try {
      const master = await read();
      if (master === undefined) continue;
      const keyring = Keyring.unwrap(master, wrapped);
      if (keyring === undefined) {
        faults.push(`the key of ${name} is another one than the store was sealed under`);
        continue;
      }
      // Whoever starts takes the first that is there.
      if (faults.length === 0)
        return { keyring, finding: { state: 'ok', check, found: `that of ${name} opens the store` } };
      const found = `that of ${name} opens the store, but is not the first that is tried`;
      return { keyring, finding: { state: 'warning', check, found, examples: faults } };
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      if (name !== sources[2][0]) faults.push(error.message);
    }
  }
  const finding: Finding = {
    state: 'damaged',
    check,
    found: 'none opens the store',
    examples: faults,
    wayBack: keyWayBack,
  };
  return { keyring: undefined, finding };
}

function modeFinding(check: string, mode: number, found: string, path: string): Finding {
  if ((mode & 0o077) === 0) return { state: 'ok', check, found };
  const shown = (mode & 0o777).toString(8);
  return {
    state: 'warning',
    check,
    found: `${found}; others may look into it (mode ${shown})`,
    wayBack: `chmod 600 ${path}`,
  };
}

function repair(directory: string): string {
  return `rollcall doctor --data ${directory} --repair NEWDIR saves into a new directory what can be read`;
}

function fromBackup(directory: string): string {
  return `rollcall restore BACKUP --data NEWDIR makes a new directory of a backup; leave ${directory} as it is until then`;
}

const keyWayBack = 'put the right key in place: from where you keep it apart from backups, or from before a rotation';
const maxExamples = 5;
/** Below that a busy server is full within the hour. */
const littleRoom = 64 * 2 ** 20;
