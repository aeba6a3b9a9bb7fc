import { encode } from 'cborg';
import fc from 'fast-check';
import t from 'tap';
import { fromHex } from '../../../src/base/bytes.ts';
import { scanCbor, withoutSelfDescription } from '../../../src/lwm2m/cborScan.ts';

t.test('the scan refuses what a decoder would pay for, by name', async t => {
  const table: readonly [what: string, hex: string, fault: string | undefined][] = [
    ['nothing', '', 'truncated'],
    ['an integer', '17', undefined],
    ['the longest form of a small integer', '1b0000000000000001', undefined],
    ['2^53 - 1', '1b001fffffffffffff', undefined],
    ['2^53', '1b0020000000000000', 'large-integer'],
    ['-2^53 - 1', '3b0020000000000000', 'large-integer'],
    ['a byte string', '4301ff02', undefined],
    ['a text', '63e5908d', undefined],
    ['bad UTF-8', '61ff', 'invalid-utf-8'],
    ['half of a surrogate pair', '63eda080', 'invalid-utf-8'],
    ['a text that ends early', '6261', 'truncated'],
    ['a length that ends early', '59', 'truncated'],
    ['a text of 2^53 bytes', '7b0020000000000000', 'large-integer'],
    ['an array of four billion', '9affffffff', 'truncated'],
    ['a map of four billion', 'baffffffff', 'truncated'],
    ['true, false and null', '83f4f5f6', undefined],
    ['undefined', 'f7', 'simple-value'],
    ['an unassigned simple value', 'e0', 'simple-value'],
    ['a simple value in two bytes', 'f8ff', 'simple-value'],
    ['a float', 'fb3ff199999999999a', undefined],
    ['half a float', 'fa3ff1', 'truncated'],
    ['a break without a beginning', 'ff', 'break'],
    ['an indefinite text', '7f6161ff', 'indefinite-string'],
    ['an indefinite byte string', '5f4161ff', 'indefinite-string'],
    ['an indefinite text as key', 'bf7f6161ff00ff', 'indefinite-string'],
    ['an integer of indefinite length', '1f', 'reserved'],
    ['a negative integer of indefinite length', '3f', 'reserved'],
    ['a tag of indefinite length', 'df', 'tag'],
    ['an indefinite array', '9f01ff', undefined],
    ['an indefinite array of none', '9fff', undefined],
    ['an indefinite map', 'bf0001ff', undefined],
    ['an indefinite map of none', 'bfff', undefined],
    ['indefinite and definite in each other', 'bf00829f01ff9fff01a0ff', undefined],
    ['an indefinite array without its break', '9f01', 'truncated'],
    ['an indefinite map without its break', 'bf0001', 'truncated'],
    ['a break too many', '9f01ffff', 'bytes-after-the-end'],
    ['a break among the items of a definite array', '8201ff', 'break'],
    ['a break among the pairs of a definite map', 'a20001ff', 'break'],
    ['a break for the value of a pair', 'bf00ff', 'break'],
    ['a break that ends the array around it', '9f8201ffff', 'break'],
    ['a key twice in an indefinite map', 'bf00010002ff', 'duplicate-key'],
    ['an indefinite array as key', 'bf9fff00ff', 'key-type'],
    ['eight indefinite levels', `${'9f'.repeat(8)}00${'ff'.repeat(8)}`, undefined],
    ['nine indefinite levels', `${'9f'.repeat(9)}00${'ff'.repeat(9)}`, 'depth'],
    ['nine levels of indefinite maps', `${'bf00'.repeat(9)}00${'ff'.repeat(9)}`, 'depth'],
    ['an eighth level that is empty, and a ninth', `${'9f'.repeat(8)}9fff${'ff'.repeat(8)}`, undefined],
    ['reserved additional information', '1c', 'reserved'],
    ['a date', 'c074323031332d30332d32315432303a30343a30305a', 'tag'],
    ['a positive bignum', 'c249010000000000000000', 'tag'],
    ['a tag deep inside', 'a1008181c100', 'tag'],
    ['a key twice', 'a200010002', 'duplicate-key'],
    ['a key twice, in two lengths', 'a20001180002', 'duplicate-key'],
    ['a text key twice', 'a261610161611802', 'duplicate-key'],
    ['a text key twice, in two lengths', 'a2616101780161 02'.replace(' ', ''), 'duplicate-key'],
    ['1, -1 and "1" are three keys', 'a3010020006131 00'.replace(' ', ''), undefined],
    ['a byte string as key', 'a1416100', 'key-type'],
    ['an array as key', 'a18000', 'key-type'],
    ['null as key', 'a1f600', 'key-type'],
    ['eight levels', `${'81'.repeat(8)}00`, undefined],
    ['nine levels', `${'81'.repeat(9)}00`, 'depth'],
    ['nine levels of maps', `${'a100'.repeat(9)}00`, 'depth'],
    ['something behind the end', '0000', 'bytes-after-the-end'],
  ];
  for (const [what, hex, fault] of table) t.equal(scanCbor(fromHex(hex)!), fault, what);
});

t.test('one tag that only says "this is CBOR" is skipped, a second one is not', async t => {
  t.equal(scanCbor(withoutSelfDescription(fromHex('d9d9f7a0')!)), undefined);
  t.equal(scanCbor(withoutSelfDescription(fromHex('d9d9f7d9d9f7a0')!)), 'tag');
  t.same(withoutSelfDescription(fromHex('d9d9f6a0')!), fromHex('d9d9f6a0'));
});

t.test('what an independent encoder writes passes, and no bytes make the scan throw or take long', async t => {
  const leaf = fc.oneof(
    fc.integer(),
    fc.string({ unit: 'grapheme' }),
    fc.boolean(),
    fc.constant(null),
    fc.uint8Array(),
  );
  const { item } = fc.letrec(tie => ({
    item: fc.oneof({ maxDepth: 6, depthSize: 'small' }, leaf, tie('array'), tie('map')),
    array: fc.array(tie('item'), { maxLength: 4 }),
    map: fc.dictionary(fc.string(), tie('item'), { maxKeys: 4 }),
  }));
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(item, value => scanCbor(encode(value)) === undefined),
      { numRuns: 300 },
    ),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), bytes => {
        scanCbor(bytes);
      }),
      { numRuns: 3000 },
    ),
  );
  const begin = performance.now();
  for (const byte of [0x9b, 0x9f, 0xbf]) {
    const hostile = new Uint8Array(4096).fill(byte);
    for (let i = 0; i < 100; i++) scanCbor(hostile);
  }
  t.ok(performance.now() - begin < 1000);
});
