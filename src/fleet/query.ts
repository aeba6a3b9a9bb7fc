import { seconds, type WallTime } from '../base/time.ts';
import { DeviceAttributes, dayOf } from './attributes.ts';
import { type DeviceState, deviceState } from './deviceView.ts';
import type { FleetRules } from './registration.ts';
import type { Selection } from './store.ts';
import { stateTerm, type TermTest, term, testFor } from './terms.ts';

/**
 * The language in which devices are asked for, the same on the command line, over CoAP and in the store:
 *
 * ```
 * query     = condition *( "and" condition )
 * condition = field operator value
 * field     = 1*( letter / digit / "-" / "_" / "." )
 * operator  = "=" / "!=" / "<" / "<=" / ">" / ">="
 * value     = word / DQUOTE *( character / "\" character ) DQUOTE
 * ```
 *
 * A word ends at white space. A `*` at the end of a word stands for any rest. `docs/lookup.md` lists the fields.
 */
export function parseQuery(text: string): readonly Condition[] | QueryFault {
  const conditions: Condition[] = [];
  let at = skipSpace(text, 0);
  if (at === text.length) return { position: 0, message: 'expected a condition, for example object=3303' };
  for (;;) {
    const parsed = parseCondition(text, at);
    if ('message' in parsed) return parsed;
    conditions.push(parsed.condition);
    if (conditions.length > maxConditions) return { position: at, message: `more than ${maxConditions} conditions` };
    at = skipSpace(text, parsed.end);
    if (at === text.length) return conditions;
    if (!/^and(\s|$)/i.test(text.slice(at))) return { position: at, message: 'expected "and", or the end' };
    at = skipSpace(text, at + 3);
  }
}

export interface Condition {
  readonly field: string;
  readonly operator: Operator;
  readonly value: string;
  /** The value is the beginning of what is meant. */
  readonly prefix: boolean;
}

export type Operator = '=' | '!=' | '<' | '<=' | '>' | '>=';

/** `position` counts characters from 0. */
export interface QueryFault {
  readonly position: number;
  readonly message: string;
}

export function isQueryFault(value: object): value is QueryFault {
  return 'position' in value;
}

/** One condition, ready to be asked: what the index can say to it, and the last word, which has the record. */
export interface Test {
  /** Terms of which every device that passes has one; `undefined` if the index knows nothing of it. */
  readonly terms: TermTest | undefined;
  passes(device: DeviceAttributes): boolean;
}

/** What a question rests on besides the record: what is a lapsed registration, and what is an hour ago. */
export interface Asked {
  readonly now: WallTime;
  readonly rules: FleetRules;
}

export function compile(conditions: readonly Condition[], asked: Asked): Test[] {
  return conditions.map(condition => (fields[condition.field] ?? attribute)(condition, asked));
}

/** The devices for which all conditions hold. */
export function selectionOf(conditions: readonly Condition[], asked: Asked): Selection {
  const tests = compile(conditions, asked);
  return {
    terms: tests.flatMap(({ terms }) => (terms === undefined ? [] : [terms])),
    questions: tests.length,
    accepts: record => {
      const device = new DeviceAttributes(record);
      return tests.every(test => test.passes(device));
    },
  };
}

/** A device has the attribute, or one of its links has it: what RFC 9176 §6.2 calls to match a search criterion. */
export function attributeTest(name: string, value: string, prefix: boolean): Test {
  return {
    terms: testFor(name, value, prefix),
    passes: device => {
      for (const [candidate, found] of device.all()) {
        if (candidate === name && matchesValue(found, value, prefix)) return true;
      }
      return false;
    },
  };
}

export function matchesValue(found: string, value: string, prefix: boolean): boolean {
  return prefix ? found.startsWith(value) : found === value;
}

type Field = (condition: Condition, asked: Asked) => Test;

function attribute({ field, operator, value, prefix }: Condition): Test {
  const name = aliases[field] ?? field;
  const test = attributeTest(name, value, prefix);
  return operator === '!=' ? { terms: undefined, passes: device => !test.passes(device) } : test;
}

function state({ operator, value }: Condition, { now, rules }: Asked): Test {
  return {
    terms: operator === '!=' ? undefined : { any: [stateTerm(value !== 'none')] },
    passes: ({ record }) => (deviceState(record, rules, now) === value) === (operator === '='),
  };
}

function address({ operator, value, prefix }: Condition): Test {
  return {
    terms: undefined,
    passes: ({ record: { registration } }) =>
      registration !== undefined && matchesValue(registration.address, value, prefix) === (operator === '='),
  };
}

