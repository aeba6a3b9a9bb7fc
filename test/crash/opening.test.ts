import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { openDataDirectory } from '../../src/adapters/dataDirectory.ts';
import { readDevices } from '../../src/adapters/lmdbView.ts';
import { LocationPath, Options, UriPath, UriQuery } from '../../src/coap/codec/option.ts';
import type { Row } from '../../src/fleet/names.ts';
import { PlainClient, pause } from '../support/plainClient.ts';
import { TestServer } from '../support/server.ts';

const devices = 8;
const milliseconds = 8000;

t.test('a command that opens the store would undo what a device was just told is done', async t => {
  const server = await TestServer.start('--insecure-coap');
  t.teardown(() => server.remove());
  const client = await PlainClient.open(t, server.coap);
  const openers = [1, 2].map(() => openAgainAndAgain(server.data));
  // What each device was told is done, in number: as often its record has been written.
  const done = new Map<string, number>();
  const end = performance.now() + milliseconds;
  const update = async (name: string): Promise<void> => {
    const registered = client.register(`ep=${name}`, 'lwm2m=1.1');
    t.equal(await client.answer(registered), '2.01');
    const answer = client.received.find(message => message.messageId === registered);
    const location = answer?.kind === 'response' ? answer.options.all(LocationPath) : [];
    const path = location.reduce((options, segment) => options.with(UriPath, segment), Options.empty);
    for (let n = 1; performance.now() < end; n++) {
      done.set(name, n);
      const messageId = client.request({ options: path.with(UriQuery, `lt=${1000 + n}`) });
      if ((await client.answer(messageId)) !== '2.04') t.fail(`update ${n} of ${name} is not answered 2.04`);
      done.set(name, n + 1);
    }
  };
  await Promise.all(Array.from({ length: devices }, (_, n) => update(`node-${n}`)));
  const opened = await Promise.all(openers.map(opener => opener.end()));
  await pause(50);
  await server.end('SIGKILL');

  const { environment } = await openDataDirectory(server.data, false);
  t.teardown(() => environment.root.close());
  const records = readDevices(environment, 1 as Row, devices + 1);
  t.equal(records.length, devices);
  for (const { name, version } of records) t.equal(version, done.get(name), `${name} has all its changes`);
  t.ok(Math.min(...opened) > 20, `the store was opened ${opened.join(' and ')} times meanwhile`);
});

function openAgainAndAgain(directory: string): { end(): Promise<number> } {
  const program = fileURLToPath(new URL('../support/opener.js', import.meta.url));
  const child = spawn(process.execPath, [program, directory], { stdio: ['pipe', 'pipe', 'inherit'] });
  const printed = text(child.stdout);
  return {
    async end() {
      const exited = once(child, 'exit');
      child.stdin.end();
      await exited;
      return Number(await printed);
    },
  };
}
