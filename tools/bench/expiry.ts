import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { openDataDirectory } from '../../src/adapters/dataDirectory.ts';
import { LmdbStore } from '../../src/adapters/lmdbStore.ts';
import { BlockPermutation } from '../../src/adapters/registrationIds.ts';
import { noBytes, utf8 } from '../../src/base/bytes.ts';
import type { Peer } from '../../src/base/peer.ts';
import { type Instant, seconds, type WallTime, wallAfter } from '../../src/base/time.ts';
import { Method } from '../../src/coap/codec/code.ts';
import { decodeMessage, encodeMessage, type Request } from '../../src/coap/codec/message.ts';
import { Options, UriPath, UriQuery } from '../../src/coap/codec/option.ts';
import { defaultGrace } from '../../src/fleet/registration.ts';
import { RegistrationIds } from '../../src/fleet/registrationId.ts';
import { Service } from '../../src/service/service.ts';
import { percentile } from '../load/inFlight.ts';
import { round } from './figures.ts';
import { ServerProcess } from './serverProcess.ts';
import { type Findings, inFreshDirectory, type StudyOptions } from './study.ts';

/** How long registrations take while the lifetimes of a whole fleet end in the same second, against the time before. */
export function measureExpiry({ devices = 10_000 }: StudyOptions): Promise<Findings> {
  return inFreshDirectory(async data => {
    const ends = await fill(data, devices);
    const listen = ['--coap', '127.0.0.1:0', '--coaps', 'off', '--insecure-coap'];
    const server = await ServerProcess.start('../../src/cli/main.js', 'serve', '--data', data, ...listen);
    const answered = await registerUntil(ends + seconds(12), server);
    await server.stop();
    const { first, last, count } = await expired(data);
    const during = answered.filter(({ at }) => at >= first - 50 && at <= last + 50);
    return {
      figures: { expired: count, withinMs: last - first },
      table: [
        latencies(
          'before and after',
          answered.filter(entry => !during.includes(entry)),
        ),
        latencies('meanwhile', during),
      ],
      fault: count === devices ? undefined : `${count} of ${devices} registrations ended`,
    };
  });
}

/** A fleet whose lifetimes, with their grace, are over in the same second. Returns when. */
async function fill(data: string, devices: number): Promise<number> {
  const { environment, keyring } = await openDataDirectory(data, true);
  const store = await LmdbStore.open(environment, keyring, error => {
    throw error;
  });
  await store.started(Date.now() as WallTime);
  const ids = new RegistrationIds(new BlockPermutation(keyring.registrationIds));
  const service = new Service({ ids, insecureCoap: true });
  const ends = Date.now() + seconds(10) + devices / 2;
  for (let i = 0; i < devices; i++) {
    const outcome = service.route(registration(`leaving-${i}`, 60), {
      now: { instant: 0 as Instant, wall: wallAfter((ends + (i % 1000)) as WallTime, -seconds(60) - defaultGrace) },
      view: store.view(),
      find: store.find.bind(store),
      allocateRow: () => store.allocateRow(),
      principal: { kind: 'anonymous' },
      transport: 'coap',
      address: '192.0.2.1',
      port: 1024 + (i % 60_000),
      peer: 1 as Peer,
      addressProved: true,
      exchange: {
        peer: 1 as Peer,
        messageId: i & 0xffff,
        confirmable: true,
        code: Method.POST,
        token: noBytes,
        block1: undefined,
        block2: undefined,
        acknowledged: false,
      },
      messageId: i & 0xffff,
      sequence: undefined,
    });
    if (outcome.kind !== 'commit') throw new Error('not registered');
    store.commit(outcome.commit, () => {});
    if (i % 1000 === 0) await store.settled();
  }
  await store.settled();
  await store.alive(Date.now() as WallTime, 1);
  await store.settled();
  await store.close();
  return ends;
}

/** At a steady rate, each from a device of its own. Returns how long each took, in milliseconds, and when it began. */
async function registerUntil(end: number, { coap }: ServerProcess): Promise<Answered[]> {
  const socket = createSocket('udp4');
  socket.connect(coap.port, coap.host);
  await once(socket, 'connect');
  const sent = new Map<number, { began: number; at: number }>();
  const answered: Answered[] = [];
  socket.on('message', (datagram: Buffer) => {
    const message = decodeMessage(new Uint8Array(datagram));
    const entry = message.kind === 'response' ? sent.get(message.messageId) : undefined;
    if (entry === undefined) return;
    answered.push({ at: entry.at, took: performance.now() - entry.began });
    sent.delete((message as { messageId: number }).messageId);
  });
  for (let i = 0; Date.now() < end; i++) {
    const request = encodeMessage({ ...registration(`coming-${i}`, 86_400), messageId: i & 0xffff });
    sent.set(i & 0xffff, { began: performance.now(), at: Date.now() });
    socket.send(request);
    await new Promise(resolve => setTimeout(resolve, 1000 / rate));
  }
  await new Promise(resolve => setTimeout(resolve, 1000));
  if (sent.size > 0) process.stderr.write(`${sent.size} requests were not answered\n`);
  socket.close();
  return answered;
}

async function expired(data: string): Promise<{ first: number; last: number; count: number }> {
  const { environment, keyring } = await openDataDirectory(data, false);
  const store = await LmdbStore.open(environment, keyring, () => {});
  const times = store
    .events(1, Number.MAX_SAFE_INTEGER)
    .filter(({ type }) => type === 'expired')
    .map(({ at }) => at);
  await store.close();
  return { first: Math.min(...times), last: Math.max(...times), count: times.length };
}

function registration(name: string, lifetime: number): Request {
  const options = [`ep=${name}`, `lt=${lifetime}`, 'lwm2m=1.1'].reduce(
    (before, parameter) => before.with(UriQuery, parameter),
    Options.empty.with(UriPath, 'rd'),
  );
  const payload = utf8('</1/0>,</3/0>,</3303/0>');
  return { kind: 'request', type: 'CON', code: Method.POST, messageId: 0, token: noBytes, options, payload };
}

function latencies(registrations: string, answered: readonly Answered[]) {
  const sorted = answered.map(({ took }) => took).sort((a, b) => a - b);
  const [p50Ms, p99Ms, longestMs] = [0.5, 0.99, 1].map(share => round(percentile(sorted, share)));
  return { registrations, count: sorted.length, p50Ms: p50Ms!, p99Ms: p99Ms!, longestMs: longestMs! };
}

interface Answered {
  /** In milliseconds of the wall clock. */
  readonly at: number;
  readonly took: number;
}

/** A second. */
const rate = 200;
