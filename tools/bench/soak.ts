import { progressBar } from '../../src/cli/progress.ts';
import { round } from './figures.ts';
import { startOurs } from './ourServer.ts';
import { type Setting, scenarios } from './scenarios.ts';
import { type Findings, inFreshDirectory, type StudyOptions } from './study.ts';

/**
 * Millions of requests, to see whether memory grows: updates on a thousand sessions, and registrations of ever new
 * devices on plain CoAP in between. Compared are the anonymous memory after a fifth of all requests and at
 * the end, each the least of several looks, so that where the garbage collector happens to be does not count.
 */
export function measureSoak({ count = 10_000_000, inFlight: width }: StudyOptions): Promise<Findings> {
  return inFreshDirectory(async data => {
    const server = await startOurs(data);
    try {
      const bar = progressBar('soak', count);
      let done = 0;
      const setting = (transport: 'coap' | 'coaps'): Setting => ({
        target: server[transport],
        data,
        sharedKey: undefined,
        secure: transport === 'coaps',
        operations: count,
        width,
        peers,
        sockets: 'kept',
        names: `soak-${transport}`,
        progress: () => undefined,
      });
      const mix = [
        { run: await scenarios.update!.prepare(setting('coaps')), share: 0.9 },
        { run: await scenarios.registration!.prepare(setting('coap')), share: 0.1 },
      ];
      const table: { requests: number; rssAnonBytes: number; perSecond: number }[] = [];
      let failed = 0;
      for (let part = 0; part < parts; part++) {
        let rssAnonBytes = Number.POSITIVE_INFINITY;
        const start = performance.now();
        for (let look = 0; look < looks; look++) {
          for (const { run, share } of mix) {
            const operations = Math.ceil((count / parts / looks) * share);
            failed += (await run.run(operations)).failed;
            done += operations;
            bar.at(Math.min(done, count));
          }
          rssAnonBytes = Math.min(rssAnonBytes, server.memory().rssAnonBytes);
        }
        const seconds = (performance.now() - start) / 1000;
        table.push({ requests: done, rssAnonBytes, perSecond: Math.round(count / parts / seconds) });
      }
      bar.end();
      for (const { run } of mix) await run.end();
      const [early, late] = [table[parts / 5 - 1]!, table.at(-1)!];
      const growth = late.rssAnonBytes / early.rssAnonBytes - 1;
      return { figures: { requests: done, failed, growthPercent: round(100 * growth) }, table };
    } finally {
      await server.stop();
    }
  });
}

const peers = 1000;
const parts = 10;
const looks = 5;
