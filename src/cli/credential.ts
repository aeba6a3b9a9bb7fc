import { randomBytes } from 'node:crypto';
import { Command } from 'commander';
import { OperatorError } from '../adapters/keyring.ts';
import { checkCredential } from '../adapters/lmdbAdmin.ts';
import { type Bytes, fromHex, textOf, toHex, utf8 } from '../base/bytes.ts';
import type { WallTime } from '../base/time.ts';
import { type EndpointName, parseEndpointName } from '../fleet/names.ts';
import { fail, printJson, printTable } from './output.ts';
import { withStore } from './store.ts';

export function credentialCommand(): Command {
  const command = new Command('credential').description('Pre-shared keys: who may register under which endpoint name');
  common(command.command('add <endpoint>'))
    .description('Add a credential; without --key a random one is made and printed, once')
    .option('--identity <text>', 'PSK identity, as text or hex:…; by default the endpoint name')
    .option('--key <hex>', '1 to 64 bytes in hexadecimal')
    .action((endpoint: string, options: AddOptions) => add(endpoint, options).catch(fail));
  common(command.command('revoke <endpoint>'))
    .description('Revoke the credentials of an endpoint name; they open nothing from then on')
    .option('--identity <text>', 'only the one with this identity')
    .action((endpoint: string, options: AddOptions) => revoke(endpoint, options).catch(fail));
  common(command.command('list'))
    .description('List credentials, without their keys')
    .action((options: CommonOptions) => list(options).catch(fail));
  return command;
}

async function add(name: string, options: AddOptions): Promise<void> {
  const endpoint = endpointName(name);
  const identity = identityBytes(options.identity ?? name);
  const key = options.key === undefined ? new Uint8Array(randomBytes(16)) : fromHex(options.key);
  if (key === undefined) throw new OperatorError('--key must be hexadecimal, for example from: openssl rand -hex 16');
  checkCredential({ identity, key });
  await withStore(options.data, async administration => {
    const [result] = await administration.add(Date.now() as WallTime, [{ endpoint, sector: undefined, identity, key }]);
    if (result === 'identity-taken') {
      throw new OperatorError(`identity ${identityText(identity)} exists already: choose another one with --identity`);
    }
  });
  // A key that the operator gave is known to him; a random one is shown here and never again.
  const shown = options.key === undefined ? { key: toHex(key) } : {};
  if (options.json) return printJson({ endpoint, identity: identityText(identity), ...shown });
  printTable([
    ['endpoint', endpoint],
    ['identity', identityText(identity)],
    ...(options.key === undefined ? [['key', `${toHex(key)}   (shown once)`]] : []),
  ]);
}

async function revoke(name: string, options: AddOptions): Promise<void> {
  const endpoint = endpointName(name);
  const identity = options.identity === undefined ? undefined : identityBytes(options.identity);
  const revoked = await withStore(options.data, administration =>
    administration.revoke(Date.now() as WallTime, endpoint, undefined, identity),
  );
  if (revoked === 0) throw new OperatorError(`${endpoint} has no such credential: see rollcall credential list`);
  if (options.json) return printJson({ endpoint, revoked });
  process.stdout.write(`${revoked} revoked\n`);
}

async function list(options: CommonOptions): Promise<void> {
  await withStore(options.data, async administration => {
    const rows: { identity: string; endpoint: string; createdAt: string; revokedAt?: string }[] = [];
    let after: Bytes | undefined;
    for (;;) {
      const page = administration.credentials(after, 1000);
      for (const { identity, endpoint, createdAt, revokedAt } of page) {
        rows.push({
          identity: identityText(identity),
          endpoint,
          createdAt: new Date(createdAt).toISOString(),
          ...(revokedAt === undefined ? {} : { revokedAt: new Date(revokedAt).toISOString() }),
        });
      }
      if (page.length < 1000) break;
      after = page.at(-1)!.identity;
    }
    if (options.json) return printJson(rows);
    printTable([
      ['IDENTITY', 'ENDPOINT', 'CREATED', 'REVOKED'],
      ...rows.map(row => [row.identity, row.endpoint, row.createdAt, row.revokedAt ?? '']),
    ]);
  });
}

export function common(command: Command): Command {
  return command
    .option('--data <dir>', 'where the store is', './data')
    .option('--json', 'print one JSON document', false);
}

export interface CommonOptions {
  readonly data: string;
  readonly json: boolean;
}

interface AddOptions extends CommonOptions {
  readonly identity?: string;
  readonly key?: string;
}

export function endpointName(text: string): EndpointName {
  const name = parseEndpointName(text);
  if (name === undefined) throw new OperatorError('an endpoint name has 1 to 63 bytes and no control characters');
  return name;
}

function identityBytes(text: string): Bytes {
  if (!text.startsWith('hex:')) return utf8(text);
  const bytes = fromHex(text.slice(4));
  if (bytes === undefined) throw new OperatorError('after hex: an identity is written in hexadecimal');
  return bytes;
}

function identityText(identity: Bytes): string {
  const text = textOf(identity);
  return text === undefined || /\p{Control}/u.test(text) ? `hex:${toHex(identity)}` : text;
}
