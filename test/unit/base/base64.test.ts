import fc from 'fast-check';
import t from 'tap';
import { fromBase64, toBase64 } from '../../../src/base/base64.ts';
import { utf8 } from '../../../src/base/bytes.ts';

t.test('RFC 4648 §10', async t => {
  const vectors: readonly [text: string, encoded: string][] = [
    ['', ''],
    ['f', 'Zg=='],
    ['fo', 'Zm8='],
    ['foo', 'Zm9v'],
    ['foob', 'Zm9vYg=='],
    ['fooba', 'Zm9vYmE='],
    ['foobar', 'Zm9vYmFy'],
  ];
  for (const [text, encoded] of vectors) {
    t.equal(toBase64(utf8(text), 'base64'), encoded);
    t.same(fromBase64(encoded, 'base64'), utf8(text));
    t.same(fromBase64(encoded.replace(/=/g, ''), 'base64url'), utf8(text));
  }
});

t.test('what is written is read again, and agrees with the platform', async t => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 40 }),
      fc.constantFrom('base64' as const, 'base64url' as const),
      (bytes, alphabet) => {
        const text = toBase64(bytes, alphabet);
        return (
          text === Buffer.from(bytes).toString(alphabet) && Buffer.compare(fromBase64(text, alphabet)!, bytes) === 0
        );
      },
    ),
  );
  t.pass();
});

t.test('what no bytes have as their form is refused', async t => {
  for (const text of ['A', 'AB', 'AAA=A', 'AA=', 'A===', 'Zm9v\n', 'Zm 9v', 'Zg=', 'Zh==', '-_-_', '====', '=']) {
    t.equal(fromBase64(text, 'base64'), undefined, JSON.stringify(text));
  }
  t.equal(fromBase64('+/+/', 'base64url'), undefined);
});
