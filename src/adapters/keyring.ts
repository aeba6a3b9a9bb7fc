import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { chmod, open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Bytes, fromHex } from '../base/bytes.ts';

/** A failure that the operator can do something about; its message says what. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError';
}

/**
 * The master key of a data directory and what is derived from it. Comes from the environment variable
 * `ROLLCALL_MASTER_KEY` (64 hexadecimal digits), else from the file `master.key`, which the first start makes.
 */
export class Keyring {
  readonly registrationIds: Bytes;
  readonly fakeKeys: Bytes;
  /** Tells one master key from another; says nothing about the key itself. */
  readonly check: Bytes;
  readonly #sealing: Bytes;

  private constructor(master: Bytes) {
    this.registrationIds = derive(master, 'registration ids');
    this.fakeKeys = derive(master, 'keys of unknown identities');
    this.check = derive(master, 'check');
    this.#sealing = derive(master, 'sealed credentials');
  }

  /** Makes a master key if there is none and `mayCreate`; else that is an `OperatorError`. */
  static async open(directory: string, mayCreate: boolean): Promise<Keyring> {
    const given = process.env[variable];
    if (given !== undefined && given !== '') {
      const master = fromHex(given);
      if (master?.length !== masterKeyLength) {
        throw new OperatorError(`${variable} must be 64 hexadecimal digits, for example from: openssl rand -hex 32`);
      }
      return new Keyring(master);
    }
    const path = join(directory, fileName);
    if (mayCreate) await createUnlessThere(path);
    return new Keyring(await read(path));
  }

  /** Seals a secret (AES-256-GCM); it opens only together with the same `context`. */
  seal(secret: Bytes, context: Bytes): Bytes {
    const nonce = randomBytes(nonceLength);
    const cipher = createCipheriv('aes-256-gcm', this.#sealing, nonce);
    cipher.setAAD(context);
    return new Uint8Array(Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()]));
  }

  /** `undefined` if it was sealed under another master key, or was changed. */
  open(sealed: Bytes, context: Bytes): Bytes | undefined {
    if (sealed.length < nonceLength + tagLength) return undefined;
    const end = sealed.length - tagLength;
    const decipher = createDecipheriv('aes-256-gcm', this.#sealing, sealed.subarray(0, nonceLength));
    decipher.setAAD(context);
    decipher.setAuthTag(sealed.subarray(end));
    const secret = decipher.update(sealed.subarray(nonceLength, end));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return new Uint8Array(secret);
  }
}

/** In constant time for secrets of one length. */
export function sameSecret(a: Bytes, b: Bytes): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

async function createUnlessThere(path: string): Promise<void> {
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(`${randomBytes(masterKeyLength).toString('hex')}\n`);
      await file.sync();
      await chmod(path, 0o600);
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

async function read(path: string): Promise<Bytes> {
  const { mode } = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    throw new OperatorError(
      `${path} is missing, and without it no device's key can be read: restore it from a backup, or set ${variable}`,
    );
  });
  if ((mode & 0o077) !== 0) {
    throw new OperatorError(`${path} can be read by others. It seals every device's key: run chmod 600 ${path}`);
  }
  for (let attempt = 0; ; attempt++) {
    const master = fromHex((await readFile(path, 'utf8')).trim());
    if (master?.length === masterKeyLength) return master;
    // Another process may be writing it at this moment.
    if (attempt === 20) {
      throw new OperatorError(`${path} does not hold 64 hexadecimal digits: restore it from a backup`);
    }
    await new Promise(resolve => setTimeout(resolve, 25));
  }
}

function derive(master: Bytes, purpose: string): Bytes {
  return new Uint8Array(hkdfSync('sha256', master, '', `rollcall ${purpose}`, 32));
}

const variable = 'ROLLCALL_MASTER_KEY';
const fileName = 'master.key';
const masterKeyLength = 32;
const nonceLength = 12;
const tagLength = 16;
