import { progressBar } from '../../src/cli/progress.ts';
import { defaultLimits } from '../../src/coap/settings.ts';
import { round } from './figures.ts';
import type { MeasuredProcess } from './measured.ts';
import { startOurs } from './ourServer.ts';
import { type Setting, scenarios } from './scenarios.ts';
import { type Findings, inFreshDirectory, type StudyOptions } from './study.ts';

/**
 * Millions of requests of a fleet that stays the same, to see whether memory grows: updates on a thousand sessions,
 * registrations on plain CoAP of devices that are all there after the first tenth, and sessions that are resumed. Compared
 * are the anonymous memory in the second tenth and in the last one, each the least of a look five times a second, so that
 * where the garbage collector happens to be does not count. The store's pages, which the system takes back, are shown beside it.
 */
export function measureSoak({ count = 10_000_000, inFlight: width }: StudyOptions): Promise<Findings> {
  return inFreshDirectory(async data => {
    const server = await startOurs(data);
    try {
      const bar = progressBar('soak', count);
      const setting = (transport: 'coap' | 'coaps', names: string): Setting => ({
        target: server[transport],
        data,
        sharedKey: undefined,
        secure: transport === 'coaps',
        operations: count,
        width,
        peers,
        sockets: 'kept',
        names,
        distinct: Math.ceil((count / parts) * registrationShare),
        progress: () => undefined,
      });
      const mix = [
        { run: await scenarios.registration!.prepare(setting('coap', 'soak-new')), share: registrationShare },
        { run: await scenarios.resume!.prepare(setting('coaps', 'soak-resume')), share: resumptionShare },
        {
          run: await scenarios.update!.prepare(setting('coaps', 'soak-update')),
          share: 1 - registrationShare - resumptionShare,
        },
      ];
      const table: Part[] = [];
      let done = 0;
      let failed = 0;
      const start = performance.now();
      for (let part = 0; part < parts; part++) {
        const began = performance.now();
        const least = await leastMemory(server, async () => {
          for (let turn = 0; turn < turns; turn++) {
            for (const { run, share } of mix) {
              const operations = Math.ceil((count / parts / turns) * share);
              failed += (await run.run(operations)).failed;
              done += operations;
              bar.at(Math.min(done, count), failed === 0 ? '' : `${failed} failed`);
            }
          }
        });
        const now = performance.now();
        const perSecond = Math.round((1000 * count) / parts / (now - began));
        table.push({ requests: done, afterSeconds: Math.round((now - start) / 1000), perSecond, ...least });
      }
      bar.end();
      for (const { run } of mix) await run.end();
      return { ...soakVerdict(table, failed), table };
    } finally {
      await server.stop();
    }
  });
}

/** The least that it is during some work. */
async function leastMemory(server: MeasuredProcess, work: () => Promise<void>): Promise<Memory> {
  let least = server.memory();
  const timer = setInterval(() => {
    const { rssBytes, rssAnonBytes } = server.memory();
    least = {
      rssBytes: Math.min(least.rssBytes, rssBytes),
      rssAnonBytes: Math.min(least.rssAnonBytes, rssAnonBytes),
    };
  }, lookMilliseconds);
  await work().finally(() => clearInterval(timer));
  return least;
}

/** Of parts that are equally long. */
export function soakVerdict(table: readonly Part[], failed: number): Pick<Findings, 'figures' | 'fault'> {
  const [first, early, late] = [table[0]!, table[1]!, table.at(-1)!];
  const growthPercent = round(100 * (late.rssAnonBytes / early.rssAnonBytes - 1));
  const grew = `anonymous memory ${growthPercent < 0 ? 'shrank' : 'grew'} by ${Math.abs(growthPercent)} % between the second tenth and the last`;
  const fault =
    failed > 0
      ? `${failed} requests failed`
      : first.requests < fewest
        ? `${grew}, which says nothing yet: the first tenth has to have ${fewest} requests, which fill what is bounded`
        : growthPercent > mostPercent
          ? `${grew}: more than ${mostPercent} %`
          : undefined;
  const verdict = fault ?? `${grew}: memory is flat (at most ${mostPercent} %)`;
  return { figures: { requests: late.requests, failed, growthPercent, verdict }, fault };
}

type Memory = ReturnType<MeasuredProcess['memory']>;

export interface Part extends Memory {
  /** So far. */
  readonly requests: number;
  readonly afterSeconds: number;
  readonly perSecond: number;
  readonly [more: string]: number;
}

const peers = 1000;
const parts = 10;
/** Of each kind of request, within a part. */
const turns = 10;
const lookMilliseconds = 200;
const registrationShare = 0.1;
const resumptionShare = 0.02;
const mostPercent = 5;
/** As many as are remembered to recognise duplicates. */
const fewest = defaultLimits.maxExchanges;
