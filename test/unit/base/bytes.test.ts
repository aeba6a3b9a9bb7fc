import t from 'tap';
import { concatBytes, fromHex, sameBytes, textOf, toHex, utf8 } from '../../../src/base/bytes.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { DecodeError, Reader } from '../../../src/base/reader.ts';
import { Writer } from '../../../src/base/writer.ts';

t.test('what a writer wrote a reader reads, up to the largest value of each width', async t => {
  for (const fill of [0, 1, 0x7f, 0x80, 0xff]) {
    const u16 = fill * 0x101;
    const u24 = fill * 0x1_0101;
    const u32 = fill * 0x101_0101;
    const u48 = fill * 0x101_0101_0101;
    const writer = new Writer(1);
    writer.u8(fill).u16(u16).u24(u24).u32(u32).u48(u48).vector8(utf8('abc')).vector16(utf8('defg')).put(utf8('rest'));
    const bytes = writer.finish();
    t.equal(writer.length, bytes.length);
    const reader = new Reader(bytes);
    t.same([reader.u8(), reader.u16(), reader.u24(), reader.u32(), reader.u48()], [fill, u16, u24, u32, u48]);
    t.same([textOf(reader.vector8()), textOf(reader.vector16())], ['abc', 'defg']);
    t.equal(reader.left, 4);
    t.equal(textOf(reader.rest()), 'rest');
    reader.end();
  }
  t.equal(toHex(new Writer().u48(2 ** 48 - 1).finish()), 'ffffffffffff');
});

t.test('no read goes past the end, nor past the part that was given', async t => {
  const reads: readonly [string, (reader: Reader) => unknown][] = [
    ['u8', reader => reader.u8()],
    ['u16', reader => reader.u16()],
    ['u24', reader => reader.u24()],
    ['u32', reader => reader.u32()],
    ['u48', reader => reader.u48()],
    ['take', reader => reader.take(1)],
  ];
  for (const [what, read] of reads) {
    t.throws(() => read(new Reader(new Uint8Array(0))), DecodeError, what);
    t.throws(() => read(new Reader(new Uint8Array(8), 3, 3)), DecodeError, `${what} in an empty part`);
  }
  for (const length of [1, 2, 3, 5]) t.throws(() => new Reader(new Uint8Array(length)).u48(), DecodeError);
  t.throws(() => new Reader(Uint8Array.of(4, 1, 2, 3)).vector8(), DecodeError, 'a vector longer than what is left');
  t.throws(() => new Reader(Uint8Array.of(0, 2, 1)).vector16(), DecodeError);
  t.throws(() => new Reader(Uint8Array.of(1)).end(), DecodeError, 'bytes behind the end');
  const failed = new Reader(Uint8Array.of(7, 8));
  t.throws(() => failed.take(3), DecodeError);
  t.equal(failed.u8(), 7, 'a read that failed took nothing');
});

t.test('what a reader takes is a view, and what a writer is given is a copy', async t => {
  const bytes = Uint8Array.of(1, 2, 3);
  const view = new Reader(bytes).take(2);
  bytes[0] = 9;
  t.equal(view[0], 9);
  const written = new Writer().put(bytes).finish();
  bytes[1] = 9;
  t.equal(written[1], 2);
});

t.test('text and hexadecimal are bytes or nothing', async t => {
  t.equal(textOf(Uint8Array.of(0xff)), undefined);
  t.equal(textOf(Uint8Array.of(0xc0, 0x80)), undefined, 'an overlong form');
  t.equal(textOf(Uint8Array.of(0xed, 0xa0, 0x80)), undefined, 'half of a surrogate pair');
  t.equal(textOf(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), '\ufeffa', 'a byte order mark is kept');
  for (const text of ['0', 'xy', '0 1', '0x01', 'é0']) t.equal(fromHex(text), undefined, text);
  t.same(fromHex('00fFAb'), Uint8Array.of(0, 0xff, 0xab));
  t.equal(toHex(Uint8Array.of(0, 0xff, 0xab)), '00ffab');
  t.ok(sameBytes(concatBytes(utf8('a'), new Uint8Array(0), utf8('bc')), utf8('abc')));
  t.notOk(sameBytes(utf8('abc'), utf8('abcd')));
  t.notOk(sameBytes(utf8('abc'), utf8('abd')));
});

t.test('a seed says everything, and what one part draws shifts nothing elsewhere', async t => {
  const draw = (random: SeededRandom) => Array.from({ length: 20 }, () => random.uint32());
  t.same(draw(new SeededRandom(7)), draw(new SeededRandom(7)));
  t.notSame(draw(new SeededRandom(7)), draw(new SeededRandom(8)));
  const [a, b] = [new SeededRandom(1), new SeededRandom(1)];
  const [forkA, forkB] = [a.fork(), b.fork()];
  draw(forkA);
  t.same(draw(a), draw(b), 'the fork is another source');
  t.notSame(draw(forkB), draw(b));
  const random = new SeededRandom(0);
  const fractions = Array.from({ length: 2000 }, () => random.fraction());
  t.ok(fractions.every(fraction => fraction >= 0 && fraction < 1));
  const mean = fractions.reduce((sum, fraction) => sum + fraction, 0) / fractions.length;
  t.ok(Math.abs(mean - 0.5) < 0.03, `the mean is ${mean}`);
  t.same(new Set(Array.from({ length: 200 }, () => random.below(3))), new Set([0, 1, 2]));
  t.equal(random.bytes(33).length, 33);
});
