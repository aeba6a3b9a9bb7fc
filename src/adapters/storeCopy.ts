import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { sameBytes, utf8 } from '../base/bytes.ts';
import type { WallTime } from '../base/time.ts';
import { type CommandId, isRepeatable, sent } from '../fleet/command.ts';
import type { EndpointName, Row } from '../fleet/names.ts';
import { type Environment, lastSequence, readMeta, transact, writeMeta } from './lmdbEnvironment.ts';
import { encodeEvent } from './lmdbForms.ts';
import { numberOf } from './lmdbModel.ts';
import { decodeCommand, encodeCommand } from './lmdbModelForms.ts';
import { dropSessions } from './lmdbSessions.ts';

/**
 * Whether the store's file is another one than a server last served from: copied, or restored from a backup. Then its
 * sessions must not wake, because the original may have gone on with the same keys and the same sequence numbers.
 */
export async function isCopy(environment: Environment, directory: string): Promise<boolean> {
  const known = readMeta(environment, 'home');
  return known !== undefined && !sameBytes(known, await homeOf(directory));
}

export async function settleHere(environment: Environment, directory: string): Promise<void> {
  const home = await homeOf(directory);
  await transact(environment, () => void writeMeta(environment, 'home', home));
}

/**
 * Makes a copy a registry of its own. The original went on from this state, in ways that the copy cannot know: so no
 * session wakes, no number that the original may have given to somebody since is given to somebody else, no command that
 * it may have sent is sent again unless that may be done twice, and whoever follows the events is told.
 */
export async function startAnew(environment: Environment, at: WallTime): Promise<void> {
  await dropSessions(environment);
  const sequence = lastSequence(environment);
  await transact(environment, () => {
    void writeMeta(environment, 'nextRow', leap(readMeta(environment, 'nextRow') ?? 1, rowsApart));
    void writeMeta(environment, 'nextCredential', leap(readMeta(environment, 'nextCredential') ?? 1, rowsApart));
    void writeMeta(environment, 'nextPeer', leap(readMeta(environment, 'nextPeer') ?? 1, peersApart));
    void environment.meta.remove('home');
    const event = {
      type: 'restored',
      at,
      row: 0 as Row,
      name: '' as EndpointName,
      details: { after: sequence },
    } as const;
    void environment.events.put(leap(sequence, eventsApart), encodeEvent(event));
    holdCommands(environment, at);
  });
}

/** As after a crash: the server that starts finds them sent, and of what became of them nobody knows. */
function holdCommands({ commands }: Environment, at: WallTime): void {
  for (const { key, value } of Array.from(commands.getRange())) {
    const command = decodeCommand(numberOf(key) as CommandId, value);
    if (command.state !== 'queued' || isRepeatable(command.operation)) continue;
    void commands.put(key, encodeCommand(sent(command, at)));
  }
}

/** The next multiple of `step`. */
function leap(number: number, step: number): number {
  return (Math.floor(number / step) + 1) * step;
}

/** A copy has another inode, or on another file system another time of birth. */
async function homeOf(directory: string): Promise<Uint8Array> {
  const { ino, birthtimeMs } = await stat(join(directory, 'data.mdb'));
  return utf8(`${ino} ${Math.floor(birthtimeMs)}`);
}

/** More rows, and credentials, than an original gives away before anybody falls back on a copy; there are 2^32. */
const rowsApart = 2 ** 20;
/** There are 2^48 associations. */
const peersApart = 2 ** 32;
const eventsApart = 1_000_000_000;
