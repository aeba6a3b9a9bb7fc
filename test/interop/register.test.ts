import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import t from 'tap';
import { TestServer } from '../support/server.ts';
import { UdpProxy } from '../support/udpProxy.ts';

const source = 'tools/examples/register.c';
const run = promisify(execFile);

/** `undefined` if there is no compiler. */
async function compile(folder: string): Promise<string | undefined> {
  const program = join(folder, 'register');
  // Undefined behaviour ends it on the spot; this way that needs no library.
  const trap = ['-fsanitize=undefined', '-fsanitize-undefined-trap-on-error'];
  const flags = ['-std=c99', '-pedantic', '-Wall', '-Wextra', '-Werror', '-O2', ...trap];
  try {
    const { stderr } = await run('gcc', [...flags, '-o', program, source]);
    t.equal(stderr, '', 'it compiles without a warning');
    return program;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return undefined;
  }
}

/** Runs it to its end. */
async function device(program: string, ...args: string[]): Promise<{ code: number; output: string }> {
  return new Promise(resolve => {
    execFile(program, args, { timeout: 30_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), output: stdout + stderr }),
    );
  });
}

/** Where it was registered, one time after the other. */
async function* locations(child: ChildProcess): AsyncGenerator<string> {
  for await (const line of createInterface({ input: child.stdout! })) {
    const location = /registered at (\S+)/.exec(line)?.[1];
    if (location !== undefined) yield location;
  }
}

async function next(registered: AsyncGenerator<string>): Promise<string> {
  const { done, value } = await registered.next();
  if (done === true) throw new Error('the device ended before it was registered');
  return value;
}

t.test('the example device has at most 200 lines, and no library', async t => {
  const text = await readFile(source, 'utf8');
  t.ok(text.split('\n').length - 1 <= 200);
  t.notMatch(text, /malloc\(|realloc\(|strcpy\(|sprintf\(|strcat\(/);
});

t.test('the example device in C', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-c-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const program = await compile(folder);
  if (program === undefined) {
    if (process.env.ROLLCALL_REQUIRE_PEERS === '1') t.fail('gcc is not installed');
    else t.pass('gcc is not installed', { skip: 'gcc is not installed' });
    return;
  }
  const server = await TestServer.start('--insecure-coap');
  t.teardown(() => server.remove());
  const [host, port] = server.coap.split(':') as [string, string];
  const shown = async (name: string) => JSON.parse(await server.cli('device', 'show', name, '--json')) as object;

  await t.test('registers though its first datagram is lost, updates, and takes its leave', async t => {
    const proxy = await UdpProxy.open({ host, port: Number(port) });
    t.teardown(() => proxy.close());
    proxy.loseNext(1);
    const { code, output } = await device(program, '127.0.0.1', String(proxy.address.port), 'lossy', '4', '1');
    t.equal(code, 0, output);
    t.match(
      // On a slow machine it may have to be sent once more.
      output
        .replace(/\d+ bytes/g, '… bytes')
        .replace(/(sent … bytes again\n)+/, '$1')
        .split('\n'),
      [
        'sent … bytes',
        'sent … bytes again',
        'heard 2.01 in … bytes',
        /registered at \/rd\/[\w-]{11}$/,
        'sent … bytes',
        'heard 2.04 in … bytes',
        'sent … bytes',
        'heard 2.02 in … bytes',
      ],
      output,
    );
    t.strictSame(proxy.fromClient[0], proxy.fromClient[1], 'what is sent again is the same message');
    t.match(await shown('lossy'), { endpoint: 'lossy', state: 'none' });
  });

  await t.test('is found with what it said of itself, and registers anew when it was forgotten', async t => {
    const child = spawn(program, [host, port, 'found', '8'], { stdio: ['ignore', 'pipe', 'ignore'] });
    t.teardown(() => child.kill());
    const registered = locations(child);
    const location = await next(registered);
    t.match(await shown('found'), {
      state: 'registered',
      dialect: 'cbor',
      lifetime: 8,
      registrationId: location.split('/')[2],
      description: {
        metadata: { manufacturer: 'ACME', firmware: '1.0.3' },
        objects: [{ id: 1 }, { id: 3 }, { id: 3303 }],
      },
    });
    await server.cli('device', 'forget', 'found');
    t.not(await next(registered), location);
  });

  await t.test('gives up when it is refused, and sends nothing that it cannot hold', async t => {
    await server.cli('credential', 'add', 'owned', '--key', '000102030405060708090a0b0c0d0e0f');
    t.match(await device(program, host, port, 'owned'), { code: 1, output: /heard 4\.03[\s\S]*refused/ });
    t.match(await device(program, host, port, 'n'.repeat(300)), { code: 1, output: /larger than its buffer/ });
    t.match(await device(program), { code: 2, output: /usage/ });
  });

  await t.test('survives whatever the network sends', async t => {
    const socket: Socket = createSocket('udp4');
    t.teardown(() => socket.close());
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    socket.on('message', (request, from) => {
      const header = [0x60 | 4, 0x41, request[2]!, request[3]!, ...request.subarray(4, 8)];
      const junk = [
        [],
        [0x40],
        [0xff],
        [...header, 0xdf],
        [...header, 0x8e, 0xff],
        [...header, 0x88, 1],
        [...header, 0xef, 1, 2],
      ];
      const long = [...header, 0x8d, 200, ...Buffer.alloc(213, 0x41)];
      const many = [...header, 0x81, 0x61, 0x01, 0x61, 0x01, 0x61, 0x01, 0x61];
      for (const bytes of [...junk, long, many]) socket.send(new Uint8Array(bytes), from.port, from.address);
      const good = [...header, 0x82, 0x72, 0x64, 0x02, 0x61, 0x62];
      socket.send(new Uint8Array(good), from.port, from.address);
    });
    const child = spawn(program, ['127.0.0.1', String(socket.address().port), 'junk', '60'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    t.teardown(() => child.kill());
    t.equal(await next(locations(child)), '/rd/ab');
  });
  t.equal(await server.end('SIGTERM'), 0);
});
