import t from 'tap';
import { type Bytes, concatBytes, fromHex, toHex, utf8 } from '../../src/base/bytes.ts';
import { cipherSuite } from '../../src/dtls/codec/cipherSuite.ts';
import { decodeClientHello } from '../../src/dtls/codec/clientHello.ts';
import { decodeClientKeyExchange } from '../../src/dtls/codec/clientKeyExchange.ts';
import { ExtensionType } from '../../src/dtls/codec/extension.ts';
import { decodeFragments, encodeHandshake, HandshakeType } from '../../src/dtls/codec/handshake.ts';
import { NamedGroup } from '../../src/dtls/codec/namedGroup.ts';
import { decodeServerHello } from '../../src/dtls/codec/serverHello.ts';
import { decodeServerKeyExchange } from '../../src/dtls/codec/serverKeyExchange.ts';
import { ephemeralKey } from '../../src/dtls/crypto/ecdhe.ts';
import { KeySchedule, premasterSecret } from '../../src/dtls/crypto/keySchedule.ts';
import { openRecord } from '../../src/dtls/protection.ts';
import { recordsOf } from '../support/handshakePair.ts';

/** Whole sessions as they were on the wire: key exchange, key schedule and CBC against what OpenSSL makes of them. */
for (const session of captured()) {
  t.test(session.who, async t => {
    const suite = cipherSuite(session.suite)!;
    const { hello, serverFlight, clientFlight, serverFinish, said, ephemeral } = session;
    const messages = [hello, serverFlight, clientFlight]
      .flatMap(datagram => recordsOf(datagram))
      .filter(({ type, epoch }) => type === 22 && epoch === 0)
      .flatMap(({ fragment }) => decodeFragments(fragment)!);
    const body = (type: number): Bytes => messages.find(message => message.type === type)!.body;
    const client = decodeClientHello(body(HandshakeType.clientHello))!;
    const server = decodeServerHello(body(HandshakeType.serverHello))!;
    t.equal(server.cipherSuite, suite.id);
    t.ok(server.extensions.has(ExtensionType.encryptThenMac));
    const exchange = decodeClientKeyExchange(body(HandshakeType.clientKeyExchange), suite)!;
    t.strictSame(exchange.identity.slice(), utf8('Client_identity'));

    let shared: Bytes | undefined;
    if (ephemeral !== undefined) {
      const key = ephemeralKey(ephemeral.group, { bytes: () => ephemeral.secret, fraction: () => 0 });
      const { share } = decodeServerKeyExchange(body(HandshakeType.serverKeyExchange), suite)!;
      t.equal(toHex(share!.point), toHex(key.point), 'the point of that secret');
      shared = key.agree(exchange.point!);
    }
    const whole = messages.map(({ type, messageSequence, body }) => encodeHandshake(type, messageSequence, body));
    const transcript = concatBytes(...whole);
    const randoms = { client: client.random, server: server.random };
    const premaster = premasterSecret(utf8('0123456789abcdef'), shared);
    const extended = server.extensions.has(ExtensionType.extendedMasterSecret);
    t.ok(extended);
    const schedule = KeySchedule.full(suite, premaster, randoms, extended, transcript);
    t.equal(toHex(schedule.masterSecret), toHex(session.masterSecret), 'the master secret that OpenSSL printed');

    const keys = schedule.keys();
    const sealed = (datagram: Bytes) => recordsOf(datagram).find(({ epoch }) => epoch === 1)!;
    const read = (from: 'client' | 'server', datagram: Bytes) =>
      openRecord(suite, keys[from], sealed(datagram))?.plaintext.slice();
    const { messageSequence } = messages.at(-1)!;
    const finished = encodeHandshake(
      HandshakeType.finished,
      messageSequence + 1,
      schedule.verifyData('client', transcript),
    );
    t.strictSame(read('client', clientFlight), finished, "the client's Finished");
    const heard = concatBytes(transcript, finished);
    const { messageSequence: last } = messages.find(({ type }) => type === HandshakeType.serverHelloDone)!;
    const ours = encodeHandshake(HandshakeType.finished, last + 1, schedule.verifyData('server', heard));
    t.strictSame(read('server', serverFinish), ours, "the server's Finished");
    t.strictSame(
      said.map(([from, datagram]) => `${from} ${toHex(read(from, datagram)!)}`).sort(),
      [
        `client ${toHex(utf8('the answer\n'))}`,
        `server ${toHex(utf8('THE ANSWER\n'))}`,
        'client 0100',
        'server 0100',
      ].sort(),
      'what was said, and a goodbye on both sides',
    );
    const altered = sealed(clientFlight).fragment.slice();
    for (let at = 0; at < altered.length; at++) {
      altered[at]! ^= 0x80;
      if (openRecord(suite, keys.client, { ...sealed(clientFlight), fragment: altered }) !== undefined) {
        t.fail(`opens with byte ${at} changed`);
      }
      altered[at]! ^= 0x80;
    }
  });
}

