import t from 'tap';
import {
  childOf,
  comparePaths,
  containsPath,
  levelOf,
  type Path,
  parentOf,
  parsePath,
  pathIds,
  pathOf,
  resourcePath,
} from '../../../src/lwm2m/path.ts';

t.test('a path is its canonical text, and nothing else is one', async t => {
  const table: readonly [text: string, level: string][] = [
    ['/', 'root'],
    ['/0', 'object'],
    ['/3303/0', 'instance'],
    ['/3303/0/5700', 'resource'],
    ['/65534/65534/65534/65534', 'resource-instance'],
  ];
  for (const [text, level] of table) {
    const path = parsePath(text);
    t.equal(path, text);
    t.equal(levelOf(path!), level);
    t.equal(pathOf(pathIds(path!)), text);
  }
  for (const text of [
    '',
    '3303',
    '//',
    '/3303/',
    '/03',
    '/-1',
    '/65535',
    '/99999',
    '/1/2/3/4/5',
    '/a',
    '/1 ',
    '/1\n',
  ]) {
    t.equal(parsePath(text), undefined, JSON.stringify(text));
  }
  t.equal(pathOf([1, 2, 3, 4, 5]), undefined);
  t.equal(pathOf([1.5]), undefined);
  t.throws(() => resourcePath(3, 0, 65_535), RangeError);
});

t.test('/33 does not contain /3303, and numbers sort as numbers', async t => {
  const path = (text: string) => parsePath(text) as Path;
  t.equal(containsPath(path('/33'), path('/3303/0')), false);
  t.equal(containsPath(path('/33'), path('/33/0/1')), true);
  t.equal(containsPath(path('/33'), path('/33')), true);
  t.equal(containsPath(path('/33/0'), path('/33')), false);
  t.equal(containsPath(path('/'), path('/33')), true);
  t.equal(parentOf(path('/33')), '/');
  t.equal(parentOf(path('/')), undefined);
  t.equal(childOf(path('/'), 3), '/3');
  t.equal(childOf(path('/1/2/3/4'), 5), undefined);
  t.same(['/10', '/9/1', '/9', '/'].map(path).sort(comparePaths), ['/', '/9', '/9/1', '/10']);
});
