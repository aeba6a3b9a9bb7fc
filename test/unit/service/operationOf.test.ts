import t from 'tap';
import { readObjectLinks } from '../../../src/lwm2m/objectLinks.ts';
import { triggerOperation } from '../../../src/service/operationOf.ts';

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