interface CapturedSession {
  readonly who: string;
  readonly suite: number;
  /** The server's half of the ephemeral exchange, where it was a server of ours. */
  readonly ephemeral: { readonly group: NamedGroup; readonly secret: Bytes } | undefined;
  readonly masterSecret: Bytes;
  readonly hello: Bytes;
  readonly serverFlight: Bytes;
  readonly clientFlight: Bytes;
  readonly serverFinish: Bytes;
  readonly said: readonly (readonly ['client' | 'server', Bytes])[];
}

function hex(text: string): Bytes {
  return fromHex(text.replace(/\s/g, ''))!;
}

/** `openssl s_client -dtls1_2 -psk_identity Client_identity -psk 30313233343536373839616263646566 -cipher …` 3.0.19. */
function captured(): readonly CapturedSession[] {
  return [
    {
      who: 'OpenSSL on both sides, CBC with encrypt-then-MAC',
      suite: 0x00ae,
      ephemeral: undefined,
      masterSecret: hex(
        `2d855b6575ca7a3720c398ce035ad515384e3a1c3981bc6fe2b90125cd652ff920d5229279c8bdec6ea51d4921bf5449`,
      ),
      hello: hex(
        `16feff00000000000000010084010000780001000000000078fefd821d234e2e5fb8713efebe9e9d0b47c80f39d65edff5f4f58d296533
       ef7f29a90014d30d436e0d07ac4303b68c91a95455a9a6dcc015000400ae00ff010000360016000000170000000d002a00280403050306
       03080708080809080a080b080408050806040105010601030303010302040205020602`,
      ),
      serverFlight: hex(
        `16fefd00000000000000010061020000550001000000000055fefdadde7026dbbed0c4a3ba3bf9a1eb124e0ad7d6514d2bcdb06cd543c5
       152b114820bdd59db9c12085e5212680cc796838e5b91a4962f7bfe92250e20d53c528e16c00ae00000dff010001000016000000170000
       16fefd0000000000000002000c0e0000000002000000000000`,
      ),
      clientFlight: hex(
        `16fefd0000000000000002001d100000110002000000000011000f436c69656e745f6964656e7469747914fefd00000000000000030001
       0116fefd0001000000000000005008ebba4dedb565f8e9b920802637eff9df83052d7e956633a07fd797f7cdfeec5856d5e1ff4a54d073
       9f15c427d6dac9e6382f452129379e8f0f9fefc824ec38bf91625b6d2b1dbd82edbd4e29c7024a`,
      ),
      serverFinish: hex(
        `14fefd000000000000000300010116fefd00010000000000000050ca3ce2f416615c13b420bfc48ba18b322018e5a4822875521c4ed824
       55f1361da5530a0a98511d9b730f0f2db8f37108da5ec648d1ae0ae06daf81398151f1e52f9f44c4688d61811dc359b65b6689f6`,
      ),
      said: [
        [
          'server',
          hex(
            `17fefd00010000000000010040858bb82c93265f98a1e554a3586614ae19c8e460f143d225d35d8db10546eaf4fd728d13c347ca77a30b
         0b9ecd9b30fe6f126bd180bc6635a73c9fd8fdf2dd94`,
          ),
        ],
        [
          'client',
          hex(
            `17fefd00010000000000010040639e13097d2c82ab691d10b04e07fcd998b0e65a037ea10ad9e68639362edd4ccd8213accf427dad8815
         5a89c0862ecceb45412621d3950dec59d65b5944e97d`,
          ),
        ],
        [
          'client',
          hex(
            `15fefd00010000000000020040d8a571e0b030d2e6f3feba8e363dc8dafcb271e49a678fd1c3ee899aeef11ceab1b5d382d18d88f38bd9
         0760d0522e8bdc03258c58179662efbc832e1ace1838`,
          ),
        ],
        [
          'server',
          hex(
            `15fefd00010000000000020040d4a5d3fb05c8ce105ad98c8f60e2f9848619cb6f9dd21174663c2fc005c5b5aa0cdc1e31427c74075733
         ed6fd5968676f376a01ab00be4cbe4bf08d99e7b17c0`,
          ),
        ],
      ],
    },
    {
      who: 'OpenSSL and a server of ours, over X25519',
      suite: 0xc037,
      ephemeral: {
        group: NamedGroup.x25519,
        secret: hex('18f9889425101fe666ee2d08576a0dbd9bb3b36077f61c3907cdfb247a811a44'),
      },
      masterSecret: hex(
        `004ff7c5856994115370ae1a9a1b7afa996d5041d380306a0d44be1913cbccbd803823df04625b2b405a01a11ef84920`,
      ),
      hello: hex(
        `16feff00000000000000010094010000880001000000000088fefdbb4e905493f745d425bbac80ab5082d135c6aa7e24e3e7dc11cf355d
       d98b7045001015e1c70ab4e787f4db4bdbecff1a91200004c03700ff0100004a000b000403000102000a00040002001d00230000001600
       0000170000000d002a0028040305030603080708080809080a080b080408050806040105010601030303010302040205020602`,
      ),
      serverFlight: hex(
        `16fefd0000000000000001004f020000430001000000000043fefd260877fbfcc20d5b8b257cc38b3e9145a2f2c465e157ab28d9f6281b
       078ad3590874768beb02846c44c037000013ff010001000017000000160000000b0002010016fefd000000000000000200320c00002600
       02000000000026000003001d2018ae93d4808afb0d515106999db84f581f544e610ff8f81c5001e17d5d5fd83816fefd00000000000000
       03000c0e0000000003000000000000`,
      ),
      clientFlight: hex(
        `16fefd0000000000000002003e100000320002000000000032000f436c69656e745f6964656e746974792095ef0bffb43e77861cd7b8be
       7f45f2a11b7299c6889815ae1c95961fb358cc1614fefd000000000000000300010116fefd0001000000000000005052402235de648706
       da792885ccb7e1797846d6d029a9b43194bf59b0fff09d75a978ce65dae012b13f3e87e1bad09b86f2252ebcc35fa5da6990c19a315a05
       6a515b2aed210a1226ca658688eb07e8a1`,
      ),
      serverFinish: hex(
        `14fefd000000000000000400010116fefd0001000000000000005009c2a3e5813f8e5a8099028558f0e5694d031b307ebd099b03cd13e7
       e9f1eb429aac27a44a2bc33d4d601c5af9c9aa786fbc2e63437a38c50321779c0c357e235bea9328b3a2b81f671215bb1b472c1d`,
      ),
      said: [
        [
          'client',
          hex(
            `17fefd000100000000000100404972c880b29dfad1e6bd8b0eca50c2827c2d68abcd733fe909a35d48697e2d2a1d25ab0c56d5758e66b9
         2586c92d53b3e5b753706008773b29ddc8fb806dcd64`,
          ),
        ],
        [
          'server',
          hex(
            `17fefd000100000000000100405a9f8ccba4d57fd12d41cf686d18111af97550b4c98d26bb9d195f867989998b67bdebf8db1b72ab6dc2
         2bc8e6115bf577616d5ad459e1ee80e8052c6066a7b9`,
          ),
        ],
        [
          'client',
          hex(
            `15fefd0001000000000002004051b0817651643cc17c605f4f33f92d9d3270e9c1203e701bf2d1dddfdf535d27f97a81e84cc932b070e6
         924ecff5a45ef7cc3ba814fbb32a22d98d3ff178c34c`,
          ),
        ],
        [
          'server',
          hex(
            `15fefd000100000000000200400b6e8ba3423ef4e2dbf92afb3a3bf78012a444ec9edb030d6056c78ab8bb318e28d5dc7838a5f270b905
         1ce358924074fa4e68493319edaaf47687b6eee5e141`,
          ),
        ],
      ],
    },
    {
      who: 'OpenSSL and a server of ours, over P-256',
      suite: 0xc037,
      ephemeral: {
        group: NamedGroup.secp256r1,
        secret: hex('de3e805ba6b78e871357cced0aafef703ec8b5054e18e09d357def32073c8f6c'),
      },
      masterSecret: hex(
        `e4927cb359fb1990dd62f1c87746ce09bee35273591e704ded3655dbe6b8a9224e38ca5b6f9ab1ee21a04cae1ffd5dee`,
      ),
      hello: hex(
        `16feff00000000000000010094010000880001000000000088fefd23492210706433adb00c74fd86cda0927a05003041ced255923337da
       147b99c10010e42cb8541ef384ac06e36c76dc54f31f0004c03700ff0100004a000b000403000102000a00040002001700230000001600
       0000170000000d002a0028040305030603080708080809080a080b080408050806040105010601030303010302040205020602`,
      ),
      serverFlight: hex(
        `16fefd0000000000000001004f020000430001000000000043fefd50ed4e03eb26812c552a84973d552b7d519589746ccddb2cb2a2a413
       728ec11d0874768beb02846c44c037000013ff010001000017000000160000000b0002010016fefd000000000000000200530c00004700
       0200000000004700000300174104a5a75de0a1a9e7219f9e0c0e01f9dda764a383e43c8d6e3a1b16bc1192bf240b193c1edba4f43c6d51
       13fdf9402dfa99d731852be0f78a57afbd705ba26c82a816fefd0000000000000003000c0e0000000003000000000000`,
      ),
      clientFlight: hex(
        `16fefd0000000000000002005f100000530002000000000053000f436c69656e745f6964656e7469747941045583b28d565e29c8b8d9db
       85c45d61b7bc294c9537dcfe31f8107f769908f63e728bd5e5323eb15349f9f45c64714c24c15ebd01215eb4c77ffd462b3c0798ae14fe
       fd000000000000000300010116fefd00010000000000000050d1ec1b53c6e87797883f634899a50e8f5ff7295468730b4acb20437401fd
       4af7ad3b49ad8cc107fb64e3be939115d3dbd8bdcb5a7af65343e3b390e0de7b9dd769fd8939003bcec478b9ec890113f2a9`,
      ),
      serverFinish: hex(
        `14fefd000000000000000400010116fefd000100000000000000500d8f90bcf6687a83c17a98ce625abd57ee7165695b50159b7218e268
       fc087e521c21f06718dc5f4dbaf064b06f3a43c5b2f8b2602d68044c6bf98b913264243e25530a6b5e47b9f2398126395f539dbb`,
      ),
      said: [
        [
          'client',
          hex(
            `17fefd00010000000000010040e7e35f752aa62de9d177658c1bf72caac45b09a2965d772774531a8d69e986c880294ad09a0f195879f8
         5d31a2b8ea1d3d5db050a074ac41d0ed579beb1750cc`,
          ),
        ],
        [
          'server',
          hex(
            `17fefd00010000000000010040b90d4e1ec5aafc23078cb264ce3b48e9d0e2a26649f0efbdc3294a8623a045194b98f08798204ce84a75
         1a745ce16d8e05a46ccc1ff9bfd90fcbb751051e7231`,
          ),
        ],
        [
          'client',
          hex(
            `15fefd00010000000000020040e8188fcd689612611b5df081499ccb520e5802132a2a93abe720d45876af95a53a1c0872750766ead734
         9f4bae2143381b8d534126d4a9ed480af4b1a24c584e`,
          ),
        ],
        [
          'server',
          hex(
            `15fefd0001000000000002004032645a46513f8a4cdf7fa9db1d719bcdec3e61f68a115fc0fc71e4071660ede718e849ac54cb04fca7ad
         fe951b19143b15365b9d4f4bd2ec999c4317413c1193`,
          ),
        ],
      ],
    },
  ];
}
