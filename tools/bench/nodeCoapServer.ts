import { createHash } from 'node:crypto';
import coap from 'coap';

/**
 * The rival: a registration handler on node-coap's server. It parses nothing and keeps the payload in memory only, so
 * what it costs is what the CoAP stack under it costs.
 */
const registrations = new Map<string, Buffer>();

const server = coap.createServer({ type: 'udp4' });
server.on('request', (request, response) => {
  const [, first, id] = request.url.split('/');
  if (request.method !== 'POST' || first !== 'rd') {
    response.code = '4.04';
    response.end();
    return;
  }
  if (id === undefined) {
    const location = createHash('md5').update(request.payload).digest('hex').slice(0, 16);
    registrations.set(location, request.payload);
    response.code = '2.01';
    response.setOption('Location-Path', [Buffer.from('rd'), Buffer.from(location)]);
  } else {
    response.code = registrations.has(id) ? '2.04' : '4.04';
  }
  response.end();
});
server.listen(0, '127.0.0.1', () => {
  const { port } = (server as unknown as { _sock: { address(): { port: number } } })._sock.address();
  process.stdout.write(`${JSON.stringify({ msg: 'ready', coap: `127.0.0.1:${port}`, coaps: null })}\n`);
});
process.once('SIGTERM', () => process.exit(0));