function lifetime({ operator, value }: Condition): Test {
  const wanted = parseDuration(value)!;
  return {
    terms: undefined,
    // An infinite lifetime is longer than any.
    passes: ({ record: { registration: r } }) =>
      r !== undefined && compare(r.lifetime === 0 ? Number.POSITIVE_INFINITY : r.lifetime, operator, wanted),
  };
}

/** How long ago a device was heard. The index knows the day only, so that most updates leave it as it is. */
function lastContact({ operator, value }: Condition, { now }: Asked): Test {
  const age = parseDuration(value)!;
  const boundary = now - seconds(age);
  const recent = operator === '<' || operator === '<=';
  return {
    terms: recent
      ? { from: term('day', dayOf(boundary)), until: 'day=~' }
      : { from: 'day=', until: `${term('day', dayOf(boundary))}~` },
    passes: ({ record: { registration } }) =>
      registration !== undefined && compare((now - registration.lastContact) / 1000, operator, age),
  };
}

function compare(left: number, operator: Operator, right: number): boolean {
  switch (operator) {
    case '<':
      return left < right;
    case '<=':
      return left <= right;
    case '>':
      return left > right;
    case '>=':
      return left >= right;
    case '=':
      return left === right;
    case '!=':
      return left !== right;
  }
}

/** In seconds: `90s`, `15m`, `24h`, `7d`, `2w`; a bare number counts seconds. */
function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,10})([smhdw]?)$/.exec(text);
  return match === null ? undefined : Number(match[1]) * unitSeconds[match[2]!]!;
}

function parseCondition(text: string, start: number): { condition: Condition; end: number } | QueryFault {
  const field = /^[\w.-]+/.exec(text.slice(start))?.[0];
  if (field === undefined) return { position: start, message: 'expected a field' };
  let at = skipSpace(text, start + field.length);
  const operator = /^(!=|<=|>=|=|<|>)/.exec(text.slice(at))?.[0] as Operator | undefined;
  if (operator === undefined) return { position: at, message: `expected =, !=, <, <=, > or >= after ${field}` };
  at = skipSpace(text, at + operator.length);
  const read = text[at] === '"' ? readQuoted(text, at) : readWord(text, at);
  if (read === undefined) return { position: at, message: `expected a value for ${field}` };
  const condition = { field, operator, value: read.value, prefix: read.prefix };
  const message = wrong(condition);
  return message === undefined ? { condition, end: read.end } : { position: start, message };
}

/** Why a condition means nothing; `undefined` if it means something. */
function wrong({ field, operator, value, prefix }: Condition): string | undefined {
  if (field === 'state') {
    if (operator !== '=' && operator !== '!=') return 'state can be compared with = and != only';
    return states.has(value) && !prefix ? undefined : `state is one of ${[...states].join(', ')}`;
  }
  if (field === 'lastContact' && (operator === '=' || operator === '!=')) {
    return 'lastContact is compared with <, <=, > and >=: lastContact<1h';
  }
  if (field === 'lastContact' || field === 'lifetime') {
    return parseDuration(value) === undefined || prefix
      ? `${field} is compared with a time: 90s, 15m, 24h, 7d`
      : undefined;
  }
  return operator === '=' || operator === '!=' ? undefined : `${field} can be compared with = and != only`;
}

function readWord(text: string, at: number): ReadValue | undefined {
  const word = /^[^\s"]+/.exec(text.slice(at))?.[0];
  if (word === undefined) return undefined;
  const prefix = word.endsWith('*');
  return { value: prefix ? word.slice(0, -1) : word, prefix, end: at + word.length };
}

/** In quotes nothing stands for anything else. */
function readQuoted(text: string, start: number): ReadValue | undefined {
  let value = '';
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '"') return { value, prefix: false, end: at + 1 };
    if (text[at] === '\\') at++;
    value += text[at] ?? '';
  }
  return undefined;
}

interface ReadValue {
  readonly value: string;
  readonly prefix: boolean;
  readonly end: number;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && /\s/.test(text[at]!)) at++;
  return at;
}

/** Fields that are more than an attribute; every other one is looked for among the attributes. */
const fields: Readonly<Record<string, Field>> = Object.assign(Object.create(null), {
  state,
  address,
  lifetime,
  lastContact,
});
const aliases: Readonly<Record<string, string>> = Object.assign(Object.create(null), { endpoint: 'ep', sector: 'd' });
const states: ReadonlySet<string> = new Set<DeviceState>(['registered', 'lapsed', 'none']);
const unitSeconds: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
const maxConditions = 16;
