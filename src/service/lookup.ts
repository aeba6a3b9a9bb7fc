import { sameBytes } from '../base/bytes.ts';
import { FifoMap } from '../base/fifoMap.ts';
import { after, type Instant, type Milliseconds, type Now, seconds, type WallTime } from '../base/time.ts';
import { ContentFormats } from '../coap/codec/contentFormat.ts';
import type { WrittenLink } from '../coap/codec/linkFormat.ts';
import type { Request } from '../coap/codec/message.ts';
import { Accept, UriQuery } from '../coap/codec/option.ts';
import { retryAfterSeconds } from '../coap/settings.ts';
import type { DeviceRecord, Registration } from '../fleet/device.ts';
import { deviceState } from '../fleet/deviceView.ts';
import type { Row } from '../fleet/names.ts';
import type { FleetRules } from '../fleet/registration.ts';
import type { Selection, Store } from '../fleet/store.ts';
import { isRefusal, type Refusal, refusal } from '../lwm2m/refusal.ts';
import { answerTo, unavailable } from './answer.ts';
import { linkOf } from './base.ts';
import type { KeptAnswers } from './keptAnswers.ts';
import { linkFormats } from './linkDocument.ts';
import { knownOf, type Lookup, replyOf, resultOf } from './lookupResult.ts';
import { type Observed, type Observers, observeOf } from './observers.ts';
import type { Outcome, RequestContext } from './outcome.ts';
import { type LookupKind, parseSearch, type Search, SearchView } from './search.ts';

/**
 * `GET /rd-lookup/ep` and `GET /rd-lookup/res` (RFC 9176 §6): what is registered, by its attributes; and in the same way
 * `GET /device`, the devices whose last values can be read here. Reads what is durable
 * and changes nothing. A result is at most `count` links; one that needs a long search is found in several turns.
 */
export class LookupInterface {
  readonly #options: LookupOptions;
  readonly #rules: FleetRules;
  readonly #observers: Observers;
  /** Where the pages of a search begin, so that going through them does not begin anew with each. */
  readonly #pages = new FifoMap<string, PageStart>();
  readonly #answers: KeptAnswers;

  constructor(options: LookupOptions, rules: FleetRules, observers: Observers, answers: KeptAnswers) {
    this.#options = options;
    this.#rules = rules;
    this.#observers = observers;
    this.#answers = answers;
  }

