import t from 'tap';
import { MeasuredProcess } from '../../tools/bench/measured.ts';
import { preload } from '../../tools/bench/preload.ts';
import { measureOverload } from '../../tools/load/overload.ts';
import { TestServer, targetOf } from '../support/server.ts';

const milliseconds = 1500;
const fleet = 3000;

t.test('floods and slow operators would have registered devices wait, or the server grow', async t => {
  const server = await TestServer.create();
  t.teardown(() => server.remove());
  await preload(server.data, fleet, 'plain', () => undefined);
  await server.restart('--insecure-coap');
  const flooded = {
    coap: targetOf(server.coap),
    coaps: targetOf(server.coaps),
    data: server.data,
    process: new MeasuredProcess(server.pid),
  };
  const [calm, ...floods] = await measureOverload(flooded, milliseconds);
  t.equal(calm!.failed, 0);
  t.ok(calm!.updates > 0, JSON.stringify(calm));
  for (const line of floods) {
    const { flood, sent, updates, failed, p99, rssAnonMegabytes, storeMegabytes } = line;
    await t.test(flood, async t => {
      t.comment(JSON.stringify(line));
      t.ok(sent > 0 && updates > 0);
      t.equal(failed, 0, 'every update is answered');
      // A retransmission comes after two seconds: hardly anybody needs one.
      t.ok(p99 < Math.max(1000, 20 * calm!.p99), `p99 ${p99.toFixed()} ms, ${calm!.p99.toFixed()} ms without`);
      const grown = rssAnonMegabytes - calm!.rssAnonMegabytes;
      t.ok(grown < 150, `${grown.toFixed()} MB more than without`);
      t.ok(storeMegabytes - calm!.storeMegabytes < 50, 'the store keeps its pages in use');
    });
  }
  t.equal(await server.end('SIGTERM'), 0);
});
