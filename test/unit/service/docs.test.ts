import { readFile } from 'node:fs/promises';
import t from 'tap';
import { fromHex, utf8 } from '../../../src/base/bytes.ts';
import { codeText, Method } from '../../../src/coap/codec/code.ts';
import { decodeMessage, encodeMessage } from '../../../src/coap/codec/message.ts';
import { ContentFormat, Options, UriPath, UriQuery } from '../../../src/coap/codec/option.ts';
import { readRegistrationReply } from '../../../src/lwm2m/registrationReply.ts';
import { type Answer, answers } from '../../../src/service/answer.ts';
import { codeOf, Registrar } from '../../support/registrar.ts';

// What the docs say is what the code does, or a test here fails.

const page = (name: string) => readFile(`docs/${name}`, 'utf8');

t.test('docs/answers.md is the table of answers, row by row', async t => {
  const rows = [...(await page('answers.md')).matchAll(/^\| `([\w-]+)` \| (\d\.\d\d) \| (\d\.\d\d)? ?\| (.*) \|$/gm)];
  const documented = rows.map(([, word, code, lwm2m, sentence]) => ({ word, code, lwm2m, sentence }));
  const coded = Object.entries<Answer>(answers).map(([word, { code, lwm2mCode, sentence }]) => ({
    word,
    code: codeText(code),
    lwm2m: lwm2mCode === undefined ? undefined : codeText(lwm2mCode),
    sentence,
  }));
  const byWord = (a: { word?: string | undefined }, b: { word?: string | undefined }) => (a.word! < b.word! ? -1 : 1);
  t.strictSame(documented.sort(byWord), coded.sort(byWord));
});

t.test('docs/conformance.md names tests that exist', async t => {
  const named = [...(await page('conformance.md')).matchAll(/`([\w/]+) › ([^`]+)`/g)];
  t.ok(named.length > 50, `${named.length} tests are named`);
  const sources = new Map<string, string>();
  for (const [, file, title] of named) {
    const path = `test/${file}.test.ts`;
    const source = sources.get(path) ?? (await readFile(path, 'utf8'));
    sources.set(path, source);
    t.ok(source.includes(`t.test('${title}'`) || source.includes(`t.test("${title}"`), `${file} › ${title}`);
  }
});

t.test('the annotated registration of docs/device-guide.md is 34 bytes, and registers', async t => {
  const guide = await page('device-guide.md');
  const [request, answer] = [...guide.matchAll(/```\n([\s\S]*?)```/g)].map(([, block]) => block!);
  const bytes = hexOf(request!);
  t.equal(bytes.length, 34);
  const message = decodeMessage(bytes);
  if (message.kind !== 'request') return t.fail('no request');
  const registrar = new Registrar();
  const reply = registrar.register(
    { contentFormat: message.options.get(ContentFormat)!, payload: message.payload },
    { psk: 'node' },
  );
  t.equal(codeOf(reply), '2.01');
  const objects = [1, 3, 4, 5, 3303, 3304];
  t.match(
    registrar.device('node')?.description?.objects,
    objects.map(id => ({ id })),
  );

  const response = {
    kind: 'response',
    type: 'ACK',
    messageId: message.messageId,
    token: message.token,
    ...reply,
  } as const;
  const wire = encodeMessage(response);
  t.match(guide, `The answer takes ${wire.length}`);
  const drawn = hexOf(answer!.replace('..', ''));
  // The characters of the id differ from server to server.
  t.strictSame(drawn.subarray(0, 12), wire.subarray(0, 12));

  const lwm2m = '</1/0>,</3/0>,</4/0>,</5/0>,</3303/0>,</3303/1>,</3304/0>';
  t.ok(guide.includes(lwm2m));
  const options = Options.empty.with(UriPath, 'rd').with(ContentFormat, 40).with(UriQuery, 'lwm2m=1.1');
  const other = encodeMessage({ ...message, code: Method.POST, options, payload: utf8(lwm2m) });
  t.match(guide, `client sends ${other.length} bytes`);

  const body = /`(a4 00 01 [0-9a-f ]+)`/.exec(guide)![1]!;
  t.strictSame(readRegistrationReply(fromHex(body.replaceAll(' ', ''))!), {
    lifetime: 3600,
    observations: 1,
    time: 1_700_000_000,
  });
  return t.end();
});

/** The bytes in the left column. */
function hexOf(block: string): Uint8Array {
  const digits = block
    .split('\n')
    .map(line => /^ *((?:[0-9a-f]{2} ?)+)(?: |$)/.exec(line)?.[1] ?? '')
    .join('');
  return fromHex(digits.replaceAll(' ', ''))!;
}
