import { readFileSync } from 'node:fs';
import { pino } from 'pino';
import t from 'tap';
import { SeededRandom } from '../../../src/base/random.ts';
import { serveCommand } from '../../../src/cli/serve.ts';
import { CoapEndpoint } from '../../../src/coap/endpoint.ts';
import { DtlsEndpoint } from '../../../src/dtls/endpoint.ts';
import { handshakeFaults } from '../../../src/dtls/fault.ts';
import { type LimitCounters, LimitWatch, limits, timesBitten } from '../../../src/server/limits.ts';
import { createReport } from '../../../src/server/report.ts';
import { Observers } from '../../../src/service/observers.ts';

const docs = (name: string): string => readFileSync(new URL(`../../../../docs/${name}`, import.meta.url), 'utf8');
const rowsOf = (text: string): string[] => text.split('\n').filter(line => line.startsWith('| `'));

function counters(): LimitCounters {
  const random = new SeededRandom(1);
  const dtls = new DtlsEndpoint({
    random,
    psk: { find: () => undefined },
    firstPeer: 1,
    limits: { maxAssociations: 1 },
  });
  const report = createReport(pino({ enabled: false }), () => undefined);
  const intake = { loopBehind: 0, storeBehind: 0 };
  return {
    dtls: dtls.counters,
    coap: new CoapEndpoint({ random }).counters,
    server: report.counters,
    intake,
    service: new Observers().counters,
  };
}

t.test('docs/limits.md is the table of all limits', async t => {
  const expected = limits.map(
    ({ name, standard, option, bites, counter }) =>
      `| \`${name}\` | ${standard} | ${option === undefined ? '' : `\`${option}\``} | ${bites} | \`${counter}\` |`,
  );
  t.strictSame(rowsOf(docs('limits.md')), expected);
});

t.test('docs/handshakes.md has every reason, in the words of the command line', async t => {
  const documented = rowsOf(docs('handshakes.md')).map(row => row.split(' | ').slice(0, 2).join(' | '));
  t.strictSame(
    documented.toSorted(),
    Object.entries(handshakeFaults)
      .map(([fault, words]) => `| \`${fault}\` | ${words}`)
      .toSorted(),
  );
});

t.test('every limit has a counter, and every option of it its standard', async t => {
  const all = counters();
  const { options } = serveCommand();
  for (const limit of limits) {
    const [machine, ...path] = limit.counter.split('.');
    let at: unknown = all[machine as keyof LimitCounters];
    for (const name of path.slice(0, -1)) at = (at as Record<string, unknown>)[name];
    const last = path.at(-1)!;
    // Reasons for which sessions end are counted as they come.
    if (path.length === 1) t.equal((at as Record<string, unknown>)[last], 0, limit.counter);
    else t.ok(typeof at === 'object' && at !== null, limit.counter);
    if (limit.option === undefined) continue;
    const option = options.find(({ long }) => long === limit.option);
    t.equal(String(option?.defaultValue), limit.standard.replaceAll(',', ''), limit.option);
  }
});

t.test('a flood that meets a limit a million times is one line', async t => {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const all = counters();
  const watch = new LimitWatch(all, log);
  watch.look();
  t.strictSame(lines, []);
  (all.dtls as { networkFull: number }).networkFull = 1_000_000;
  (all.server as { closed: Record<string, number> }).closed.idle = 2;
  watch.look();
  t.match(lines, [
    { msg: 'limit', limit: 'session-idle', times: 2, counter: 'server.closed.idle', option: '--session-idle' },
    { msg: 'limit', limit: 'handshakes-per-network', times: 1_000_000, counter: 'dtls.networkFull' },
  ]);
  t.equal(lines.length, 2);
  watch.look();
  t.equal(lines.length, 2, 'and none while it bites no more');
  t.equal(timesBitten(limits[0]!, all), 0);
});
