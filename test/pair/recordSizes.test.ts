import t from 'tap';
import { roomForOptions } from '../../src/coap/blockwise.ts';
import { defaultLimits } from '../../src/coap/settings.ts';
import { allCipherSuites } from '../../src/dtls/codec/cipherSuite.ts';
import { recordHeaderLength } from '../../src/dtls/codec/record.ts';
import { protectedLength } from '../../src/dtls/protection.ts';
import { SmallWorld } from '../support/smallWorld.ts';

t.test('the largest block would not get through a path of 1280 bytes once it is sealed', async t => {
  const ipv6AndUdp = 40 + 8;
  // A connection ID as long as our own, and the type behind the content.
  const longest = defaultLimits.blockSize + roomForOptions + 1;
  for (const suite of allCipherSuites) {
    const datagram = recordHeaderLength + 8 + protectedLength(suite, longest);
    t.ok(datagram + ipv6AndUdp <= 1280, `${suite.name}: ${datagram + ipv6AndUdp} bytes`);
  }
});

t.test(
  'whoever asked for short records would hear nothing of a long answer, and not be heard with a long body',
  async t => {
    const world = new SmallWorld();
    const links = Array.from({ length: 60 }, (_, n) => ({ href: `/a/rather/long/path/${n}`, attributes: {} }));
    const device = world.device('device', { dtls: { maxFragmentLength: 512 } }).connect();
    device.register({ lifetime: 600, description: { links } });
    world.run(60_000);
    t.strictSame(device.said, ['connected', 'register 2.01'], 'blocks of its own fit');
    for (const maxFragmentLength of [512, 1024, undefined] as const) {
      const operator = world.operator(`operator ${maxFragmentLength}`, { maxFragmentLength }).connect();
      const [answer] = operator.get('/rd-lookup/res?ep=device');
      t.equal(answer?.code, '2.05', `records of ${maxFragmentLength} bytes`);
      t.match(answer?.text, /path\/0>.*path\/49>/s);
      t.ok(answer!.text!.length > 1024);
    }
  },
);