  get(kind: LookupKind, request: Request, context: RequestContext): Outcome {
    const { principal, exchange, addressProved, now } = context;
    if (kind === 'device' && principal.kind !== 'operator') return refused(refusal('values-need-operator'));
    if (principal.kind === 'anonymous' && !this.#options.insecureCoap) return refused(refusal('lookup-needs-dtls'));
    const format = request.options.get(Accept) ?? ContentFormats.linkFormat;
    if (!linkFormats.includes(format)) return refused(refusal('not-acceptable', String(format)));
    const search = parseSearch(kind, request.options.all(UriQuery));
    if (isRefusal(search)) return refused(search);

    const observe = observeOf(request, exchange);
    // Nobody is sent notifications who may not have asked for them.
    if (observe === 0 && !addressProved) return refused(refusal('address-not-proved'));
    // Whoever asks anew and is not told that he observes does not observe.
    if (observe !== undefined) this.#observers.end(exchange);
    if ((exchange.block2?.number ?? 0) > 0) {
      const kept = this.#answers.get(context.peer, answerKey(search, format), now.instant);
      if (kept !== undefined) return { kind: 'reply', reply: kept };
    }
    const only = principal.kind === 'psk' && !this.#options.openLookup ? principal.row : undefined;
    const lookup: Lookup = { search, format, only, address: context.address, etags: knownOf(request, exchange) };
    return this.#goOn(lookup, this.#startOf(lookup, now), observe === 0)(context);
  }

  /** A lookup, for whoever observes it. What comes to take longer than a few turns to find is put off with 5.03, and observed no more. */
  #observed(lookup: Lookup): Observed {
    return {
      key: answerKey(lookup.search, lookup.format),
      row: lookup.only,
      showsRecord: ({ record, before }, rows, wall, mayLook) => {
        const shown = rows.has(record.row);
        // Its lifetime goes on, and nothing that is shown of it has changed; nor what it is found by.
        const isSame = showsTheSame(before?.registration, record.registration);
        if (isSame && (shown || this.#isFoundAsBefore(lookup, before, record, wall))) return false;
        return shown || !mayLook(effortOf(lookup, record)) || this.#viewOf(lookup, wall).accepts(record);
      },
      showsValue: () => false,
      look: ({ now, find }) => {
        const progress = this.#startOf(lookup, now);
        const view = this.#viewOf(lookup, now.wall);
        for (let turn = 0; turn < observableTurns; turn++) {
          if (!step(view, lookup, progress, find)) continue;
          return resultOf(progress.links, lookup.format, progress.rows, progress.ends);
        }
        return unavailable(retryAfterSeconds);
      },
    };
  }

  /** Of records that show the same. In most updates it is so, and then nothing has to be decoded for each observer. */
  #isFoundAsBefore(
    { search }: Lookup,
    before: DeviceRecord | undefined,
    { registration }: DeviceRecord,
    wall: WallTime,
  ): boolean {
    const then = before?.registration;
    if (search.where !== undefined || then === undefined || registration === undefined) return false;
    return (
      deviceState(before!, this.#rules, wall) === 'registered' &&
      then.dialect === registration.dialect &&
      then.version?.[0] === registration.version?.[0] &&
      then.version?.[1] === registration.version?.[1] &&
      sameBytes(then.allocation, registration.allocation)
    );
  }

  #goOn(lookup: Lookup, progress: Progress, observes: boolean): (turn: RequestContext) => Outcome {
    return turn => {
      const { format } = lookup;
      const { now, exchange, find, principal } = turn;
      if (!step(this.#viewOf(lookup, now.wall), lookup, progress, find)) {
        if (++progress.turns > maxTurns) return refused(refusal('search-too-wide'));
        return { kind: 'unfinished', goOn: this.#goOn(lookup, progress, observes) };
      }
      this.#notePages(lookup, progress, now);
      const result = resultOf(progress.links, format, progress.rows, progress.ends);
      const observed = this.#observed({ ...lookup, etags: [] });
      const observer = { exchange, isOperator: principal.kind === 'operator' };
      const sequence =
        observes && progress.turns < observableTurns
          ? this.#observers.begin(observer, observed, result, now)
          : undefined;
      const answer = replyOf(result, lookup.etags, sequence);
      this.#answers.keep(exchange, observed.key, answer, now.instant);
      return { kind: 'reply', reply: answer };
    };
  }

  #viewOf({ search, address, only }: Lookup, now: WallTime): SearchView {
    return new SearchView(search, { now, rules: this.#rules, address, only });
  }

  /** Who sees only himself has no pages in common with others. */
  #startOf({ search, only, address }: Lookup, now: Now): Progress {
    const isFirst = search.page === 0 || only !== undefined;
    const known = isFirst ? undefined : this.#pages.get(seenFrom(address, search, search.page));
    const start = known !== undefined && now.instant < known.until ? known : firstPage(search);
    return {
      from: start.from,
      skip: start.skip,
      links: [],
      rows: new Set(),
      ends: undefined,
      next: undefined,
      turns: 0,
    };
  }

  #notePages({ search, only, address }: Lookup, { next }: Progress, now: Now): void {
    if (next === undefined || only !== undefined) return;
    if (this.#pages.size >= maxPages) this.#pages.delete(this.#pages.oldestKey()!);
    this.#pages.set(seenFrom(address, search, search.page + 1), { ...next, until: after(now.instant, pageLifetime) });
  }
}

/** Who may look up: operators always may, and see the whole fleet. */
export interface LookupOptions {
  /** Whether anybody may on plain CoAP, all of it. */
  readonly insecureCoap: boolean;
  /** Whether a device's credential may look up the others too. */
  readonly openLookup: boolean;
}

interface PageStart {
  readonly from: Row;
  /** How many links, of `from` and those after it, belong to earlier pages. */
  readonly skip: number;
  readonly until: Instant;
}

interface Progress {
  from: Row;
  skip: number;
  readonly links: WrittenLink[];
  readonly rows: Set<Row>;
  ends: WallTime | undefined;
  next: { from: Row; skip: number } | undefined;
  turns: number;
}

/** Goes on with a search for a turn; whether it is done. */
function step(view: SearchView, { search, only }: Lookup, progress: Progress, find: Store['find']): boolean {
  const { count, kind } = search;
  const missing = progress.skip + count - progress.links.length;
  const look = only === undefined ? find : findOnly(only, find);
  const { records, next } = look(view, progress.from, kind === 'res' ? recordsForLinks : Math.min(missing, maxRecords));
  for (const record of records) {
    const links = view.linksOf(record);
    const wanted = links.slice(progress.skip, progress.skip + count - progress.links.length);
    const used = Math.min(links.length, progress.skip + wanted.length);
    progress.skip -= Math.min(progress.skip, links.length);
    if (wanted.length > 0) {
      progress.links.push(...wanted);
      progress.rows.add(record.row);
      const end = view.endOf(record);
      if (end !== undefined && (progress.ends === undefined || end < progress.ends)) progress.ends = end;
    }
    if (progress.links.length === count) {
      progress.next = { from: record.row, skip: used };
      return true;
    }
  }
  if (next === undefined) return true;
  progress.from = next;
  return false;
}

/** A search among one device: whatever else there is takes no part in it, not even in how long it takes. */
function findOnly(row: Row, find: Store['find']): Store['find'] {
  const itself: Selection = { terms: [], questions: 1, accepts: record => record.row === row };
  return (selection, from) => {
    if (from > row) return { records: [], next: undefined };
    const { records } = find(itself, row, 1);
    return { records: records.filter(record => selection.accepts(record)), next: undefined };
  };
}

/**
 * Of one look: the question is made ready, and what the device said of itself is decoded and gone through for each of its
 * conditions, which are eight characters long at least.
 */
function effortOf({ search: { criteria, where } }: Lookup, { registration }: DeviceRecord): Milliseconds {
  const asked = criteria.length + (where?.length ?? 0) / 8;
  return 0.02 + ((registration?.description.length ?? 0) * (1 + 2 * asked)) / 64_000;
}

function firstPage({ page, count }: Search): PageStart {
  return { from: 1 as Row, skip: page * count, until: 0 as Instant };
}

function pageKey({ kind, criteria, where, count }: Search, page: number): string {
  return JSON.stringify([kind, criteria, where, count, page]);
}

/** Pages of those who see the same: on a link there are devices that nobody sees from elsewhere. */
function seenFrom(address: string, search: Search, page: number): string {
  return `${linkOf(address)} ${pageKey(search, page)}`;
}

function answerKey(search: Search, format: number): string {
  return `${format} ${pageKey(search, search.page)}`;
}

/** Of what lookups show, nothing has changed. */
function showsTheSame(before: Registration | undefined, after: Registration | undefined): boolean {
  if (before === undefined || after === undefined) return before === after;
  return (
    before.address === after.address &&
    before.port === after.port &&
    before.transport === after.transport &&
    sameBytes(before.description, after.description)
  );
}

function refused(why: Refusal): Outcome {
  return { kind: 'reply', reply: answerTo(why, 'rd'), refusal: why };
}

const maxRecords = 100;
/** A device has several links, mostly: a few devices at a time fill a page. */
const recordsForLinks = 16;
/** A few seconds of the server's time, in small pieces. */
const maxTurns = 3000;
/** A page of fifty devices that say much of themselves, each time that it has changed. */
const observableTurns = 3;
export const maxPages = 1024;
const pageLifetime = seconds(60);
