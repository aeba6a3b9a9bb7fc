import { ServerProcess } from './serverProcess.ts';
import { inFreshDirectory, preloadWithProgress } from './study.ts';

/** Our server on any free ports, with limits out of the way that the load, from one address, would meet. */
export function startOurs(data: string, ...options: readonly string[]): Promise<ServerProcess> {
  const limits = ['--max-handshakes-per-network', '100000', '--handshakes-per-identity', 'off'];
  return ServerProcess.start(program, 'serve', '--data', data, ...listen, ...limits, ...options);
}

/** Our own server, on plain CoAP and on DTLS, on a store of its own that holds devices of plain CoAP already. */
export function onFreshStore<Result>(
  preloaded: number,
  work: (server: ServerProcess, data: string) => Promise<Result>,
): Promise<Result> {
  return inFreshDirectory(async data => {
    await preloadWithProgress(data, preloaded, 'plain');
    // With the standard limits: they are what is tried.
    const server = await ServerProcess.start(program, 'serve', '--data', data, ...listen);
    return await work(server, data).finally(() => server.stop());
  });
}

const program = '../../src/cli/main.js';
const listen = ['--coap', '127.0.0.1:0', '--coaps', '127.0.0.1:0', '--insecure-coap'];
