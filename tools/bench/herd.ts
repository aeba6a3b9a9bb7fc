import { utf8 } from '../../src/base/bytes.ts';
import { addCredentials, type SimulatedDevice, simulatedDevice } from '../load/fleet.ts';
import { inFlight, percentile } from '../load/inFlight.ts';
import { LoadFailure, type Target, UdpDevice } from '../load/udpDevice.ts';
import { round } from './figures.ts';
import { startOurs } from './ourServer.ts';
import { type Findings, inFreshDirectory, type StudyOptions } from './study.ts';

/**
 * A power cut: everybody comes back at once. First how many devices a second handshake and register while no more than
 * `inFlight` try at a time; then four times as many arrive each second, whether anybody is served or not, and repeat
 * themselves as DTLS does (RFC 6347 §4.2.4). What counts is how many of them are registered each second meanwhile.
 */
export function measureHerd({ count = 4000, inFlight: width }: StudyOptions): Promise<Findings> {
  return inFreshDirectory(async data => {
    const server = await startOurs(data);
    try {
      const calm = fleet('calm', count);
      await addCredentials(data, calm);
      await inFlight(count >> 2, width, i => come(server.coaps, calm[i]!));
      const peak = await inFlight(count, width, i => come(server.coaps, calm[i]!));
      const perSecond = (count - peak.failed) / peak.seconds;

      const offered = overload * perSecond;
      const devices = fleet('herd', Math.ceil(offered * stormSeconds));
      await addCredentials(data, devices);
      const own = process.cpuUsage();
      const storm = await arrive(server.coaps, devices, offered);
      const { user, system } = process.cpuUsage(own);
      const stopped = await server.stop();
      return {
        figures: {
          peakPerSecond: Math.round(perSecond),
          offeredPerSecond: Math.round(offered),
          arrivedPerSecond: Math.round(devices.length / storm.arrivalSeconds),
          goodputPerSecond: Math.round(storm.meanwhile / storm.arrivalSeconds),
          goodputShare: round(storm.meanwhile / storm.arrivalSeconds / perSecond),
          p50Ms: round(percentile(storm.latencies, 0.5)),
          p99Ms: round(percentile(storm.latencies, 0.99)),
          registered: storm.latencies.length,
          gaveUp: storm.failed,
          lastAfterSeconds: round(storm.lastSeconds),
          shed: shedBy(stopped?.dtls ?? {}),
          loadCpuShare: round((user + system) / 1e6 / storm.lastSeconds),
        },
      };
    } finally {
      await server.stop();
    }
  });
}

async function come(server: Target, { identity, key, registration }: SimulatedDevice): Promise<void> {
  const device = await UdpDevice.open(server, { identity: utf8(identity), key });
  try {
    await device.connect();
    await device.register(registration);
  } finally {
    await device.vanish();
  }
}

async function arrive(server: Target, devices: readonly SimulatedDevice[], perSecond: number) {
  const latencies: number[] = [];
  let failed = 0;
  let meanwhile = 0;
  let arrivalSeconds = Number.POSITIVE_INFINITY;
  const start = performance.now();
  const since = () => (performance.now() - start) / 1000;
  const all: Promise<void>[] = [];
  const one = async (device: SimulatedDevice) => {
    const began = performance.now();
    try {
      await come(server, device);
      latencies.push(performance.now() - began);
      if (arrivalSeconds === Number.POSITIVE_INFINITY) meanwhile++;
    } catch (error) {
      if (!(error instanceof LoadFailure)) throw error;
      failed++;
    }
  };
  while (all.length < devices.length) {
    const due = Math.min(devices.length, Math.ceil(since() * perSecond));
    while (all.length < due) all.push(one(devices[all.length]!));
    await new Promise(resolve => setTimeout(resolve, 2));
  }
  arrivalSeconds = since();
  await Promise.all(all);
  latencies.sort((a, b) => a - b);
  return { latencies, failed, meanwhile, arrivalSeconds, lastSeconds: since() };
}

function shedBy(counters: Readonly<Record<string, number>>): number {
  return (counters.helloLimited ?? 0) + (counters.halfOpenFull ?? 0);
}

function fleet(prefix: string, count: number): SimulatedDevice[] {
  return Array.from({ length: count }, (_, i) => simulatedDevice(prefix, i));
}

const overload = 4;
const stormSeconds = 10;
