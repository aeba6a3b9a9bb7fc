import { closeSync, fchmodSync, openSync, writeSync } from 'node:fs';
import { type KeyLog, keyLogLine } from '../dtls/keyLog.ts';
import { OperatorError } from './operatorError.ts';

/** Adds to a file that only its owner reads. What cannot be written is told, and stops nothing. */
export class KeyLogFile implements KeyLog {
  readonly #file: number;
  readonly #broken: (error: unknown) => void;

  constructor(path: string, broken: (error: unknown) => void) {
    this.#broken = broken;
    try {
      this.#file = openSync(path, 'a', 0o600);
      // It may have been there with another mode.
      fchmodSync(this.#file, 0o600);
    } catch (error) {
      throw new OperatorError(`the key log ${path} cannot be written: ${(error as Error).message}`);
    }
  }

  secret(...[clientRandom, masterSecret]: Parameters<KeyLog['secret']>): void {
    try {
      writeSync(this.#file, keyLogLine(clientRandom, masterSecret));
    } catch (error) {
      this.#broken(error);
    }
  }

  close(): void {
    closeSync(this.#file);
  }
}
