import { Command } from 'commander';
import type { Environment } from '../adapters/lmdbEnvironment.ts';
import { readEventsOf } from '../adapters/lmdbView.ts';
import type { StoredEvent } from '../fleet/event.ts';
import type { Row } from '../fleet/names.ts';
import { eventPages, nextSequence } from './follow.ts';
import { type CommonOptions, examples, wholeNumber, withCommonOptions } from './options.ts';
import { fail, placedName, write } from './output.ts';
import { withStore } from './store.ts';

export function eventsCommand(): Command {
  return withEventOptions(withCommonOptions(new Command('events')))
    .description(
      'What happened, in one sequence: registrations, values, commands …; one JSON object a line with --json',
    )
    .addHelpText('after', examples('rollcall events --from 1 --json', 'rollcall events --follow'))
    .action((options: EventOptions) =>
      withStore(options.data, async (_administration, environment) =>
        printEvents(environment, options, undefined),
      ).catch(fail),
    );
}

export function withEventOptions(command: Command): Command {
  return command
    .option('--from <sequence>', 'from this sequence number on; by default, with --follow, from now on', wholeNumber)
    .option('--type <types...>', 'only events of these types')
    .option('--limit <count>', 'at most so many', wholeNumber)
    .option('--follow', 'go on as they come', false);
}

export interface EventOptions extends CommonOptions {
  readonly from?: number;
  readonly type?: readonly string[];
  readonly limit?: number;
  readonly follow: boolean;
}

/** Of all devices, or of one: of that the newest, unless it is said from where on. */
export async function printEvents(
  environment: Environment,
  { from, type, follow, json, limit }: EventOptions,
  row: Row | undefined,
): Promise<void> {
  const isWanted = (event: StoredEvent) =>
    (row === undefined || event.row === row) && (type === undefined || type.includes(event.type));
  const print = async (events: readonly StoredEvent[]) => {
    const lines = events.map(event => (json ? JSON.stringify(eventJson(event)) : eventLine(event)));
    if (lines.length > 0) await write(`${lines.join('\n')}\n`);
  };
  if (row !== undefined && from === undefined && !follow) {
    return print(readEventsOf(environment, row, limit ?? newestOfDevice, isWanted));
  }
  const first = from ?? (follow ? nextSequence(environment) : 1);
  let left = limit ?? Number.POSITIVE_INFINITY;
  for await (const page of eventPages(environment, first, follow)) {
    const events = page.filter(isWanted).slice(0, left);
    await print(events);
    left -= events.length;
    if (left === 0) return;
  }
}

/** An event as `schemas/event.schema.json` has it. */
export function eventJson({ sequence, type, at, name, sector, registrationId, details }: StoredEvent): object {
  return {
    version: 1,
    sequence,
    type,
    at: new Date(at).toISOString(),
    ...(name === '' ? {} : { endpoint: name }),
    ...(sector === undefined ? {} : { sector }),
    ...(registrationId === undefined ? {} : { registrationId }),
    ...(details === undefined ? {} : { details }),
  };
}

function eventLine({ sequence, type, at, name, sector, details }: StoredEvent): string {
  const told = details === undefined ? '' : `  ${JSON.stringify(details)}`;
  return `${String(sequence).padStart(8)}  ${new Date(at).toISOString()}  ${type.padEnd(16)}  ${placedName(name, sector)}${told}`;
}

/** As many as are kept of a device, unless its profile says otherwise. */
const newestOfDevice = 1000;
