import { Command, InvalidArgumentError, Option } from 'commander';
import { OperatorError } from '../src/adapters/operatorError.ts';
import { fail, printJson, printTable } from '../src/cli/output.ts';
import { progressBar } from '../src/cli/progress.ts';
import { addCredentials, type SimulatedDevice, simulatedDevice } from './load/fleet.ts';
import { IndependentDevice } from './load/independentDevice.ts';
import { inFlight, type LoadResult, percentile } from './load/inFlight.ts';
import { type LoadDevice, type Target, UdpDevice } from './load/udpDevice.ts';

/** A fleet over real UDP: each device opens its session, registers and leaves; the registrations stay. */
new Command('simulate')
  .description('Register a fleet of simulated devices with a running server')
  .requiredOption(
    '--server <url>',
    'coaps://HOST:PORT, or coap://HOST:PORT for a server with --insecure-coap',
    parseUrl,
  )
  .option('--devices <count>', 'how many devices', parseCount, 100)
  .option('--data <dir>', "the server's store, where the devices' credentials are added; without it they must be there")
  .option('--prefix <name>', 'what the endpoint names begin with', 'sim')
  .option('--in-flight <count>', 'how many devices at a time', parseCount, 64)
  .addOption(
    new Option('--stack <stack>', 'whose protocol code the devices run: ours, or node-coap over node-dtls-client')
      .choices(['rollcall', 'independent'])
      .default('rollcall'),
  )
  .option('--json', 'print one JSON document', false)
  .addHelpText(
    'after',
    `
Examples:
  npm run simulate -- --devices 1000 --server coaps://127.0.0.1:5684 --data ./data
  npm run simulate -- --devices 50 --server coaps://127.0.0.1:5684 --data ./data --stack independent

Exit code: 0 if every device registered, 1 if one did not.
`,
  )
  .action((options: SimulateOptions) => simulate(options).catch(fail))
  .parse();

async function simulate(options: SimulateOptions): Promise<void> {
  const { server, stack } = options;
  if (stack === 'independent' && !server.secure) {
    throw new OperatorError('--stack independent speaks coaps:// only');
  }
  const fleet = Array.from({ length: options.devices }, (_, number) => simulatedDevice(options.prefix, number));
  if (options.data !== undefined && server.secure) {
    const bar = progressBar('credentials', fleet.length);
    await addCredentials(options.data, fleet, added => bar.at(added));
    bar.end();
  }
  const handshakes: number[] = [];
  const bar = progressBar('registered', fleet.length);
  const result = await inFlight(
    fleet.length,
    options.inFlight,
    async index => {
      const simulated = fleet[index]!;
      const device = await open(options, simulated);
      try {
        const start = performance.now();
        await device.connect();
        handshakes.push(performance.now() - start);
        await device.register(simulated.registration);
      } finally {
        await device.close();
      }
    },
    (done, failed) => bar.at(done, failed === 0 ? '' : `${failed} failed`),
  );
  bar.end();
  summarise(options, result, handshakes);
  if (result.failed > 0) process.exitCode = 1;
}

async function open({ server, stack }: SimulateOptions, { identity, key }: SimulatedDevice): Promise<LoadDevice> {
  if (stack === 'independent') return new IndependentDevice(server, { identity, key });
  return UdpDevice.open(server, server.secure ? { identity: new TextEncoder().encode(identity), key } : undefined);
}

function summarise({ json, server, stack }: SimulateOptions, result: LoadResult, handshakes: number[]): void {
  handshakes.sort((a, b) => a - b);
  const registered = result.latencies.length;
  const summary = {
    registered,
    failed: result.failed,
    failures: Object.fromEntries(result.failures),
    seconds: round(result.seconds),
    ...(server.secure && { handshakesPerSecond: round(handshakes.length / result.seconds) }),
    registrationsPerSecond: round(registered / result.seconds),
    // From the first datagram of the handshake to the answer of the registration.
    p50Ms: round(percentile(result.latencies, 0.5)),
    p90Ms: round(percentile(result.latencies, 0.9)),
    p99Ms: round(percentile(result.latencies, 0.99)),
    ...(server.secure && { handshakeP50Ms: round(percentile(handshakes, 0.5)) }),
    stack,
  };
  if (json) return printJson(summary);
  printTable([
    ['registered', `${registered} in ${summary.seconds} s, ${summary.registrationsPerSecond} a second`],
    ['failed', String(result.failed)],
    ...[...result.failures].map(([reason, count]) => ['', `${count} × ${reason}`]),
    ...(server.secure ? [['handshakes', `${summary.handshakesPerSecond} a second`]] : []),
    ['latency', `p50 ${summary.p50Ms} ms, p90 ${summary.p90Ms} ms, p99 ${summary.p99Ms} ms`],
  ]);
}

function parseUrl(text: string): Server {
  const match = /^(coaps?):\/\/(?:\[([^\]]+)\]|([^:/]+))(?::(\d{1,5}))?\/?$/.exec(text);
  if (match === null) throw new InvalidArgumentError('expected coaps://HOST:PORT');
  const secure = match[1] === 'coaps';
  const host = match[2] ?? match[3]!;
  return { secure, host: host === 'localhost' ? '127.0.0.1' : host, port: Number(match[4] ?? (secure ? 5684 : 5683)) };
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError('expected a whole number from 1 on');
  return count;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

interface Server extends Target {
  readonly secure: boolean;
}

interface SimulateOptions {
  readonly server: Server;
  readonly devices: number;
  readonly data?: string;
  readonly prefix: string;
  readonly inFlight: number;
  readonly stack: 'rollcall' | 'independent';
  readonly json: boolean;
}
