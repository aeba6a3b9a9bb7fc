import { setTimeout as wait } from 'node:timers/promises';
import { type Environment, lastSequence } from '../adapters/lmdbEnvironment.ts';
import { readEvents } from '../adapters/lmdbView.ts';
import type { StoredEvent } from '../fleet/event.ts';

/** Pages of events from a sequence number on; with `follow` it goes on as they come, until `until` in wall time. */
export async function* eventPages(
  environment: Environment,
  from: number,
  follow: boolean,
  until = Number.POSITIVE_INFINITY,
): AsyncIterable<readonly StoredEvent[]> {
  for (let next = from; ; ) {
    environment.root.resetReadTxn();
    const page = readEvents(environment, next, pageLength);
    if (page.length > 0) {
      yield page;
      next = page.at(-1)!.sequence + 1;
    }
    if (page.length === pageLength) continue;
    if (!follow || Date.now() >= until) return;
    await wait(pollMilliseconds);
  }
}

/** The sequence number of the event that comes next. */
export function nextSequence(environment: Environment): number {
  environment.root.resetReadTxn();
  return lastSequence(environment) + 1;
}

const pageLength = 1000;
const pollMilliseconds = 50;
