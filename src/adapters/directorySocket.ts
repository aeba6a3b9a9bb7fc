import { stat } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';

/**
 * The name of a socket that stands for something about a data directory, and that the system takes away with the process
 * that has it, however it ends. On Linux it is in the abstract namespace, by device and inode; elsewhere a file there.
 */
export async function socketName(directory: string, purpose: Purpose): Promise<string> {
  if (process.platform !== 'linux') return join(directory, `${purpose}.lock`);
  const { dev, ino } = await stat(directory, { bigint: true });
  // The first one had the name for itself.
  return purpose === 'serve' ? `\0rollcall-${dev}-${ino}` : `\0rollcall-${purpose}-${dev}-${ino}`;
}

/** `undefined` if another process, or this one, has the name. It does not keep the process alive. */
export function listenAt(name: string, connected: (socket: Socket) => void): Promise<Server | undefined> {
  const server = createServer(connected);
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    );
    server.listen(name, () => resolve(server));
    server.unref();
  });
}

export function closeSocket(server: Server): Promise<void> {
  return new Promise(resolve => void server.close(() => resolve()));
}

/** Who serves the directory; who opens its store, or writes to it without serving it; whom the server listens to about that. */
export type Purpose = 'serve' | 'door' | 'pause';
