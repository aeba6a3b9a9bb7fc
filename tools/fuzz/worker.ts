import { parentPort, workerData } from 'node:worker_threads';
import { SeededRandom } from '../../src/base/random.ts';
import { corpusOf, givenOf, replaceGrown } from '../../test/fuzz/corpus.ts';
import { targetNamed } from '../../test/fuzz/targets.ts';
import { Coverage } from './coverage.ts';
import { Fuzzer } from './fuzzer.ts';
import { Current, type Job, type Progress, type Report } from './job.ts';

/** One target in a thread of its own: what never ends, or takes all memory, ends nothing else. */
function work(job: Job, tell: (report: Report) => void): void {
  const target = targetNamed(job.target)!;
  const coverage = new Coverage(url => /\/dist\/(src|tools\/decode)\//.test(url));
  const current = new Current(job.current);
  const fuzzer = new Fuzzer(target, new SeededRandom(job.seed), coverage, input => current.set(input));
  const begin = performance.now();
  const progress = (): Progress => ({
    target: target.name,
    executions: fuzzer.executions,
    seconds: (performance.now() - begin) / 1000,
    corpus: fuzzer.corpus.length,
    ...coverage.totals,
  });
  let told = begin;
  let failure = fuzzer.begin(corpusOf(target));
  while (failure === undefined) {
    const now = performance.now();
    const left = job.executions - fuzzer.executions;
    if (left <= 0 || now - begin >= job.milliseconds) break;
    if (now - told >= betweenReports) {
      told = now;
      tell({ kind: 'progress', progress: progress() });
    }
    failure = fuzzer.run(left);
  }
  if (failure !== undefined) return tell({ kind: 'failure', failure, progress: progress() });
  tell({ kind: 'done', progress: progress() });
  if (job.grow) replaceGrown(target, fuzzer.needed(givenOf(target), maxGrown));
}

/** In milliseconds. */
const betweenReports = 250;
/** Files that a run may leave in a target's folder. */
const maxGrown = 12;

work(workerData as Job, report => parentPort!.postMessage(report));
