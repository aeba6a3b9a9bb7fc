import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile, unlink, writeFile } from 'node:fs/promises';
import { connect, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { closeSocket, listenAt, socketName } from './directorySocket.ts';
import { OperatorError } from './operatorError.ts';
import { withDoor } from './storeDoor.ts';
import type { WriteGate } from './writeGate.ts';

/**
 * How whoever opens a store has the server on it pause meanwhile (`withDoor` says why):
 *
 * ```
 *   opens                            server
 *                        <--------   nonce 16
 *   HMAC(key, nonce) 32  -------->                waits for the end of its transaction
 *                        <--------   1            writes nothing
 *   [closes]             -------->                goes on
 * ```
 *
 * Anybody on the machine may connect, so the key is a file that only the directory's owner can read. Who does not come to
 * an end is not waited for, or a command that somebody stopped would leave the fleet unanswered; `checkNewest` sees to it that
 * nothing is undone if it goes on later.
 */
export class PauseRequests {
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>) {
    this.#server = server;
    this.#sockets = sockets;
  }

  /** Of the process that serves the directory, before its first transaction. */
  static async listen(directory: string, gate: WriteGate): Promise<PauseRequests> {
    const key = (await readKey(directory)) ?? (await makeKey(directory));
    const name = await socketName(directory, 'pause');
    if (!name.startsWith('\0')) await unlink(name).catch(() => undefined);
    const sockets = new Set<Socket>();
    return withDoor(directory, async () => {
      const server = await listenAt(name, socket => {
        sockets.add(socket);
        socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
        hear(socket, key, gate);
      });
      if (server === undefined) throw new OperatorError(`another process answers for the server on ${directory}`);
      server.maxConnections = maxConnections;
      gate.serve();
      return new PauseRequests(server, sockets);
    });
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await closeSocket(this.#server);
  }
}

function hear(socket: Socket, key: Buffer, gate: WriteGate): void {
  const nonce = randomBytes(nonceLength);
  let timer = setTimeout(() => socket.destroy(), longestProof);
  socket.once('close', () => clearTimeout(timer));
  socket.once('data', async proof => {
    clearTimeout(timer);
    if (proof.length !== proofLength || !timingSafeEqual(proof, prove(key, nonce))) return socket.destroy();
    const goOn = await gate.pause();
    if (socket.destroyed) return goOn();
    socket.once('close', goOn);
    timer = setTimeout(() => socket.destroy(), longestPause);
    socket.write(Uint8Array.of(1));
  });
  socket.write(nonce);
}

/**
 * Has the server on a directory pause, if one runs there. Call what it resolves to when the store is open. Only who finds
 * nobody there goes on without it: a server that hangs up may have too many who ask.
 */
export async function pauseServer(directory: string): Promise<() => void> {
  const key = await readKey(directory);
  if (key === undefined) return () => undefined;
  const name = await socketName(directory, 'pause');
  const end = performance.now() + patience;
  for (; performance.now() < end; await pause(retryMilliseconds)) {
    const answer = await ask(name, key, end - performance.now());
    if (answer === 'nobody') return () => undefined;
    if (answer !== 'hung-up') return () => void answer.destroy();
  }
  throw new OperatorError(`the server on ${directory} does not answer: is it stopped, or overloaded?`);
}

/** The connection that keeps the server paused. */
function ask(name: string, key: Buffer, milliseconds: number): Promise<Socket | 'nobody' | 'hung-up'> {
  const socket = connect(name);
  return new Promise(resolve => {
    const timer = setTimeout(() => socket.destroy(), milliseconds);
    const settle = (answer: Socket | 'nobody' | 'hung-up') => {
      clearTimeout(timer);
      resolve(answer);
    };
    socket.once('data', nonce => {
      socket.once('data', () => settle(socket));
      socket.write(prove(key, nonce));
    });
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'ECONNREFUSED' || code === 'ENOENT') settle('nobody');
    });
    socket.once('close', () => settle('hung-up'));
  });
}

function prove(key: Buffer, nonce: Uint8Array): Buffer {
  return createHmac('sha256', key).update(nonce).digest();
}

/** `undefined` also for one that was cut off while it was written: anybody could know what is left of it. */
async function readKey(directory: string): Promise<Buffer | undefined> {
  const key = await readFile(join(directory, keyFile)).catch(() => undefined);
  return key?.length === keyLength ? key : undefined;
}

async function makeKey(directory: string): Promise<Buffer> {
  const key = randomBytes(keyLength);
  await writeFile(join(directory, keyFile), key, { mode: 0o600 });
  return key;
}

const keyFile = 'pause.key';
const keyLength = 32;
const nonceLength = 16;
const proofLength = 32;
export const maxConnections = 16;
/** How long who connects may take for his proof, a command to open the store, and it waits for the server, in milliseconds. */
const longestProof = 1000;
const longestPause = 5000;
const patience = 15_000;
const retryMilliseconds = 20;
