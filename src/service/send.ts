import { ResponseCode } from '../coap/codec/code.ts';
import { type Request, reply } from '../coap/codec/message.ts';
import type { Row } from '../fleet/names.ts';
import {
  type Contact,
  type FleetRules,
  mayChange,
  outOfOrder,
  type Registered,
  repeatedExchange,
  report,
} from '../fleet/registration.ts';
import { type ContentFault, type ContentFaultReason, isContentFault } from '../lwm2m/content/fault.ts';
import { rootPath } from '../lwm2m/path.ts';
import { type RefusalReason, refusal } from '../lwm2m/refusal.ts';
import { answerTo } from './answer.ts';
import type { Dossiers } from './dossier.ts';
import type { Outcome, RequestContext } from './outcome.ts';
import { deviceEvent, readReport, reported } from './reports.ts';

/**
 * `POST /dp`: a device reports values without being asked (LwM2M Core 1.2 §6.4.6). All of it is stored or nothing, and
 * once, also over a crash: the exchange stands in the record. `row` is that of the device which sent it.
 */
export function sendValues(
  request: Request,
  context: RequestContext,
  contact: Contact,
  row: Row | undefined,
  dossiers: Dossiers,
  rules: FleetRules,
): Outcome {
  const { view, now } = context;
  const record = row === undefined ? undefined : view.device(row);
  if (repeatedExchange(record, contact) !== undefined) return { kind: 'reply', reply: reply(ResponseCode.Changed) };
  const { registration } = record ?? {};
  if (record === undefined || registration === undefined) return refused('send-without-registration');
  if (!mayChange(registration, contact)) return refused('not-the-owner');
  if (outOfOrder(record, contact) !== undefined) return refused('out-of-order');
  const registered: Registered = { ...record, registration };
  const dossier = dossiers.of(registered);
  const entries = readReport(rootPath, request, dossier);
  if (isContentFault(entries)) return refused(unreadable(entries.reason), detailOf(entries));
  const receipt = { received: now.wall, source: 'send' as const, peer: undefined, sequence: undefined };
  const { values, details, refused: excess } = reported(entries, registered, dossier, receipt, view);
  if (excess > 0) return refused('values-full', `${excess} values have no room`);
  const event = deviceEvent(rules, 'value', now.wall, registered, { send: true, ...details });
  const commit = { devices: [report(contact, registered)], values, events: [event] };
  return { kind: 'commit', commit, reply: reply(ResponseCode.Changed) };
}

function unreadable(reason: ContentFaultReason): RefusalReason {
  return reason === 'unknown-format' ? 'content-format' : 'send-unreadable';
}

/** For the log, by the word that `docs/content.md` has for it. */
function detailOf({ reason, detail }: ContentFault): string {
  return detail === undefined ? reason : `${reason}: ${detail}`;
}

function refused(reason: RefusalReason, detail?: string): Outcome {
  const why = refusal(reason, detail);
  return { kind: 'reply', reply: answerTo(why, 'lwm2m'), refusal: why };
}
