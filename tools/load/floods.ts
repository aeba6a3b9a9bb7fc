import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { type Bytes, noBytes, utf8 } from '../../src/base/bytes.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { Method } from '../../src/coap/codec/code.ts';
import { decodeMessage, encodeMessage } from '../../src/coap/codec/message.ts';
import { Echo, Observe, Options, UriPath, UriQuery } from '../../src/coap/codec/option.ts';
import { ClientHandshake } from '../../src/dtls/clientHandshake.ts';
import { cipherSuites } from '../../src/dtls/codec/cipherSuite.ts';
import { LoadFailure, type Target, UdpDevice } from './udpDevice.ts';

/** Who wants a server to have no time for its devices. Each goes on until `end` and returns how much it sent. */
export const floods = {
  hellos: {
    does: 'ClientHellos that nobody goes on with',
    run: (servers: Servers, end: End) => spray(servers.coaps, hello, 4000, end),
  },
  'wrong-keys': {
    does: 'handshakes under identities that nobody has',
    run: wrongKeys,
  },
  junk: {
    does: 'datagrams of random bytes on both ports',
    run: async (servers: Servers, end: End) => {
      const junk = (n: number) => random.bytes(1 + (n % 200));
      const sent = await Promise.all([servers.coap, servers.coaps].map(target => spray(target, junk, 2000, end)));
      return sent.reduce((a, b) => a + b, 0);
    },
  },
  refused: {
    does: 'registrations that are well formed, of names that have a key, without it',
    run: ({ coap, claimed }: Servers, end: End) =>
      spray(coap, n => request(n, Method.POST, ['rd'], [`ep=${claimed}`, 'lt=300', 'lwm2m=1.1']), 1500, end),
  },
  lookups: {
    does: 'lookups of the whole fleet, in pages that are far behind',
    run: ({ coap }: Servers, end: End) =>
      proved(coap, socket =>
        sprayOn(socket, n => request(n, Method.GET, ['rd-lookup', 'ep'], ['count=500', `page=${n % 9}`]), 400, end),
      ),
  },
  observers: {
    does: 'observers of lookups that never acknowledge',
    run: slowObservers,
  },
} as const satisfies Record<string, Flood>;

export type FloodName = keyof typeof floods;

export interface Flood {
  /** One line for people. */
  readonly does: string;
  run(servers: Servers, end: End): Promise<number>;
}

export interface Servers {
  readonly coap: Target;
  readonly coaps: Target;
  /** An endpoint name that has a credential. */
  readonly claimed: string;
}

/** Whether it is over. */
export type End = () => boolean;

/** So many a second, in bursts, whatever comes back. */
async function spray(target: Target, datagram: (n: number) => Bytes, perSecond: number, end: End): Promise<number> {
  const socket = await open(target);
  const sent = await sprayOn(socket, datagram, perSecond, end);
  socket.close();
  return sent;
}

async function sprayOn(socket: Socket, datagram: (n: number) => Bytes, perSecond: number, end: End): Promise<number> {
  const start = performance.now();
  let sent = 0;
  while (!end()) {
    const due = ((performance.now() - start) / 1000) * perSecond;
    while (sent < due) socket.send(datagram(sent++));
    await wait(burstMilliseconds);
  }
  return sent;
}

async function wrongKeys({ coaps }: Servers, end: End): Promise<number> {
  let handshakes = 0;
  const lane = async (): Promise<void> => {
    while (!end()) {
      const identity = utf8(`nobody-${handshakes++}`);
      const device = await UdpDevice.open(coaps, { identity, key: new Uint8Array(16) });
      // Whoever is left unanswered, as a throttled network is, does not wait for it.
      await Promise.race([device.connect().catch(onlyFailures), wait(500)]);
      await device.vanish();
    }
  };
  await Promise.all(Array.from({ length: 16 }, lane));
  return handshakes;
}

/** Each observes as much as it may, and never says that it heard anything; changes are what the devices do meanwhile. */
async function slowObservers({ coap }: Servers, end: End): Promise<number> {
  let observed = 0;
  const lane = (): Promise<void> =>
    proved(coap, async socket => {
      while (!end()) {
        for (let n = 0; n < 8; n++) {
          socket.send(request(observed++, Method.GET, ['rd-lookup', 'ep'], [`page=${n}`, 'count=100'], observe));
        }
        await wait(200);
      }
    });
  await Promise.all(Array.from({ length: 16 }, lane));
  return observed;
}

/** With an address that the server was shown to be ours (RFC 9175 §2.3), so that it answers at length. */
async function proved<Result>(target: Target, run: (socket: Socket) => Promise<Result>): Promise<Result> {
  const socket = await open(target);
  for (let n = 0, echo: Bytes | undefined; n < 10 && echo === undefined; n++) {
    socket.send(request(60_000 + n, Method.GET, ['rd-lookup', 'ep']));
    const answer = await Promise.race([once(socket, 'message'), wait(500)]);
    const message = answer === undefined ? undefined : decodeMessage(new Uint8Array((answer as [Buffer])[0]));
    echo = message?.kind === 'response' ? message.options.get(Echo)?.slice() : undefined;
    if (echo === undefined) continue;
    const again = echo;
    socket.send(request(61_000, Method.GET, ['rd-lookup', 'ep'], [], options => options.with(Echo, again)));
  }
  try {
    return await run(socket);
  } finally {
    socket.close();
  }
}

async function open(target: Target): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.on('error', () => undefined);
  socket.connect(target.port, target.host);
  await once(socket, 'connect');
  return socket;
}

/** Each with a message ID and a token of its own. */
function request(
  number: number,
  code: number,
  path: readonly string[],
  query: readonly string[] = [],
  more: (options: Options) => Options = options => options,
): Bytes {
  let options = more(Options.empty);
  for (const segment of path) options = options.with(UriPath, segment);
  for (const parameter of query) options = options.with(UriQuery, parameter);
  const messageId = number % 2 ** 16;
  const token = utf8(String(number));
  return encodeMessage({ kind: 'request', type: 'CON', code, messageId, token, options, payload: noBytes });
}

function observe(options: Options): Options {
  return options.with(Observe, 0);
}

function onlyFailures(error: unknown): void {
  if (!(error instanceof LoadFailure)) throw error;
}

const random = new SeededRandom(1);
const burstMilliseconds = 5;
const first = new ClientHandshake({
  identity: utf8('stranger'),
  key: new Uint8Array(16),
  suites: cipherSuites,
  random,
});
const step = first.start();
const helloBytes = step.kind === 'send' ? step.datagram : noBytes;
const hello = (): Bytes => helloBytes;
