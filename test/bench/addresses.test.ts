import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import t from 'tap';
import { type DeviceSocket, openDeviceSocket } from '../../tools/load/deviceSocket.ts';

t.test('a load on few open files has an address for each device, the same one on every visit', async t => {
  const server = createSocket('udp4').bind(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  const { port } = server.address();
  const seen: string[] = [];
  server.on('message', (datagram, from) => {
    seen.push(`${from.address}:${from.port}`);
    server.send(datagram, from.port, from.address);
  });
  const ask = async (device: Device, question: number): Promise<void> => {
    const answered = new Promise<number>(resolve => {
      device.heard = datagram => resolve(datagram[0]!);
    });
    device.socket!.send(Uint8Array.of(question));
    t.equal(await answered, question, 'it hears its own answer');
    device.socket!.rest();
  };
  const devices: Device[] = Array.from({ length: 300 }, () => ({ heard: () => undefined, socket: undefined }));
  for (const device of devices) {
    device.socket = await openDeviceSocket('visiting', { host: '127.0.0.1', port }, bytes => device.heard(bytes));
  }
  for (const [index, device] of devices.entries()) await ask(device, index & 255);
  const first = seen.splice(0);
  for (const [index, device] of devices.entries()) await ask(device, index & 255);
  t.same(seen, first, 'the same addresses');
  t.equal(new Set(first).size, devices.length, 'each another one');
});

interface Device {
  heard: (datagram: Uint8Array) => void;
  socket: DeviceSocket | undefined;
}
