import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** Folder order is dependency order: a file imports from its own folder and from folders above it, never from below. */
const layers = [
  'base',
  'coap',
  'dtls',
  'lwm2m',
  'fleet',
  'service',
  'device',
  'http',
  'adapters',
  'server',
  'cli',
] as const;

/** Pairs that the order would allow and the design does not. */
const strangers: readonly (readonly [from: string, to: string])[] = [
  ['dtls', 'coap'],
  ['fleet', 'coap'],
  ['fleet', 'dtls'],
  ['service', 'dtls'],
  ['device', 'service'],
  ['device', 'fleet'],
];

const mayUseNode = ['dtls/crypto/', 'adapters/', 'http/', 'server/', 'cli/'];

/** What the datagram road must not reach for: the loop hands in time, randomness and output. */
const ambient =
  /\b(Date\.now|new Date\(\)|Math\.random|setTimeout|setInterval|setImmediate|queueMicrotask|performance\.now|process\.)/;
const synchronous = ['base/', 'coap/', 'dtls/', 'lwm2m/', 'fleet/', 'service/', 'device/'];

const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.ts'))
  .map(file => file.replaceAll('\\', '/'));
const imports = new Map(sources.map(file => [file, importsOf(file)]));

t.test('a file imports only from its own folder and from folders above it', async t => {
  for (const [file, found] of imports) {
    const layer = layerOf(file);
    t.ok(layer >= 0, `src/${file} lies in one of the layers`);
    for (const target of found.internal) {
      const there = layerOf(target);
      const allowed =
        there >= 0 &&
        there <= layer &&
        !strangers.some(([from, to]) => file.startsWith(`${from}/`) && target.startsWith(`${to}/`));
      if (!allowed) t.fail(`src/${file} imports src/${target}`);
    }
  }
});

t.test('no file imports itself by way of others', async t => {
  const state = new Map<string, 'open' | 'done'>();
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      t.fail(`a cycle: ${[...path, file].join(' → ')}`);
      return;
    }
    state.set(file, 'open');
    for (const target of imports.get(file)?.internal ?? []) visit(target, [...path, file]);
    state.set(file, 'done');
  };
  for (const file of sources) visit(file, []);
  t.equal(state.size, sources.length);
});

t.test('only crypto, adapters, server and cli touch the platform', async t => {
  for (const [file, found] of imports) {
    if (mayUseNode.some(prefix => file.startsWith(prefix))) continue;
    const platform = found.packages.filter(name => name.startsWith('node:'));
    if (platform.length > 0) t.fail(`src/${file} imports ${platform.join(', ')}`);
  }
  t.ok(sources.length > 0);
});

t.test('the datagram road has no clock, no timer, no promise and no randomness of its own', async t => {
  for (const file of sources) {
    if (!synchronous.some(prefix => file.startsWith(prefix))) continue;
    const code = withoutComments(readFileSync(join(root, 'src', file), 'utf8'));
    const found = code.match(ambient) ?? code.match(/\b(async|await|Promise)\b/);
    if (found) t.fail(`src/${file} uses ${found[0]}`);
  }
  t.ok(sources.length > 0);
});

t.test('no file only passes on what others define', async t => {
  for (const file of sources) {
    const code = readFileSync(join(root, 'src', file), 'utf8');
    if (/^export (type )?(\*|\{[^}]*\}) from /m.test(code)) t.fail(`src/${file} is a barrel: import the defining file`);
  }
  t.ok(sources.length > 0);
});

function layerOf(file: string): number {
  return layers.indexOf(file.split('/')[0] as (typeof layers)[number]);
}

interface Imports {
  /** Files in `src`, types included. */
  readonly internal: readonly string[];
  readonly packages: readonly string[];
}

function importsOf(file: string): Imports {
  const code = withoutComments(readFileSync(join(root, 'src', file), 'utf8'));
  const internal: string[] = [];
  const packages: string[] = [];
  for (const match of code.matchAll(/^(?:import|export)\s+(?:type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm)) {
    const specifier = match[1]!;
    if (!specifier.startsWith('.')) {
      packages.push(specifier);
      continue;
    }
    const target = relative(join(root, 'src'), normalize(join(root, 'src', dirname(file), specifier))).replaceAll(
      '\\',
      '/',
    );
    if (target.startsWith('../')) continue;
    internal.push(target);
  }
  return { internal, packages };
}

function withoutComments(code: string): string {
  return code.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
}
