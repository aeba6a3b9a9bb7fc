import { type Bytes, concatBytes } from '../../src/base/bytes.ts';
import { Writer } from '../../src/base/writer.ts';

/** A classic capture of raw IPv4 (draft-ietf-opsawg-pcap), from the client's port 40000 to the server's 5684. */
export function captureOf(passed: readonly { from: 'client' | 'server'; datagram: Bytes }[]): Bytes {
  const packets = passed.map(({ from, datagram }, n) => {
    const [source, destination] = from === 'client' ? [1, 2] : [2, 1];
    const port = (side: number) => (side === 1 ? 40_000 : 5684);
    const length = 28 + datagram.length;
    const ip = new Writer(20).u16(0x4500).u16(length).u32(0x4000).u16(0x4011).u16(0);
    const addresses = ip
      .u32(0xc0000200 + source!)
      .u32(0xc0000200 + destination!)
      .finish();
    const udp = new Writer(8)
      .u16(port(source!))
      .u16(port(destination!))
      .u16(length - 20)
      .u16(0)
      .finish();
    const header = new Writer(16)
      .u32(1_700_000_000 + n)
      .u32(0)
      .u32(length)
      .u32(length)
      .finish();
    return concatBytes(header, addresses, udp, new Uint8Array(datagram));
  });
  const file = new Writer(24).u32(0xa1b2c3d4).u16(2).u16(4).u32(0).u32(0).u32(65_535).u32(101).finish();
  return concatBytes(file, ...packets);
}
