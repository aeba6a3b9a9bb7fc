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
    const titles = [`'${name}'`, `"${name}"`];
    t.ok(
      titles.some(title => source.includes(title)),
      `${file}: ${name}`,
    );
  }
  t.ok(count > 30);
});
