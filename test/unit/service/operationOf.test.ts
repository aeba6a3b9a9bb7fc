import t from 'tap';
import { ContentFormats } from '../../../src/coap/codec/contentFormat.ts';
import { isContentFault } from '../../../src/lwm2m/content/fault.ts';
import { Definitions } from '../../../src/lwm2m/definitions.ts';
import { readObjectLinks } from '../../../src/lwm2m/objectLinks.ts';
import type { Path, ValuePath } from '../../../src/lwm2m/path.ts';
import type { Dossier } from '../../../src/service/dossier.ts';
import {
  createOperation,
  entryFromText,
  triggerOperation,
  writeComposite,
  writeValue,
} from '../../../src/service/operationOf.ts';

const { lwm2mTlv, senmlCbor, senmlJson } = ContentFormats;
const reading = (...formats: number[]) =>
  ({ formats, types: Definitions.registry(), versionOf: () => undefined }) as unknown as Dossier;
const [temperature, warm] = ['/3303/0/5700' as ValuePath, { path: '/3303/0/5700' as ValuePath, value: 21.5 }];

t.test('a device would be written to in a format that it does not read', async t => {
  const write = (value: number, ...formats: number[]) => writeValue(temperature, value, false, reading(...formats));
  t.match(write(21.5), { contentFormat: lwm2mTlv }, 'who says nothing reads TLV, as all of 1.0 do');
  t.match(write(21.5, senmlJson), { contentFormat: senmlJson });
  t.match(write(Number.NaN, senmlJson), { reason: 'not-representable' });
  t.match(writeComposite([warm], reading()), { kind: 'write-composite', contentFormat: senmlCbor });
  t.match(writeComposite([{ ...warm, value: Number.NaN }], reading(senmlJson)), { reason: 'not-representable' });
  t.match(entryFromText('/3303/0' as Path, '21.5', Definitions.registry()), { reason: 'wrong-path' });
});

t.test('an instance would be created in another place than was said, or in a form that cannot say it', async t => {
  const [object, instance] = ['/3303' as Path, '/3303/0' as Path];
  const create = (path: Path, entries: (typeof warm)[], ...formats: number[]) =>
    createOperation(path, instance, entries, reading(...formats));
  t.strictSame(create(object, []), { kind: 'create', paths: ['/3303'] }, 'the device chooses all of it');
  t.match(create(instance, []), { reason: 'wrong-path' }, 'which instance stands with its resources only');
  t.match(create(object, [warm]), { paths: ['/3303'], contentFormat: lwm2mTlv });
  t.match(create(object, [warm], senmlCbor, lwm2mTlv), { contentFormat: lwm2mTlv }, 'other formats name the instance');
  t.match(create(object, [warm], senmlCbor), { reason: 'unknown-format' });
  t.match(create(instance, [warm], senmlCbor), { paths: ['/3303'], contentFormat: senmlCbor });
  t.match(create(instance, [warm]), { contentFormat: lwm2mTlv });
  const [named, chosen] = [create(instance, [warm]), create(object, [warm])];
  t.notOk(isContentFault(named) || isContentFault(chosen));
  t.notSame(named, chosen, 'with its number, and without one');
});

t.test('an update is triggered where the device has its Server object, which need not be instance 0', async t => {
  const pathsFor = (links: [string, ...string[]]) => {
    const description = readObjectLinks(links.map(href => ({ href, attributes: {} })));
    return triggerOperation(description!.objects).paths;
  };
  t.strictSame(pathsFor(['/1/0', '/3/0']), ['/1/0/8']);
  t.strictSame(pathsFor(['/1/1', '/3/0']), ['/1/1/8']);
  t.strictSame(pathsFor(['/1/5', '/1/2']), ['/1/2/8'], 'of several the first');
  t.strictSame(pathsFor(['/3/0']), ['/1/0/8'], 'a device may leave it out of its list');
});
