import { ContentFormats } from '../coap/codec/contentFormat.ts';
import type { Request } from '../coap/codec/message.ts';
import { Accept, UriPath, UriQuery } from '../coap/codec/option.ts';
import { parseEndpointName, parseSector, type Row } from '../fleet/names.ts';
import type { Registered } from '../fleet/registration.ts';
import type { View } from '../fleet/store.ts';
import type { LastValue } from '../fleet/value.ts';
import { isContentFault } from '../lwm2m/content/fault.ts';
import { encodeContent } from '../lwm2m/content/select.ts';
import { comparePaths, containsPath, isValuePath, objectOf, type Path, parsePath } from '../lwm2m/path.ts';
import { type Refusal, refusal } from '../lwm2m/refusal.ts';
import { type Entry, isBytes } from '../lwm2m/value.ts';
import { answerTo } from './answer.ts';
import type { Dossier } from './dossier.ts';
import { entityTag } from './entityTag.ts';
import type { KeptAnswers } from './keptAnswers.ts';
import { knownOf, type Result, replyOf } from './lookupResult.ts';
import { type Observed, type Observers, observeOf } from './observers.ts';
import type { Outcome, RequestContext } from './outcome.ts';

/**
 * `GET /device/{ep}/{object}/{instance}/{resource}`, or any path above it: the last values that a device reported, for
 * operators, also while the device sleeps. With Observe 0 they are told of what changes below the path. Reads what is
 * durable and changes nothing.
 */
export class ValuesInterface {
  readonly #dossierOf: (record: Registered) => Dossier;
  readonly #observers: Observers;
  readonly #answers: KeptAnswers;

  constructor(dossierOf: (record: Registered) => Dossier, observers: Observers, answers: KeptAnswers) {
    this.#dossierOf = dossierOf;
    this.#observers = observers;
    this.#answers = answers;
  }

  get(request: Request, context: RequestContext): Outcome {
    const { exchange, principal, peer, now, view } = context;
    if (principal.kind !== 'operator') return refused(refusal('values-need-operator'));
    const observe = observeOf(request, exchange);
    // Whoever asks anew and is not told that he observes does not observe.
    if (observe !== undefined) this.#observers.end(exchange);
    const asked = this.#askedOf(request, view);
    if ('kind' in asked) return refused(asked);
    const found = this.#look(asked, view);
    if ('kind' in found) return refused(found);
    const observed = this.#observed({ ...asked, format: found.format });
    if ((exchange.block2?.number ?? 0) > 0) {
      const kept = this.#answers.get(peer, observed.key, now.instant);
      if (kept !== undefined) return { kind: 'reply', reply: kept };
    }
    const sequence =
      observe === 0 ? this.#observers.begin({ exchange, isOperator: true }, observed, found, now) : undefined;
    const answer = replyOf(found, knownOf(request, exchange), sequence);
    this.#answers.keep(exchange, observed.key, answer, now.instant);
    return { kind: 'reply', reply: answer };
  }

  #askedOf(request: Request, view: View): Asked | Refusal {
    const [, ep = '', ...segments] = request.options.all(UriPath);
    const format = request.options.get(Accept);
    if (format !== undefined && !formats.has(format)) return refusal('not-acceptable', String(format));
    const query = request.options.all(UriQuery);
    if (query.length > 1 || query.some(parameter => !parameter.startsWith('d='))) return refusal('bad-query');
    const name = parseEndpointName(ep);
    const sector = query[0] === undefined ? undefined : parseSector(query[0].slice(2));
    const path = parsePath(`/${segments.join('/')}`);
    if (name === undefined || path === undefined || (query.length > 0 && sector === undefined)) {
      return refusal('no-values', ep);
    }
    const row = view.row(name, sector);
    return row === undefined ? refusal('no-values', ep) : { row, path, format };
  }

  #look({ row, path, format }: Asked, view: View): Result | Refusal {
    const record = view.device(row);
    if (record?.registration === undefined) return refusal('no-values', 'not registered');
    const values = view.values(row, path).sort((a, b) => comparePaths(a.path, b.path));
    // A resource without a value is not there; of what has resources below it, none is there yet.
    if (values.length === 0 && isValuePath(path)) return refusal('no-values', path);
    const wanted = format ?? defaultFormat(path, values);
    const dossier = this.#dossierOf({ ...record, registration: record.registration });
    const object = objectOf(path);
    const version = object === undefined ? undefined : dossier.versionOf(object);
    const entries = values.map(value => entryOf(value, wanted));
    const payload = encodeContent(wanted, path, entries, dossier.types, version);
    if (isContentFault(payload)) return refusal('not-acceptable', payload.detail ?? payload.reason);
    return { payload, format: wanted, etag: entityTag(payload, wanted), rows: new Set([row]), ends: undefined };
  }

  #observed(asked: Asked & { readonly format: number }): Observed {
    const { row, path, format } = asked;
    return {
      key: `values ${row} ${path} ${format}`,
      row,
      showsRecord: ({ record }) => record.registration === undefined,
      showsValue: changed => containsPath(path, changed),
      look: ({ view }) => {
        const found = this.#look(asked, view);
        if (view.restsOnPending) return 'later';
        return 'kind' in found ? answerTo(found, undefined) : found;
      },
    };
  }
}

interface Asked {
  readonly row: Row;
  readonly path: Path;
  /** `undefined`: as it fits. */
  readonly format: number | undefined;
}

/** A value by itself is a text, as LwM2M has it; several, or what they stand under, are SenML with their times. */
function defaultFormat(path: Path, values: readonly LastValue[]): number {
  const [only] = values;
  if (values.length !== 1 || only === undefined || only.path !== path) return ContentFormats.senmlJson;
  return isBytes(only.value) ? ContentFormats.octetStream : ContentFormats.text;
}

/** Where there is room for it with the time of its measurement, or else of its receipt: whoever reads it sees how old it is. */
function entryOf({ path, value, measured, received }: LastValue, format: number): Entry {
  return timed.has(format) ? { path, value, time: (measured ?? received) / 1000 } : { path, value };
}

function refused(why: Refusal): Outcome {
  return { kind: 'reply', reply: answerTo(why, undefined), refusal: why };
}

const timed: ReadonlySet<number> = new Set([ContentFormats.senmlJson, ContentFormats.senmlCbor]);
const formats: ReadonlySet<number> = new Set([
  ContentFormats.text,
  ContentFormats.octetStream,
  ContentFormats.cbor,
  ContentFormats.senmlJson,
  ContentFormats.senmlCbor,
  ContentFormats.lwm2mTlv,
  ContentFormats.lwm2mJson,
  ContentFormats.lwm2mCbor,
]);
