import type { WallTime } from '../base/time.ts';
import { ContentFormats } from '../coap/codec/contentFormat.ts';
import type { Response } from '../coap/codec/message.ts';
import { ContentFormat } from '../coap/codec/option.ts';
import type { EventType, FleetEvent } from '../fleet/event.ts';
import type { FleetRules, Registered } from '../fleet/registration.ts';
import type { View } from '../fleet/store.ts';
import { lastValues, type Receipt, type ValueChange, valueDetails } from '../fleet/value.ts';
import { type ContentFault, isContentFault } from '../lwm2m/content/fault.ts';
import { decodeContent } from '../lwm2m/content/select.ts';
import { objectOf, type Path } from '../lwm2m/path.ts';
import type { Entry } from '../lwm2m/value.ts';
import type { Dossier } from './dossier.ts';

/** What a device says of its resources, whatever way it says it: read by the definitions of its objects. */
export function readReport(base: Path, response: Pick<Response, 'options' | 'payload'>, dossier: Dossier) {
  const format = response.options.get(ContentFormat) ?? ContentFormats.text;
  const object = objectOf(base);
  return decodeContent(
    format,
    base,
    response.payload,
    dossier.types,
    object === undefined ? undefined : dossier.versionOf(object),
  );
}

/** The changes and the event that a report makes; what cannot be read, or has no room, is told by the event too. */
export function reported(
  entries: readonly Entry[] | ContentFault,
  record: Registered,
  dossier: Dossier,
  receipt: Receipt,
  view: View,
): { values: ValueChange[]; details: Readonly<Record<string, unknown>>; refused: number } {
  if (isContentFault(entries)) {
    const { reason, detail } = entries;
    return { values: [], details: { unreadable: reason, ...(detail === undefined ? {} : { detail }) }, refused: 0 };
  }
  const { row, generation } = record;
  const { changes, refused } = lastValues(
    row,
    generation,
    entries,
    receipt,
    path => view.value(row, path) !== undefined,
    () => dossier.allocation.values.limit - view.valueCount(row),
  );
  return { values: changes, details: valueDetails(entries, refused), refused };
}

export function deviceEvent(
  rules: FleetRules,
  type: EventType,
  at: WallTime,
  { row, generation, name, sector }: Registered,
  details: Readonly<Record<string, unknown>>,
): FleetEvent {
  const registrationId = rules.registrationId(row, generation);
  return { type, at, row, name, ...(sector === undefined ? {} : { sector }), registrationId, details };
}
