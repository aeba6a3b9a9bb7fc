import { OperatorError } from '../../src/adapters/operatorError.ts';
import { progressBar } from '../../src/cli/progress.ts';
import type { SimulatedDevice } from '../load/fleet.ts';
import { IndependentDevice } from '../load/independentDevice.ts';
import { inFlight, percentile } from '../load/inFlight.ts';
import type { ServerUrl } from '../load/serverUrl.ts';
import type { Summary } from './summary.ts';

/** The same registrations with code that nobody here wrote. */
export async function simulateIndependent(
  server: ServerUrl,
  devices: readonly SimulatedDevice[],
  width: number,
): Promise<Summary> {
  if (!server.secure) throw new OperatorError('--stack independent speaks coaps:// only');
  const bar = progressBar('registered', devices.length);
  const { seconds, latencies, failed, failures } = await inFlight(
    devices.length,
    width,
    async index => {
      const simulated = devices[index]!;
      const device = new IndependentDevice(server, simulated);
      try {
        await device.connect();
        await device.register(simulated.registration);
      } finally {
        await device.close();
      }
    },
    (done, lost) => bar.at(done, lost === 0 ? '' : `${lost} failed`),
  );
  bar.end();
  const at = (share: number) => Math.round(percentile(latencies, share) * 10) / 10;
  return {
    devices: devices.length,
    seconds: Math.round(seconds * 10) / 10,
    states: { registered: latencies.length },
    registered: latencies.length,
    failed,
    failures: Object.fromEntries(failures),
    registrationsPerSecond: Math.round((latencies.length * 10) / seconds) / 10,
    latencies: {
      'handshake and register': { count: latencies.length, p50Ms: at(0.5), p90Ms: at(0.9), p99Ms: at(0.99) },
    },
    datagrams: { sent: 0, received: 0, lost: 0 },
    moves: 0,
    hellos: 0,
    stack: 'independent',
  };
}
