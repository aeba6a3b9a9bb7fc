import { mostKept } from '../load/deviceSocket.ts';
import { addCredentials, type SimulatedDevice, simulatedDevice } from '../load/fleet.ts';
import { Herd, type HerdResult } from '../load/herd.ts';
import { percentile } from '../load/inFlight.ts';
import { round } from './figures.ts';
import { startOurs } from './ourServer.ts';
import { type Findings, inFreshDirectory, type StudyOptions } from './study.ts';

/**
 * A power cut: everybody comes back at once. First how many devices a second handshake and register while no more than
 * some try at a time; then four times as many arrive each second, whether anybody is served or not, and repeat
 * themselves as DTLS does (RFC 6347 §4.2.4). What counts is how many of them are registered each second meanwhile, against
 * the mean of the peaks before and after it.
 */
export function measureHerd({ count = 4000, inFlight: width }: StudyOptions): Promise<Findings> {
  return inFreshDirectory(async data => {
    const server = await startOurs(data);
    const herd = await Herd.open(server.coaps, processes);
    try {
      await addCredentials(data, fleet('calm', count + processes));
      // The peak is where the server is busy all the time: how many at a time that takes depends on the machine.
      const peakNow = async () => {
        const served: number[] = [];
        for (const wide of [width, 4 * width]) {
          served.push((await herd.calm('calm', count, wide)).servedPerSecond);
        }
        return Math.max(...served);
      };
      await herd.calm('calm', count, width);
      const before = await peakNow();
      const offered = overload * before;
      const devices = Math.ceil(Math.min(offered * stormSeconds, mostDevices));
      await addCredentials(data, fleet('herd', devices + processes));
      const storm = await herd.storm('herd', devices, offered);
      const after = await peakNow();
      const stopped = await server.stop();
      const { figures, fault } = herdVerdict({ before, after }, storm);
      return { figures: { ...figures, shed: shedBy(stopped?.dtls ?? {}) }, fault };
    } finally {
      herd.close();
      await server.stop();
    }
  });
}

export function herdVerdict(
  { before, after }: { before: number; after: number },
  storm: HerdResult,
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
        : share < leastShare
          ? `${percent}, less than ${100 * leastShare} %`
          : undefined;
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
      loadCpuShare: round(storm.loadCpuShare),
      verdict: fault ?? `${percent}, at least ${100 * leastShare} %, while ${round(reached)} times as many arrived`,
    },
    fault,
  };
}

function shedBy(counters: Readonly<Record<string, number>>): number {
  return (counters.helloLimited ?? 0) + (counters.halfOpenFull ?? 0);
}

function fleet(prefix: string, count: number): SimulatedDevice[] {
  return Array.from({ length: count }, (_, i) => simulatedDevice(prefix, i));
}

const overload = 4;
/** Where the load is not what it should have been, there is no verdict. */
const leastOverload = 3.2;
const leastShare = 0.8;
const mostDrift = 1.25;
const stormSeconds = 10;
/** Each with as many devices as it can have sockets: together they hold a herd that nobody serves. */
const processes = 6;
const mostDevices = processes * Math.min(mostKept(), 15_000);
