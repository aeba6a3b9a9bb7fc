import { deepStrictEqual } from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { decodeRecord, encodeRecord } from '../../../src/adapters/lmdbForms.ts';
import { fromHex, utf8 } from '../../../src/base/bytes.ts';
import { formatLinks } from '../../../src/coap/codec/linkFormat.ts';
import { writeObjectLinks } from '../../../src/lwm2m/objectLinks.ts';
import { readRegistrationMap } from '../../../src/lwm2m/registrationMap.ts';
import { type Description, emptyDescription } from '../../../src/lwm2m/registrationRequest.ts';
import { writeRegistrationMap } from '../../../src/lwm2m/writeRegistrationMap.ts';
import { indefiniteForm } from '../../support/indefiniteForm.ts';
import { codeOf, type Message, Registrar } from '../../support/registrar.ts';

// Whatever a device can say of itself is found again as it was said: written by the device's side, read by the server's,
// stored, and decoded for whoever asks.

// Prototypes are compared too, and the store knows ordinary objects only.
const plainRecord = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record<T>(model, { noNullPrototype: true });
const id = fc.integer({ min: 0, max: 65_535 });
const text = (maxLength: number) => fc.string({ unit: 'grapheme', maxLength });
const ids = (bounds: fc.UniqueArrayConstraints<number, number>) =>
  fc.uniqueArray(id, bounds).map(list => list.sort((a, b) => a - b));
const objects = fc
  .uniqueArray(
    plainRecord({
      id: id.filter(number => number !== 0 && number !== 21),
      version: fc.option(fc.tuple(fc.nat(255), fc.nat(255)), { nil: undefined }),
      instances: ids({ maxLength: 5 }),
    }),
    { selector: object => object.id, maxLength: 12 },
  )
  .map(list => list.sort((a, b) => a.id - b.id));
const attributeName = fc.oneof(
  fc.stringMatching(/^[a-z][a-z0-9*.-]{0,9}$/),
  fc.constantFrom('rt', 'if', 'sz', 'ct', 'obs', 'constructor', 'toJSON', '__proto__'),
);
const attributes = fc
  .uniqueArray(fc.tuple(attributeName, fc.oneof(text(20), fc.constant(true as const))), {
    selector: ([name]) => name,
    maxLength: 4,
  })
  .map(pairs => Object.fromEntries(pairs.filter(([name]) => name !== 'href' && name !== 'ver')));
const links = fc.array(plainRecord({ href: fc.stringMatching(/^\/[a-z]{1,10}(\/[a-z0-9]{1,8})?$/), attributes }), {
  maxLength: 4,
});
const privateName = fc.oneof(
  fc.stringMatching(/^x-[a-zA-Z_]{1,12}$/),
  fc.integer({ min: -(2 ** 31), max: -1 }).map(String),
);
const evenKey = fc.integer({ min: 10, max: 2 ** 20 }).map(half => String(2 * half));
const privateValue = fc.letrec(tie => ({
  value: fc.oneof(
    { maxDepth: 3 },
    text(12),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(value => value + 0),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.oneof(text(6), fc.constantFrom('toJSON', 'constructor')), tie('value'), {
      maxKeys: 3,
      noNullPrototype: true,
    }),
  ),
})).value;
const observations = fc.array(
  plainRecord({
    path: fc.array(id, { minLength: 1, maxLength: 4 }).map(path => `/${path.join('/')}`),
    pmin: fc.option(fc.nat(2 ** 31 - 1), { nil: undefined }),
    pmax: fc.constant(undefined),
  }),
  { maxLength: 4 },
);
const metadata = fc.dictionary(
  fc.oneof(fc.constantFrom('manufacturer', 'model', 'serial', 'firmware', 'type', 'hardware', 'software'), privateName),
  text(20),
  { maxKeys: 5, noNullPrototype: true },
);
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

