import t from 'tap';
import { openDataDirectory } from '../../src/adapters/dataDirectory.ts';
import { readDevices } from '../../src/adapters/lmdbStore.ts';
import { BlockPermutation } from '../../src/adapters/registrationIds.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { Method } from '../../src/coap/codec/code.ts';
import { LocationPath, Options, UriPath, UriQuery } from '../../src/coap/codec/option.ts';
import type { Row } from '../../src/fleet/names.ts';
import { RegistrationIds } from '../../src/fleet/registrationId.ts';
import { PlainClient, pause } from '../support/plainClient.ts';
import { TestServer } from '../support/server.ts';

const kills = 20;
const lanes = 24;

t.test('after kill -9 under load, twenty times, every acknowledged registration is there', async t => {
  const server = await TestServer.start('--insecure-coap');
  t.teardown(() => server.remove());
  const client = await PlainClient.open(t, server.coap);
  const random = new SeededRandom(20);
  const known = new Map<string, Known>();
  let acknowledged = 0;
  let resent = 0;

  for (let round = 1; round <= kills; round++) {
    const running = { until: false };
    const load = Array.from({ length: lanes }, (_, lane) => run(client, `${round}-${lane}`, known, running));
    await pause(80 + random.below(250));
    await server.end('SIGKILL');
    running.until = true;
    const left = (await Promise.all(load)).filter(request => request !== undefined);
    const { found, records } = await onDisk(server.data);
    const lost = [...known].filter(([name, state]) => !agrees(found.get(name), state));
    t.same(lost.slice(0, 3), [], `round ${round}: nothing that was acknowledged is lost`);
    t.equal(found.size, records, `round ${round}: one name, one record`);
    await server.restart('--insecure-coap', '--coap', server.coap);

    // What was under way comes again with its message ID, as a client sends it that has heard nothing.
    for (const { name, messageId } of left) {
      client.request({ messageId, options: registerOptions(name, lifetimeOf(name)) });
      if ((await client.answer(messageId)) !== '2.01') t.fail(`${name} is not registered when it asks again`);
      known.set(name, { location: locationOf(client, messageId), lifetime: lifetimeOf(name) });
      resent++;
    }
    acknowledged = known.size;
  }
  t.ok(
    acknowledged > kills * lanes,
    `${acknowledged} names acknowledged, ${resent} of them only when they asked again`,
  );
});

/** Registers names one after the other, and updates or removes some; returns the registration that was under way. */
async function run(client: PlainClient, lane: string, known: Map<string, Known>, running: { until: boolean }) {
  for (let n = 0; !running.until; n++) {
    const name = `node-${lane}-${n}`;
    const lifetime = lifetimeOf(name);
    const messageId = client.request({ options: registerOptions(name, lifetime) });
    if (!(await acknowledges(client, messageId, '2.01', running))) return { name, messageId };
    const location = locationOf(client, messageId);
    known.set(name, { location, lifetime });
    const path = Options.empty.with(UriPath, 'rd').with(UriPath, location);
    if (n % 3 === 1) {
      // Until it is answered either state is right.
      known.delete(name);
      const id = client.request({ options: path.with(UriQuery, 'lt=77') });
      if (!(await acknowledges(client, id, '2.04', running))) return undefined;
      known.set(name, { location, lifetime: 77 });
    }
    if (n % 3 === 2) {
      known.delete(name);
      const id = client.request({ code: Method.DELETE, options: path });
      if (!(await acknowledges(client, id, '2.02', running))) return undefined;
      known.set(name, 'gone');
    }
  }
  return undefined;
}

async function acknowledges(client: PlainClient, messageId: number, code: string, running: { until: boolean }) {
  for (;;) {
    const answer = await client.answer(messageId, 20);
    if (answer === code) return true;
    if (answer !== undefined) throw new Error(`${answer} instead of ${code}`);
    if (running.until) return false;
  }
}

function locationOf(client: PlainClient, messageId: number): string {
  const answer = client.received.find(message => message.messageId === messageId);
  return answer?.kind === 'response' ? (answer.options.all(LocationPath)[1] ?? '') : '';
}

function registerOptions(name: string, lifetime: number): Options {
  return [`ep=${name}`, `lt=${lifetime}`, 'lwm2m=1.1'].reduce(
    (options, parameter) => options.with(UriQuery, parameter),
    Options.empty.with(UriPath, 'rd'),
  );
}

function lifetimeOf(name: string): number {
  return 1000 + name.length;
}

/** What a killed server leaves behind, by name. */
async function onDisk(data: string): Promise<{ found: Map<string, Known>; records: number }> {
  const { environment, keyring } = await openDataDirectory(data, false);
  const ids = new RegistrationIds(new BlockPermutation(keyring.registrationIds));
  const all = readDevices(environment, 1 as Row, 1_000_000);
  await environment.root.close();
  const found = new Map<string, Known>();
  for (const { name, row, generation, registration } of all) {
    const lives = registration && { location: ids.of(row, generation), lifetime: registration.lifetime };
    found.set(name, lives ?? 'gone');
  }
  return { found, records: all.length };
}

function agrees(found: Known | undefined, state: Known): boolean {
  if (state === 'gone' || found === undefined || found === 'gone') return state === 'gone' && found === 'gone';
  return found.location === state.location && found.lifetime === state.lifetime;
}

type Known = { readonly location: string; readonly lifetime: number } | 'gone';
