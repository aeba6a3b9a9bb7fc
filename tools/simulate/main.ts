import { writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import { OperatorError } from '../../src/adapters/operatorError.ts';
import { fromHex, utf8 } from '../../src/base/bytes.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { fail, printJson, printTable } from '../../src/cli/output.ts';
import { progressBar } from '../../src/cli/progress.ts';
import { addCredentials, type SimulatedDevice, simulatedDevice } from '../load/fleet.ts';
import { parseUrl, type ServerUrl } from '../load/serverUrl.ts';
import { Fleet } from './fleet.ts';
import { simulateIndependent } from './independent.ts';
import { assign, type Group, presets, readMix } from './mix.ts';
import { html, rows, type Summary, summarise } from './summary.ts';
import { liveView } from './view.ts';

/** A fleet of constrained nodes in one process, against a server of ours or of anybody else's. */
const program = new Command('simulate')
  .description('Simulate a fleet of devices: each opens its session and registers, and lives on if --duration says so')
  .requiredOption(
    '--server <url>',
    'coaps://HOST:PORT, or coap://HOST:PORT for a server with --insecure-coap',
    parseUrl,
  )
  .option('--devices <count>', 'how many devices', parseCount, 100)
  .option('--data <dir>', "the server's store, where the devices' credentials are added; without it they must be there")
  .option('--duration <seconds>', 'how long devices live after they registered; 0 to leave at once', parseSeconds, 0)
  .option('--mix <file>', `how they behave: a YAML file, or one of ${Object.keys(presets).join(', ')}`, 'steady')
  .option('--seed <number>', 'the same seed is the same fleet', parseSeconds, 1)
  .option('--sockets <count>', 'by default one each, up to 4096 that devices share by connection ID', parseCount)
  .addOption(new Option('--dialect <dialect>', 'how they register').choices(['cbor', 'lwm2m']).default('cbor'))
  .option('--identity <text>', 'one PSK identity for all, with --key: for a server that knows no more than one')
  .option('--key <hex>', 'the key of --identity', parseKey)
  .option('--prefix <name>', 'what the endpoint names begin with', 'sim')
  .option('--in-flight <count>', 'how many devices connect at a time', parseCount, 64)
  .addOption(
    new Option('--stack <stack>', 'whose protocol code the devices run: ours, or node-coap over node-dtls-client')
      .choices(['rollcall', 'independent'])
      .default('rollcall'),
  )
  .option('--html <file>', 'write the summary as a page too')
  .option('--json', 'print one JSON document', false)
  .addHelpText(
    'after',
    `
Examples:
  npm run simulate -- --devices 1000 --server coaps://127.0.0.1:5684 --data ./data
  npm run simulate -- --devices 100000 --duration 600 --mix fleet.yaml --server coaps://127.0.0.1:5684 --data ./data
  npm run simulate -- --devices 50 --server coaps://127.0.0.1:5684 --data ./data --stack independent
  npm run simulate -- --devices 100 --dialect lwm2m --server coap://127.0.0.1:5783

A mix file is a list of groups; each has a share, and may be like a preset:
  - { share: 80, like: sleepy }
  - { share: 15, update: 30, send: 10, roam: 60 }
  - { share: 5, like: wrong-key }

A summary is printed at the end, or when you press Ctrl-C.
Exit code: 0 if every device that could register did, 1 if one did not.
`,
  )
  .action((options: SimulateOptions) => simulate(options).catch(fail));

async function simulate(options: SimulateOptions): Promise<void> {
  const { server, json } = options;
  const groups = readMix(options.mix);
  if ((options.identity === undefined) !== (options.key === undefined)) {
    throw new OperatorError('--identity and --key go together');
  }
  const devices = Array.from({ length: options.devices }, (_, number) => simulatedDevice(options.prefix, number));
  if (options.data !== undefined && server.secure) await introduce(options.data, devices);
  if (options.stack === 'independent') {
    const summary = await simulateIndependent(server, devices, options.inFlight);
    report(summary, options);
    if (summary.failed > 0) process.exitCode = 1;
    return;
  }
  const fleet = await open(options, devices, groups);
  const start = performance.now();
  const interrupted = new AbortController();
  process.once('SIGINT', () => interrupted.abort());
  const view = json ? { end() {} } : liveView(fleet, devices.length, server.secure);
  const everybody = fleet.start();
  await Promise.race([everybody, aborted(interrupted.signal)]);
  if (options.duration > 0) {
    await delay(options.duration * 1000, undefined, { signal: interrupted.signal }).catch(() => undefined);
  }
  view.end();
  const summary = summarise(fleet, devices.length, (performance.now() - start) / 1000, server.secure);
  await fleet.end();
  report(summary, options);
  const able = devices.length - unable(groups, devices.length);
  if (summary.registered < able || (options.duration === 0 && summary.failed > 0 && able === devices.length)) {
    process.exitCode = 1;
  }
  if (options.html !== undefined) {
    await writeFile(options.html, html(summary, `npm run simulate -- ${process.argv.slice(2).join(' ')}`));
  }
}

function open(options: SimulateOptions, devices: readonly SimulatedDevice[], groups: readonly Group[]): Promise<Fleet> {
  const { server, seed, inFlight, dialect, identity, key } = options;
  const sockets = options.sockets ?? Math.min(devices.length, defaultSockets);
  if (!server.secure && sockets < devices.length) {
    throw new OperatorError(
      `devices on plain CoAP need a socket each: at most ${sockets} here, or --sockets ${devices.length} with a higher limit of open files (ulimit -n)`,
    );
  }
  const random = new SeededRandom(seed);
  return Fleet.open({
    server,
    secure: server.secure,
    devices,
    groups,
    groupOf: assign(groups, devices.length, bound => random.below(bound)),
    sockets,
    inFlight,
    lives: options.duration > 0,
    seed,
    dialect,
    ...(identity !== undefined && key !== undefined && { sharedIdentity: { identity: utf8(identity), key } }),
  });
}

async function introduce(data: string, devices: readonly SimulatedDevice[]): Promise<void> {
  const bar = progressBar('credentials', devices.length);
  await addCredentials(data, devices, added => bar.at(added));
  bar.end();
}

/** About how many devices cannot register, as their group wants it. */
function unable(groups: readonly Group[], devices: number): number {
  const total = groups.reduce((sum, { share }) => sum + share, 0);
  const shares = groups.filter(({ wrongKey, flood }) => wrongKey === true || flood !== undefined);
  return Math.ceil((devices * shares.reduce((sum, { share }) => sum + share, 0)) / total);
}

function report(summary: Summary, { json }: SimulateOptions): void {
  if (json) printJson(summary);
  else printTable(rows(summary));
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => signal.addEventListener('abort', () => resolve()));
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError('expected a whole number from 1 on');
  return count;
}

function parseSeconds(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 0) throw new InvalidArgumentError('expected a whole number');
  return count;
}

function parseKey(text: string): Uint8Array {
  const key = fromHex(text);
  if (key === undefined || key.length === 0) throw new InvalidArgumentError('expected a key in hexadecimal');
  return key;
}

interface SimulateOptions {
  readonly server: ServerUrl;
  readonly devices: number;
  readonly data?: string;
  readonly duration: number;
  readonly mix: string;
  readonly seed: number;
  readonly sockets?: number;
  readonly dialect: 'cbor' | 'lwm2m';
  readonly identity?: string;
  readonly key?: Uint8Array;
  readonly prefix: string;
  readonly inFlight: number;
  readonly stack: 'rollcall' | 'independent';
  readonly html?: string;
  readonly json: boolean;
}

const defaultSockets = 4096;

program.parse();