const description: fc.Arbitrary<Description> = plainRecord({
  root: fc.constant('/'),
  contentFormats: fc.uniqueArray(id, { maxLength: 6 }),
  objects,
  links,
  metadata,
  observations,
  extra: fc.dictionary(fc.oneof(privateName, evenKey), privateValue as fc.Arbitrary<unknown>, {
    maxKeys: 4,
    noNullPrototype: true,
  }),
  endpointType: optional(text(20)),
  base: optional(fc.webUrl({ size: 'small' })),
  model: optional(
    fc.oneof(
      fc.nat(),
      text(20).filter(model => model !== ''),
    ),
  ),
  awake: optional(fc.nat(2 ** 31 - 1)),
  bootId: optional(fc.stringMatching(/^([0-9a-f]{2}){1,16}$/)),
});
const registration = plainRecord({
  endpoint: fc.constant('node'),
  lifetime: optional(fc.integer({ min: 1, max: 2 ** 32 - 1 })),
  version: optional(fc.constantFrom([1, 0] as const, [1, 1] as const, [1, 2] as const)),
  binding: optional(fc.constantFrom('U', 'UT', 'TS')),
  queueMode: fc.boolean(),
  sms: optional(fc.stringMatching(/^[0-9]{1,15}$/)),
  description,
});

/** Registers, and returns what the store gives back after it wrote the record as bytes. */
function found(message: Message): ReturnType<Registrar['device']> {
  const registrar = new Registrar();
  const reply = registrar.register(message, { psk: 'node' });
  if (codeOf(reply) !== '2.01') throw new Error(`${codeOf(reply)} to a good registration`);
  const record = registrar.record('node')!;
  const bytes = encodeRecord(record);
  deepStrictEqual(decodeRecord(record.row, bytes), record);
  return registrar.device('node');
}

t.test('a registration in the CBOR map survives encode, register, lookup and decode, in either form', async () => {
  fc.assert(
    fc.property(registration, fc.constantFrom('compact' as const, 'text' as const), (wanted, form) => {
      const payload = writeRegistrationMap(wanted, form);
      fc.pre(payload.length <= 4096);
      const view = found({ contentFormat: 60, payload });
      deepStrictEqual(
        [view?.endpoint, view?.lifetime, view?.lwm2m, view?.binding, view?.queueMode, view?.sms],
        [
          'node',
          wanted.lifetime ?? 86_400,
          wanted.version?.join('.'),
          wanted.binding ?? 'U',
          wanted.queueMode,
          wanted.sms,
        ],
      );
      deepStrictEqual(view?.description, wanted.description);
    }),
    { numRuns: 150 },
  );
});

t.test('a map of indefinite lengths, as many encoders write it, reads the same as one of definite lengths', async t => {
  const choices = fc.array(fc.boolean(), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(registration, fc.constantFrom('compact' as const, 'text' as const), choices, (wanted, form, chosen) => {
      const definite = writeRegistrationMap(wanted, form);
      deepStrictEqual(readRegistrationMap(indefiniteForm(definite, chosen)), readRegistrationMap(definite));
    }),
    { numRuns: 300 },
  );
  const smallest = fromHex('bf000108 9f0103 9f190ce7f69f0001ffff ffff'.replaceAll(' ', ''))!;
  t.strictSame(
    readRegistrationMap(smallest),
    readRegistrationMap(fromHex('a20001088301038319 0ce7f6820001'.replace(' ', ''))!),
  );
  t.match(readRegistrationMap(smallest), { v: 1, obj: [{ id: 1 }, { id: 3 }, { id: 3303, i: [0, 1] }] });
});

t.test('an object list in link-format survives, under any root', async () => {
  const list = plainRecord({
    root: fc.constantFrom('/', '/lwm2m', '/a/b'),
    contentFormats: fc.uniqueArray(id, { maxLength: 6 }),
    objects,
    links,
  });
  fc.assert(
    fc.property(list, fc.boolean(), (wanted, typed) => {
      const payload = utf8(formatLinks(writeObjectLinks(wanted)));
      const view = found({ query: 'lwm2m=1.1', payload, ...(typed && { contentFormat: 40 }) });
      deepStrictEqual(view?.description, { ...emptyDescription, ...wanted });
    }),
    { numRuns: 150 },
  );
});
