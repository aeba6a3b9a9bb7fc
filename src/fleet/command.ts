import type { Brand } from '../base/brand.ts';
import type { Bytes } from '../base/bytes.ts';
import { type Milliseconds, type WallTime, wallAfter } from '../base/time.ts';
import type { Row } from './names.ts';

/** The sequence number of the event that tells of its queueing: unique in a registry, and rising. */
export type CommandId = Brand<number, 'CommandId'>;

/** What an operator wants of a device, from the moment it is queued until its outcome is known. */
export interface Command {
  readonly id: CommandId;
  /** Raised by one with every write. */
  readonly version: number;
  readonly operation: Operation;
  /** From 0 to 9; the higher goes first, and among equals the older. */
  readonly priority: number;
  readonly queuedAt: WallTime;
  /** Not begun after this time, and given up if it has no outcome by then. */
  readonly deadline: WallTime;
  /** How many times more it may be sent. */
  readonly attempts: number;
  readonly state: CommandState;
  /** When it came to this state. */
  readonly since: WallTime;
  /** Why, if the state alone does not say it, e.g. `4.04` or `timeout`. */
  readonly reason: string | undefined;
  readonly answer: CommandAnswer | undefined;
}

/** A device management operation (LwM2M Core 1.2 §6.3), with its payload as it goes over the wire. */
export interface Operation {
  readonly kind: OperationKind;
  /** One path; composite operations have several. */
  readonly paths: readonly string[];
  /** Of Write-Attributes: `pmin=10`. */
  readonly query?: readonly string[] | undefined;
  readonly contentFormat?: number | undefined;
  readonly accept?: number | undefined;
  readonly payload?: Bytes | undefined;
}

export type OperationKind =
  | 'read'
  | 'write'
  | 'update'
  | 'execute'
  | 'create'
  | 'delete'
  | 'discover'
  | 'write-attributes'
  | 'read-composite'
  | 'write-composite';

export type CommandState = 'queued' | 'sent' | 'succeeded' | 'failed' | 'expired' | 'cancelled' | 'unknown-outcome';

export interface CommandAnswer {
  /** The CoAP response code. */
  readonly code: number;
  readonly contentFormat: number | undefined;
  readonly payload: Bytes;
}

/** A change of one command; a `command` of `undefined` forgets it. A conflict if its version is another one. */
export interface CommandChange {
  readonly row: Row;
  /** Of the registration: a conflict if that is over. */
  readonly generation: number;
  readonly id: CommandId;
  readonly expected: number;
  readonly command: Command | undefined;
}

/** What to do next, of commands in the order of their ids. */
export function nextCommand(commands: readonly Command[], wall: WallTime): Command | undefined {
  let next: Command | undefined;
  for (const command of commands) {
    if (command.state !== 'queued' || command.deadline <= wall) continue;
    if (next === undefined || command.priority > next.priority) next = command;
  }
  return next;
}

export function overdue(commands: readonly Command[], wall: WallTime): Command[] {
  return commands.filter(({ state, deadline }) => state === 'queued' && deadline <= wall);
}

/** About to leave: durable before the datagram does. */
export function sent(command: Command, wall: WallTime): Command {
  return { ...to(command, 'sent', wall), attempts: command.attempts - 1 };
}

export function answered(command: Command, answer: CommandAnswer, codeText: string, wall: WallTime): Command {
  const succeeded = answer.code >>> 5 === 2;
  return { ...to(command, succeeded ? 'succeeded' : 'failed', wall, codeText), answer };
}

/**
 * Sent, and no answer came. What may be done twice waits for its next attempt; of what may not nobody knows whether it
 * was done, and it is never sent again by itself.
 */
export function unanswered(command: Command, fault: string, wall: WallTime): Command {
  if (fault === 'reset') return to(command, 'failed', wall, fault);
  if (!isRepeatable(command.operation)) return to(command, 'unknown-outcome', wall, fault);
  if (command.deadline <= wall) return to(command, 'expired', wall, fault);
  return command.attempts > 0 ? to(command, 'queued', wall, fault) : to(command, 'failed', wall, fault);
}

/** It could not be sent after all: nothing has left. */
export function unsent(command: Command, why: 'busy' | 'disk', wall: WallTime): Command {
  return { ...to(command, 'queued', wall, why), attempts: command.attempts + 1 };
}

export function expired(command: Command, wall: WallTime): Command {
  return to(command, 'expired', wall);
}

/** `undefined` if it is too late for that. */
export function cancelled(command: Command, wall: WallTime): Command | undefined {
  return command.state === 'queued' ? to(command, 'cancelled', wall) : undefined;
}

export function isOver({ state }: Command): boolean {
  return state !== 'queued' && state !== 'sent';
}

/** Whether doing it twice is doing it once. A resource may count how often it is written, but Write replaces. */
export function isRepeatable({ kind }: Operation): boolean {
  return kind !== 'execute' && kind !== 'create' && kind !== 'update';
}

export function newCommand(
  id: CommandId,
  operation: Operation,
  wall: WallTime,
  { priority = 4, patience = defaultPatience, attempts = 3 }: CommandOptions = {},
): Command {
  return {
    id,
    version: 1,
    operation,
    priority,
    queuedAt: wall,
    deadline: wallAfter(wall, patience),
    attempts: isRepeatable(operation) ? attempts : 1,
    state: 'queued',
    since: wall,
    reason: undefined,
    answer: undefined,
  };
}

export interface CommandOptions {
  readonly priority?: number | undefined;
  /** How long it may take until its outcome is known. */
  readonly patience?: Milliseconds | undefined;
  /** How many times it may be sent at most. */
  readonly attempts?: number | undefined;
}

function to(command: Command, state: CommandState, since: WallTime, reason?: string): Command {
  return { ...command, version: command.version + 1, state, since, reason };
}

/** A day: a sleepy device speaks less often than an operator would like. */
const defaultPatience: Milliseconds = 86_400_000;
export const highestPriority = 9;
export const maxAttempts = 100;
/** How many commands that are over are kept for each device, the newest. */
export const keptCommands = 32;
