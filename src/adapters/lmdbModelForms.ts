import { Decoder, Encoder } from 'cbor-x';
import type { Bytes } from '../base/bytes.ts';
import type { Command, CommandId, Operation } from '../fleet/command.ts';
import type { Desired } from '../fleet/desired.ts';
import type { Observation } from '../fleet/observation.ts';
import type { LastValue } from '../fleet/value.ts';
import type { ValuePath } from '../lwm2m/path.ts';

/** The values of the sub-databases that belong to a device: lists by position, in CBOR. */

export function encodeObservation(o: Observation): Bytes {
  const { pmin, pmax, gt, lt, st } = o.attributes;
  return encoder.encode([
    o.version,
    o.paths,
    [pmin, pmax, gt, lt, st].map(attribute => attribute ?? null),
    sources.indexOf(o.source),
    states.indexOf(o.state),
    o.reason ?? null,
    o.peer ?? null,
    o.token ?? null,
    o.since,
  ]);
}

export function decodeObservation(id: number, bytes: Bytes): Observation {
  const [version, paths, attributes, source, state, reason, peer, token, since] = decoder.decode(
    bytes,
  ) as StoredObservation;
  const [pmin, pmax, gt, lt, st] = attributes.map(attribute => attribute ?? undefined);
  return {
    id,
    version,
    paths,
    attributes: { pmin, pmax, gt, lt, st },
    source: sources[source]!,
    state: states[state]!,
    reason: reason ?? undefined,
    peer: peer ?? undefined,
    token: token === null ? undefined : new Uint8Array(token),
    since,
  };
}

export function encodeCommand(c: Command): Bytes {
  const { kind, paths, query, contentFormat, accept, payload } = c.operation;
  return encoder.encode([
    c.version,
    [kinds.indexOf(kind), paths, query ?? null, contentFormat ?? null, accept ?? null, payload ?? null],
    c.priority,
    c.queuedAt,
    c.deadline,
    c.attempts,
    commandStates.indexOf(c.state),
    c.since,
    c.reason ?? null,
    c.answer === undefined ? null : [c.answer.code, c.answer.contentFormat ?? null, c.answer.payload],
  ]);
}

export function decodeCommand(id: CommandId, bytes: Bytes): Command {
  const [version, operation, priority, queuedAt, deadline, attempts, state, since, reason, answer] = decoder.decode(
    bytes,
  ) as StoredCommand;
  return {
    id,
    version,
    operation: decodeOperation(operation),
    priority,
    queuedAt,
    deadline,
    attempts,
    state: commandStates[state]!,
    since,
    reason: reason ?? undefined,
    answer: answer === null ? undefined : answerOf(answer),
  };
}

export function encodeValue({ value, received, measured, source, peer, sequence }: LastValue): Bytes {
  return encoder.encode([
    value,
    received,
    measured ?? null,
    valueSources.indexOf(source),
    peer ?? null,
    sequence ?? null,
  ]);
}

export function decodeValue(path: ValuePath, bytes: Bytes): LastValue {
  const [value, received, measured, source, peer, sequence] = decoder.decode(bytes) as StoredValue;
  return {
    path,
    value: value instanceof Uint8Array ? new Uint8Array(value) : value,
    received,
    measured: measured ?? undefined,
    source: valueSources[source]!,
    peer: peer ?? undefined,
    sequence: sequence ?? undefined,
  };
}

export function encodeDesired({ version, value, setAt, state, since, during, reason, tries, again }: Desired): Bytes {
  const registration = during === undefined ? null : [during.registeredAt, during.lastContact];
  const stateIndex = desiredStates.indexOf(state);
  return encoder.encode([version, value, setAt, stateIndex, since, reason ?? null, tries, again, registration]);
}

export function decodeDesired(path: ValuePath, bytes: Bytes): Desired {
  const [version, value, setAt, state, since, reason, tries, again, registration] = decoder.decode(
    bytes,
  ) as StoredDesired;
  return {
    path,
    version,
    value: value instanceof Uint8Array ? new Uint8Array(value) : value,
    setAt,
    state: desiredStates[state]!,
    since,
    during: registration ? { registeredAt: registration[0], lastContact: registration[1] } : undefined,
    reason: reason ?? undefined,
    tries,
    again,
  };
}

function decodeOperation([kind, paths, query, contentFormat, accept, payload]: StoredCommand[1]): Operation {
  return {
    kind: kinds[kind]!,
    paths,
    query: query ?? undefined,
    contentFormat: contentFormat ?? undefined,
    accept: accept ?? undefined,
    payload: payload === null ? undefined : new Uint8Array(payload),
  };
}

function answerOf([code, contentFormat, payload]: NonNullable<StoredCommand[9]>) {
  return { code, contentFormat: contentFormat ?? undefined, payload: new Uint8Array(payload) };
}

type StoredObservation = [
  version: number,
  paths: string[],
  attributes: (number | null)[],
  source: number,
  state: number,
  reason: string | null,
  peer: Observation['peer'] | null,
  token: Bytes | null,
  since: Observation['since'],
];

type StoredCommand = [
  version: number,
  operation: [
    kind: number,
    paths: string[],
    query: string[] | null,
    contentFormat: number | null,
    accept: number | null,
    payload: Bytes | null,
  ],
  priority: number,
  queuedAt: Command['queuedAt'],
  deadline: Command['deadline'],
  attempts: number,
  state: number,
  since: Command['since'],
  reason: string | null,
  answer: [code: number, contentFormat: number | null, payload: Bytes] | null,
];

type StoredValue = [
  value: LastValue['value'],
  received: LastValue['received'],
  measured: LastValue['received'] | null,
  source: number,
  peer: LastValue['peer'] | null,
  sequence: number | null,
];

type StoredDesired = [
  version: number,
  value: Desired['value'],
  setAt: Desired['setAt'],
  state: number,
  since: Desired['since'],
  reason: string | null,
  tries: number,
  again: number,
  /** Stores of before do not have it. */
  registration?: [registeredAt: Desired['setAt'], lastContact: Desired['setAt']] | null,
];

// Stored by position: append, never reorder.
const desiredStates = ['pending', 'delivered', 'refused'] as const;
const sources = ['profile', 'device', 'operator'] as const;
const states = ['wanted', 'active', 'refused', 'ending', 'split'] as const;
const kinds = [
  'read',
  'write',
  'update',
  'execute',
  'create',
  'delete',
  'discover',
  'write-attributes',
  'read-composite',
  'write-composite',
] as const;
const commandStates = ['queued', 'sent', 'succeeded', 'failed', 'expired', 'cancelled', 'unknown-outcome'] as const;
const valueSources = ['notification', 'read', 'send', 'write'] as const;
const encoder = new Encoder({ useRecords: false, tagUint8Array: false } as object);
const decoder = new Decoder({ useRecords: false });
