import { randomBytes } from 'node:crypto';
import { Command, Option } from 'commander';
import { checkCredential, type ShownCredential } from '../adapters/lmdbAdmin.ts';
import { OperatorError } from '../adapters/operatorError.ts';
import { type Bytes, toHex } from '../base/bytes.ts';
import type { WallTime } from '../base/time.ts';
import type { CredentialRole } from '../fleet/credential.ts';
import { importCredentials, nameTaken } from './credentialImport.ts';
import {
  type CommonOptions,
  endpointName,
  examples,
  identityBytes,
  identityText,
  keyBytes,
  wholeNumber,
  withCommonOptions,
} from './options.ts';
import { fail, printJson, printPages, printTable } from './output.ts';
import { withStore } from './store.ts';

export function credentialCommand(): Command {
  const command = new Command('credential').description(
    'Pre-shared keys: who may register under which endpoint name, and who may look',
  );
  withCommonOptions(command.command('add <endpoint>'))
    .description('Add a credential; without --key a random one is made and printed, once')
    .option('--identity <text>', 'PSK identity, as text or hex:…; by default the endpoint name')
    .option('--key <hex>', '1 to 64 bytes in hexadecimal')
    .addOption(
      new Option(
        '--role <role>',
        'a device registers; an operator looks up and observes over CoAP, and registers nothing',
      )
        .choices(['device', 'operator'])
        .default('device'),
    )
    .addHelpText(
      'after',
      examples(
        'rollcall credential add node-1',
        'rollcall credential add node-1 --identity hex:0badcafe --key "$KEY"',
        'rollcall credential add dashboard --role operator',
      ),
    )
    .action((endpoint: string, options: AddOptions & { role: CredentialRole }) => add(endpoint, options).catch(fail));
  withCommonOptions(command.command('import <file>'))
    .description(
      'Add credentials from lines of JSON, {"endpoint": …, "identity": …, "key": …, "role": …}; - is standard input',
    )
    .addHelpText(
      'after',
      examples('rollcall credential import keys.ndjson', 'zcat keys.gz | rollcall credential import -'),
    )
    .action((file: string, options: CommonOptions) => importFile(file, options).catch(fail));
  withCommonOptions(command.command('list'))
    .description('List credentials, without their keys')
    .option('--limit <count>', 'at most so many', wholeNumber)
    .addHelpText('after', examples('rollcall credential list --limit 20'))
    .action((options: ListOptions) => list(options).catch(fail));
  withCommonOptions(command.command('show <endpoint>'))
    .description('Show the credentials of an endpoint name, without their keys')
    .addHelpText('after', examples('rollcall credential show node-1 --json'))
    .action((endpoint: string, options: CommonOptions) => show(endpoint, options).catch(fail));
  withCommonOptions(command.command('revoke <endpoint>'))
    .description('Revoke the credentials of an endpoint name; they open nothing from then on')
    .option('--identity <text>', 'only the one with this identity')
    .addHelpText('after', examples('rollcall credential revoke node-1'))
    .action((endpoint: string, options: AddOptions) => revoke(endpoint, options).catch(fail));
  return command;
}

async function add(name: string, options: AddOptions & { role: CredentialRole }): Promise<void> {
  const { role } = options;
  const endpoint = endpointName(name);
  const identity = identityBytes(options.identity ?? name);
  const key = options.key === undefined ? new Uint8Array(randomBytes(16)) : keyBytes(options.key);
  checkCredential({ identity, key });
  await withStore(
    options.data,
    async administration => {
      const wanted = { endpoint, sector: undefined, identity, key, role };
      const [result] = await administration.add(Date.now() as WallTime, [wanted]);
      if (result === 'name-taken') throw new OperatorError(nameTaken(endpoint, role));
      if (result !== 'added') {
        throw new OperatorError(
          `identity ${identityText(identity)} exists already: choose another one with --identity`,
        );
      }
    },
    true,
  );
  // A key that the operator gave is known to him; a random one is shown here and never again.
  const shown = options.key === undefined ? { key: toHex(key) } : {};
  if (options.json) return printJson({ endpoint, identity: identityText(identity), role, ...shown });
  printTable([
    ['endpoint', endpoint],
    ['identity', identityText(identity)],
    ['role', role],
    ...(options.key === undefined ? [['key', `${toHex(key)}   (shown once)`]] : []),
  ]);
}

async function importFile(file: string, options: CommonOptions): Promise<void> {
  const result = await withStore(options.data, administration => importCredentials(administration, file), true);
  if (result.bad > 0) process.exitCode = 1;
  if (options.json) return printJson(result);
  printTable([
    ['added', String(result.added)],
    ['unchanged', String(result.unchanged)],
    ['bad lines', String(result.bad)],
  ]);
  for (const { line, reason } of result.badLines) process.stderr.write(`line ${line}: ${reason}\n`);
  if (result.bad > result.badLines.length) process.stderr.write(`… and ${result.bad - result.badLines.length} more\n`);
}

async function revoke(name: string, options: AddOptions): Promise<void> {
  const endpoint = endpointName(name);
  const identity = options.identity === undefined ? undefined : identityBytes(options.identity);
  const revoked = await withStore(options.data, administration =>
    administration.revoke(Date.now() as WallTime, endpoint, undefined, identity),
  );
  if (revoked === 0) {
    const which = identity === undefined ? '' : ` with the identity ${identityText(identity)}`;
    throw new OperatorError(`${endpoint} has no credential${which} in force: see rollcall credential list`);
  }
  if (options.json) return printJson({ endpoint, revoked });
  process.stdout.write(`${revoked} revoked\n`);
}

async function list(options: ListOptions): Promise<void> {
  await withStore(options.data, async administration => {
    const pages = function* (): Iterable<CredentialRow[]> {
      let left = options.limit ?? Number.POSITIVE_INFINITY;
      let after: Bytes | undefined;
      while (left > 0) {
        const page = administration.credentials(after, Math.min(pageLength, left));
        yield page.map(credentialRow);
        if (page.length < pageLength) return;
        left -= page.length;
        after = page.at(-1)!.identity;
      }
    };
    await printPages(pages(), options.json, columns);
  });
}

async function show(name: string, options: CommonOptions): Promise<void> {
  const endpoint = endpointName(name);
  await withStore(options.data, async administration => {
    const found = administration
      .identitiesOf(endpoint, undefined)
      .map(identity => administration.credential(identity))
      .filter(credential => credential !== undefined)
      .map(credentialRow);
    if (found.length === 0) throw new OperatorError(`${endpoint} has no credential: see rollcall credential list`);
    await printPages([found], options.json, columns);
  });
}

function credentialRow({ identity, endpoint, role, createdAt, revokedAt }: ShownCredential): CredentialRow {
  return {
    identity: identityText(identity),
    endpoint,
    role,
    createdAt: new Date(createdAt).toISOString(),
    ...(revokedAt === undefined ? {} : { revokedAt: new Date(revokedAt).toISOString() }),
  };
}

interface CredentialRow {
  readonly identity: string;
  readonly endpoint: string;
  readonly role: CredentialRole;
  readonly createdAt: string;
  readonly revokedAt?: string;
}

interface AddOptions extends CommonOptions {
  readonly identity?: string;
  readonly key?: string;
}

interface ListOptions extends CommonOptions {
  readonly limit?: number;
}

const columns: Record<string, (row: CredentialRow) => string> = {
  IDENTITY: row => row.identity,
  ENDPOINT: row => row.endpoint,
  ROLE: row => row.role,
  CREATED: row => row.createdAt,
  REVOKED: row => row.revokedAt ?? '',
};
const pageLength = 1000;
