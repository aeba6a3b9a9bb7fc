import { stat } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { OperatorError } from './operatorError.ts';

/**
 * Makes sure that one server at a time serves a data directory: two would use the same sequence numbers under the same
 * keys. The lock is a socket that the system closes with the process, however it ends, so that no stale lock can stay.
 */
export class DirectoryLock {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Throws `OperatorError` if another server has the directory. */
  static async take(directory: string): Promise<DirectoryLock> {
    const server = createServer(socket => socket.destroy());
    const name = await lockName(directory);
    return new Promise((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EADDRINUSE') return reject(error);
        reject(new OperatorError(`another server uses ${directory}: stop it first, or give this one its own --data`));
      });
      server.listen(name, () => resolve(new DirectoryLock(server)));
      server.unref();
    });
  }

  /** Whether a server has the directory at this moment; it need not be there. */
  static async isTaken(directory: string): Promise<boolean> {
    const name = await lockName(directory).catch(() => undefined);
    if (name === undefined) return false;
    const socket = connect(name);
    return new Promise(resolve => {
      socket.once('error', () => resolve(false));
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
    });
  }

  release(): Promise<void> {
    return new Promise(resolve => this.#server.close(() => resolve()));
  }
}

/** On Linux a name in the abstract namespace, by device and inode; elsewhere a socket file in the directory. */
async function lockName(directory: string): Promise<string> {
  if (process.platform !== 'linux') return join(directory, 'serve.lock');
  const { dev, ino } = await stat(directory, { bigint: true });
  return `\0rollcall-${dev}-${ino}`;
}
