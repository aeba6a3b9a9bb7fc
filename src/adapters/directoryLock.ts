import { connect, type Server } from 'node:net';
import { closeSocket, listenAt, socketName } from './directorySocket.ts';
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
    const server = await listenAt(await socketName(directory, 'serve'), socket => socket.destroy());
    if (server !== undefined) return new DirectoryLock(server);
    throw new OperatorError(`another server uses ${directory}: stop it first, or give this one its own --data`);
  }

  /** Whether a server has the directory at this moment; it need not be there. */
  static async isTaken(directory: string): Promise<boolean> {
    const name = await socketName(directory, 'serve').catch(() => undefined);
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
    return closeSocket(this.#server);
  }
}
