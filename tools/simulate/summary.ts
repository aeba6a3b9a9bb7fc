import type { RecordableHistogram } from 'node:perf_hooks';
import type { Fleet } from './fleet.ts';

export interface Summary {
  readonly devices: number;
  readonly seconds: number;
  readonly states: Readonly<Record<string, number>>;
  readonly registered: number;
  readonly failed: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly registrationsPerSecond: number;
  readonly handshakesPerSecond?: number;
  /** By kind of request, in milliseconds; a handshake counts from its first datagram. */
  readonly latencies: Readonly<Record<string, Latency>>;
  readonly datagrams: { readonly sent: number; readonly received: number; readonly lost: number };
  readonly moves: number;
  readonly hellos: number;
  readonly stack: string;
}

interface Latency {
  readonly count: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
}

export function summarise(fleet: Fleet, devices: number, seconds: number, secure: boolean): Summary {
  const { handshakes, answers, failures, sent, received, lost, moves, hellos } = fleet.figures;
  const histograms = { ...(secure && { handshake: handshakes }), ...answers };
  const failed = [...failures.values()].reduce((sum, count) => sum + count, 0);
  const registered = answers.register.count;
  return {
    devices,
    seconds: round(seconds),
    states: fleet.states(),
    registered,
    failed,
    failures: Object.fromEntries(failures),
    registrationsPerSecond: round(registered / seconds),
    ...(secure && { handshakesPerSecond: round(handshakes.count / seconds) }),
    latencies: Object.fromEntries(
      Object.entries(histograms)
        .filter(([, { count }]) => count > 0)
        .map(([name, histogram]) => [name, latency(histogram)]),
    ),
    datagrams: { sent, received, lost },
    moves,
    hellos,
    stack: 'rollcall',
  };
}

export function rows(summary: Summary): string[][] {
  return [
    ['registered', `${summary.registered} in ${summary.seconds} s, ${summary.registrationsPerSecond} a second`],
    ...(summary.handshakesPerSecond === undefined ? [] : [['handshakes', `${summary.handshakesPerSecond} a second`]]),
    ['failed', String(summary.failed)],
    ...Object.entries(summary.failures).map(([reason, count]) => ['', `${count} × ${reason}`]),
    ...Object.entries(summary.latencies).map(([name, { count, p50Ms, p90Ms, p99Ms }]) => [
      name,
      `${count} answered, p50 ${p50Ms} ms, p90 ${p90Ms} ms, p99 ${p99Ms} ms`,
    ]),
    [
      'states',
      Object.entries(summary.states)
        .map(([state, count]) => `${count} ${state}`)
        .join(', '),
    ],
    [
      'datagrams',
      `${summary.datagrams.sent} sent, ${summary.datagrams.received} received, ${summary.datagrams.lost} lost on the air`,
    ],
    ...(summary.moves > 0 ? [['moves', String(summary.moves)]] : []),
    ...(summary.hellos > 0 ? [['flood', `${summary.hellos} hellos`]] : []),
  ];
}

/** The same as a page that stands alone. */
export function html(summary: Summary, command: string): string {
  const cells = rows(summary).map(
    ([name, value]) => `<tr><th>${escaped(name ?? '')}</th><td>${escaped(value ?? '')}</td></tr>`,
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Simulated fleet of ${summary.devices}</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; margin: 3em auto; max-width: 50em; padding: 0 1em; }
  th { text-align: left; padding-right: 2em; vertical-align: top; font-weight: 600; }
  code { background: #eee; padding: 0.1em 0.3em; }
</style>
<h1>${summary.devices} simulated devices</h1>
<p><code>${escaped(command)}</code>, ${new Date().toISOString()}</p>
<table>
${cells.join('\n')}
</table>
</html>
`;
}

function latency(histogram: RecordableHistogram): Latency {
  const at = (percentile: number) => round(histogram.percentile(percentile) / 1000);
  return { count: histogram.count, p50Ms: at(50), p90Ms: at(90), p99Ms: at(99) };
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
