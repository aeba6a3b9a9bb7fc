import { Command, InvalidArgumentError, Option } from 'commander';
import { pino } from 'pino';
import { OperatorError } from '../adapters/operatorError.ts';
import { explainDamage } from '../adapters/storeCheck.ts';
import type { SocketAddress } from '../adapters/udpSocket.ts';
import { startServer } from '../server/server.ts';
import { type DtlsOptions, dtlsSettings, withDtlsOptions } from './dtlsOptions.ts';
import { type LimitOptions, withLimitOptions } from './limitOptions.ts';
import { fail } from './output.ts';

export function serveCommand(): Command {
  const command = new Command('serve')
    .description('Run the server until SIGTERM or SIGINT')
    .option('--data <dir>', 'where the store and the master key are kept', './data')
    .addOption(
      new Option('--coap <[host:]port>', 'plain CoAP, or off').default('127.0.0.1:5683').argParser(parseListen),
    )
    .addOption(
      new Option('--coaps <[host:]port>', 'CoAP over DTLS, or off').default('127.0.0.1:5684').argParser(parseListen),
    )
    .option('--insecure-coap', 'let devices without a credential register on plain CoAP', false)
    .option('--open-lookup', 'let every device with a credential look up the whole fleet, not only itself', false)
    .option('--profiles <dir>', 'read profiles from the files of a directory: see docs/profiles.md')
    .option('--objects <dir>', 'know the LwM2M objects in the files of a directory too: see docs/content.md')
    .option('--strict-parameters', 'refuse LwM2M requests with parameters that LwM2M does not know', false)
    .option('--drop-sessions', 'forget all DTLS sessions first: for a directory that was copied or restored', false)
    .option(
      '--dangerous-key-log <file>',
      'write the secrets of all new sessions to a file, for packet analysers: see docs/dtls.md',
    );
  return withDtlsOptions(withLimitOptions(command))
    .addHelpText('after', examples)
    .action(async (options: ServeOptions) => {
      try {
        await serve(options);
      } catch (error) {
        fail(explained(error, options.data));
      }
    });
}

async function serve(options: ServeOptions): Promise<void> {
  process.once('uncaughtException', error => fail(explained(error, options.data)));
  const log = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ fd: 1, sync: true }));
  const server = await startServer({
    data: options.data,
    coap: listenAddress(options.coap),
    coaps: listenAddress(options.coaps),
    insecureCoap: options.insecureCoap,
    openLookup: options.openLookup,
    profiles: options.profiles,
    objects: options.objects,
    strictParameters: options.strictParameters,
    dropSessions: options.dropSessions,
    keyLog: options.dangerousKeyLog,
    ...dtlsSettings(options),
    log,
  });
  log.info({
    msg: 'ready',
    coap: text(server.coap),
    coaps: text(server.coaps),
    sessions: server.sessions,
    data: options.data,
    next: `rollcall credential add NAME --data ${options.data}`,
  });
  const stop = (signal: string) => {
    log.info({ msg: 'stopping', signal });
    server.stop().then(() => process.exit(0), fail);
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

interface ServeOptions extends LimitOptions, DtlsOptions {
  readonly data: string;
  readonly coap: SocketAddress | string;
  readonly coaps: SocketAddress | string;
  readonly insecureCoap: boolean;
  readonly openLookup: boolean;
  readonly profiles?: string;
  readonly objects?: string;
  readonly strictParameters: boolean;
  readonly dropSessions: boolean;
  readonly dangerousKeyLog?: string;
}

/** `5684`, `0.0.0.0:5684`, `[::]:5684`, or `off`. */
function parseListen(value: string): SocketAddress | 'off' {
  if (value === 'off') return 'off';
  const match = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d{1,5})$/.exec(value);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw new InvalidArgumentError('expected [HOST:]PORT or off, e.g. 0.0.0.0:5684');
  return { host: match[1] ?? match[2] ?? '127.0.0.1', port };
}

function listenAddress(option: SocketAddress | string): SocketAddress | undefined {
  const parsed = typeof option === 'string' ? parseListen(option) : option;
  return parsed === 'off' ? undefined : parsed;
}

function text(address: SocketAddress | undefined): string | null {
  if (address === undefined) return null;
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

function explained(error: unknown, data: string): unknown {
  const { code, message, syscall } = error as NodeJS.ErrnoException;
  if (syscall !== 'bind') return explainDamage(error, data);
  if (code === 'EADDRINUSE') return new OperatorError(`${message}: another program listens there; choose another port`);
  if (code === 'EADDRNOTAVAIL') return new OperatorError(`${message}: this machine has no such address`);
  if (code === 'EACCES') return new OperatorError(`${message}: this user may not listen there`);
  return error;
}

const examples = `
Examples:
  rollcall serve
  rollcall serve --data /var/lib/rollcall --coaps 0.0.0.0:5684 --coap off
  rollcall serve --suites TLS_PSK_WITH_AES_128_CCM_8,TLS_PSK_WITH_AES_128_CCM --dtls-timeout 9s
  NODE_OPTIONS=--max-semi-space-size=32 rollcall serve

The last one gives what lives as long as a request does, up to the disk and back, 32 MB in place of Node's 16: a tenth less
CPU for some 20 MB of memory. \`npm start\` does that too.
`;
