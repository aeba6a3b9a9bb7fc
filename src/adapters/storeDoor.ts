import { unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { closeSocket, listenAt, socketName } from './directorySocket.ts';
import { OperatorError } from './operatorError.ts';

/**
 * One process at a time opens a store, and no other one writes to it meanwhile. LMDB should not need that, and the one
 * that `lmdb` 3.5 brings does: who opens a store reads its header and then sets the number of the newest transaction,
 * which all processes share, to what stood there. If somebody commits in between, the next writer begins from the state
 * before, and what was committed, and acknowledged, is gone (OpenLDAP ITS#9496). A server, which writes all the time, does
 * not come by here: it is asked to pause, see `pauseRequests`.
 *
 * Who waits asks again every few milliseconds: these are commands that somebody typed.
 */
export async function withDoor<Result>(directory: string, work: () => Promise<Result>): Promise<Result> {
  const door = await takeDoor(directory);
  try {
    return await work();
  } finally {
    await closeSocket(door);
  }
}

async function takeDoor(directory: string): Promise<Server> {
  const name = await socketName(directory, 'door');
  for (const start = performance.now(); performance.now() - start < patience; await pause(retryMilliseconds)) {
    const door = await listenAt(name, socket => socket.destroy());
    if (door !== undefined) return door;
    if (!name.startsWith('\0')) await removeStale(name);
  }
  throw new OperatorError(`another command writes to ${directory} for a long time: wait for its end, or stop it`);
}

/** Where the name is a file, a process that was killed leaves it behind. */
function removeStale(name: string): Promise<void> {
  const socket = connect(name);
  return new Promise(resolve => {
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', ({ code }: NodeJS.ErrnoException) => {
      if (code !== 'ECONNREFUSED') resolve();
      else void unlink(name).then(resolve, () => resolve());
    });
  });
}

/** Longer than the longest transaction, which seals every credential anew. */
const patience = 60_000;
const retryMilliseconds = 3;
