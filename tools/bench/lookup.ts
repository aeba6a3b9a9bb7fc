import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { openDataDirectory } from '../../src/adapters/dataDirectory.ts';
import { LmdbStore } from '../../src/adapters/lmdbStore.ts';
import type { WallTime } from '../../src/base/time.ts';
import { fail, printTable } from '../../src/cli/output.ts';
import { fleetRules } from '../../src/cli/rules.ts';
import type { Row } from '../../src/fleet/names.ts';
import { noProfiles } from '../../src/fleet/profile.ts';
import { isQueryFault, parseQuery, selectionOf } from '../../src/fleet/query.ts';
import { simulatedDevice } from '../load/fleet.ts';
import { percentile } from '../load/inFlight.ts';
import { preload } from './preload.ts';

/** What a lookup costs in a large store, in the process that has it: the first page of `pageLength` devices. */
new Command('lookup')
  .description('Measure lookups in a store of many devices, and how large the store is')
  .option('--devices <count>', 'how many devices the store holds', parseCount, 1_000_000)
  .action(({ devices }: { devices: number }) => measure(devices).catch(fail))
  .parse();

async function measure(devices: number): Promise<void> {
  const data = await mkdtemp(join(tmpdir(), 'rollcall-lookup-'));
  try {
    await preload(data, devices, 'plain', () => undefined);
    const size = (await stat(join(data, 'data.mdb'))).size;
    const { environment, keyring } = await openDataDirectory(data, false);
    const store = await LmdbStore.open(environment, keyring, error => {
      throw error;
    });
    const asked = { now: Date.now() as WallTime, rules: fleetRules(keyring, [], noProfiles) };
    const some = Array.from({ length: repetitions }, (_, i) => simulatedDevice('preloaded', (i * 7919) % devices));
    const rows: [string, ...string[]][] = [['LOOKUP', 'p50 µs', 'p99 µs', 'turns']];
    const view = store.view();
    rows.push(
      timed('by name, record decoded', i => (view.device(view.row(some[i]!.name, undefined)!) === undefined ? 0 : 1)),
    );
    for (const query of queries) {
      rows.push(
        timed(query('…'), i => {
          const conditions = parseQuery(query(some[i]!.registration.description!.metadata!.serial!));
          if (isQueryFault(conditions)) throw new Error(conditions.message);
          const selection = selectionOf(conditions, asked);
          let turns = 0;
          let missing = pageLength;
          for (let from: Row | undefined = 1 as Row; from !== undefined && missing > 0; turns++) {
            const page = store.find(selection, from, missing);
            missing -= page.records.length;
            from = page.next;
          }
          return turns;
        }),
      );
    }
    printTable(rows);
    const terms = environment.terms.getStats() as {
      pageSize: number;
      treeLeafPageCount: number;
      overflowPages: number;
    };
    const index = terms.pageSize * (terms.treeLeafPageCount + terms.overflowPages);
    process.stdout.write(
      `${devices} devices: ${Math.round(size / devices)} B of file a device, ${Math.round(index / devices)} B of it the index\n`,
    );
    await store.close();
  } finally {
    await rm(data, { recursive: true, force: true });
  }
}

function timed(name: string, look: (i: number) => number): [string, string, string, string] {
  const micros: number[] = [];
  let turns = 0;
  for (let i = 0; i < repetitions; i++) {
    const start = performance.now();
    turns = look(i);
    micros.push(1000 * (performance.now() - start));
  }
  micros.sort((a, b) => a - b);
  return [name, percentile(micros, 0.5).toFixed(1), percentile(micros, 0.99).toFixed(1), String(turns)];
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError('expected a whole number from 1 on');
  return count;
}

const queries: readonly ((serial: string) => string)[] = [
  () => 'object=3303 and state=registered',
  () => 'manufacturer=Example and lastContact<24h',
  serial => `serial=${serial}`,
  serial => `serial=${serial} and object=3303`,
  () => 'object=9999',
];
const repetitions = 100;
const pageLength = 50;
