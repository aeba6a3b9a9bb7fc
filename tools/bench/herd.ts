import { setTimeout as wait } from 'node:timers/promises';
import { mostKept } from '../load/deviceSocket.ts';
import { addCredentials, type SimulatedDevice, simulatedDevice } from '../load/fleet.ts';
import { Herd, type HerdResult } from '../load/herd.ts';
import { percentile } from '../load/inFlight.ts';
import { round } from './figures.ts';
import type { MeasuredProcess } from './measured.ts';
import { startOurs } from './ourServer.ts';
import { type Findings, inFreshDirectory, type StudyOptions } from './study.ts';

/**
 * A power cut: everybody comes back at once. First how many devices a second handshake and register while no more than
 * some try at a time, with a server that has a third of its time; then four times as many arrive each second, whether anybody is served or not, and repeat
 * themselves as DTLS does (RFC 6347 §4.2.4). What counts is how many of them are registered each second meanwhile, against
 * the mean of the peaks before and after it.
 */
export function measureHerd({ count = 4000, inFlight: width }: StudyOptions): Promise<Findings> {
  return inFreshDirectory(async data => {
    const server = await startOurs(data);
    const herd = await Herd.open(server.coaps, processes);
    const slowed = server.slow(serverShare);
    try {
      // The peak is where the server is busy all the time: how many at a time that takes depends on the machine.
      let rounds = 0;
      const peakNow = async () => {
        const served: number[] = [];
        for (const wide of [width, 4 * width]) {
          // Others each time, as those of the storm are: who comes back has a session that ends, and that costs more.
          const prefix = `calm${rounds++}`;
          await addCredentials(data, fleet(prefix, count + processes));
          await herd.gather(prefix, count);
          served.push((await herd.calm(wide)).servedPerSecond);
        }
        return Math.max(...served);
      };
      const before = await whenWarm(peakNow);
      const offered = overload * before;
      const devices = Math.ceil(Math.min(offered * stormSeconds, mostDevices));
      await addCredentials(data, fleet('herd', devices + processes));
      await herd.gather('herd', devices);
      const cpuShare = cpuShareOver((1000 * devices) / offered, server);
      const storm = await herd.storm(offered);
      const serverCpuShare = (await cpuShare) / serverShare;
      const after = await whenWarm(peakNow);
      slowed.release();
      const stopped = await server.stop();
      const { figures, fault } = herdVerdict({ before, after }, storm, serverCpuShare);
      return { figures: { ...figures, shed: shedBy({ ...stopped?.dtls, ...stopped?.intake }) }, fault };
    } finally {
      herd.close();
      slowed.release();
      await server.stop();
    }
  });
}

export function herdVerdict(
  { before, after }: { before: number; after: number },
  storm: HerdResult,
  serverCpuShare: number,
): Pick<Findings, 'figures' | 'fault'> {
  const peak = (before + after) / 2;
  const share = storm.servedPerSecond / peak;
  const reached = storm.arrivedPerSecond / Math.max(peak, storm.servedPerSecond);
  const percent = `${Math.round(100 * share)} % of the peak were served`;
  const fault =
    Math.max(before, after) > mostDrift * Math.min(before, after)
      ? `no verdict: the peak was ${Math.round(before)} a second before and ${Math.round(after)} after, so the machine was not the same`
      : reached < leastOverload
        ? `no verdict: only ${round(reached)} times as many arrived as can be served`
        : share >= leastShare
          ? undefined
          : serverCpuShare < busy
            ? `no verdict: ${percent}, but the server used only ${round(serverCpuShare)} of its time: something else was the bottleneck`
            : `${percent}, less than ${100 * leastShare} %`;
  return {
    figures: {
      peakPerSecond: Math.round(peak),
      peakBefore: Math.round(before),
      peakAfter: Math.round(after),
      arrivedPerSecond: Math.round(storm.arrivedPerSecond),
      overload: round(reached),
      goodputPerSecond: Math.round(storm.servedPerSecond),
      goodputShare: round(share),
      p50Ms: round(percentile(storm.latencies, 0.5)),
      p99Ms: round(percentile(storm.latencies, 0.99)),
      registered: storm.latencies.length,
      gaveUp: storm.failed,
      lastAfterSeconds: round(storm.lastSeconds),
      serverCpuShare: round(serverCpuShare),
      loadCpuShare: round(storm.loadCpuShare),
      verdict: fault ?? `${percent}, at least ${100 * leastShare} %, while ${round(reached)} times as many arrived`,
    },
    fault,
  };
}

/** How much of one core a process uses from now on. */
async function cpuShareOver(milliseconds: number, measured: MeasuredProcess): Promise<number> {
  const before = measured.cpuMicros();
  await wait(milliseconds);
  return (measured.cpuMicros() - before) / 1000 / milliseconds;
}

/** Repeats a measurement until it gets no better: everything is compiled then. */
async function whenWarm(measure: () => Promise<number>): Promise<number> {
  let best = await measure();
  for (let round = 0; round < mostRounds; round++) {
    const next = await measure();
    if (next <= best * 1.05) return Math.max(best, next);
    best = next;
  }
  return best;
}

/** Hellos that the server left unanswered. */
function shedBy(counters: Readonly<Record<string, number>>): number {
  const names = ['loopBehind', 'storeBehind', 'handshakesFull'];
  return names.reduce((sum, name) => sum + (counters[name] ?? 0), 0);
}

function fleet(prefix: string, count: number): SimulatedDevice[] {
  return Array.from({ length: count }, (_, i) => simulatedDevice(prefix, i));
}

const overload = 4;
/** Where the load is not what it should have been, there is no verdict. */
const leastOverload = 3.2;
const leastShare = 0.8;
/** A herd costs its processes as much as the server: they are to be more than the server is a match for. */
const serverShare = 1 / 3;
/** How much of its time the server uses at least when it is what limits. */
const busy = 0.8;
const mostDrift = 1.25;
const stormSeconds = 10;
const mostRounds = 8;
/** Each with as many devices as it can have sockets: together they hold a herd that nobody serves. */
const processes = 3;
const mostDevices = processes * Math.min(mostKept(), 15_000);
