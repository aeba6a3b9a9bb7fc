import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
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
  readonly #sealing: Bytes;

  private constructor(master: Bytes) {
    this.registrationIds = derive(master, 'registration ids');
    this.fakeKeys = derive(master, 'keys of unknown identities');
    this.#sealing = derive(master, 'sealed credentials');
  }

  static async open(directory: string, environment: NodeJS.ProcessEnv = process.env): Promise<Keyring> {
    const given = environment[variable];
    if (given !== undefined && given !== '') {
      const master = fromHex(given);
      if (master?.length !== masterKeyLength) {
        throw new OperatorError(`${variable} must be 64 hexadecimal digits, for example from: openssl rand -hex 32`);
      }
      return new Keyring(master);
    }
    return new Keyring(await readOrCreate(join(directory, fileName)));
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

async function readOrCreate(path: string): Promise<Bytes> {
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      const master = randomBytes(masterKeyLength);
      await file.writeFile(`${master.toString('hex')}\n`);
      await file.sync();
      await chmod(path, 0o600);
      return master;
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const { mode } = await stat(path);
  if ((mode & 0o077) !== 0) {
    throw new OperatorError(`${path} can be read by others. It seals every device's key: run chmod 600 ${path}`);
  }
  for (let attempt = 0; ; attempt++) {
    const master = fromHex((await readFile(path, 'utf8')).trim());
    if (master?.length === masterKeyLength) return master;
    // Another process may be writing it at this moment.
    if (attempt === 20)
      throw new OperatorError(`${path} does not hold 64 hexadecimal digits: restore it from a backup`);
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
