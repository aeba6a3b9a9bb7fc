import { readFileSync } from 'node:fs';
import t from 'tap';

const root = new URL('../../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

t.test('docs/safety-tests.md names tests that are there', async t => {
  const rows = read('docs/safety-tests.md').matchAll(/\| `(test\/[^`]+)`: (.+) \|$/gm);
  let count = 0;
  for (const [, file = '', name = ''] of rows) {
    count++;
    const source = read(file);
    t.ok(source.includes(`t.test('${name}'`) || source.includes(`t.test("${name}"`), `${file}: ${name}`);
  }
  t.ok(count > 30);
});
