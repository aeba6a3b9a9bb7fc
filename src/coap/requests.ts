import { type Bytes, concatBytes, noBytes, toHex } from '../base/bytes.ts';
import { Deadlines } from '../base/deadlines.ts';
import type { Peer } from '../base/peer.ts';
import { after, type Instant, type Milliseconds, seconds } from '../base/time.ts';
import { blockOf } from './blockwise.ts';
import { type Block, type BlockSize, encodeBlock } from './codec/block.ts';
import { isResponseCode, Method, ResponseCode } from './codec/code.ts';
import type { Request, Response } from './codec/message.ts';
import { Block1, Block2, isCritical, knownOption, Observe, Size1 } from './codec/option.ts';
import type { RequestDraft, RequestFault, RequestHandle } from './exchange.ts';

/** A request of ours, from the moment it may be sent until its answer is whole, or its observation ends. */
export interface PendingRequest {
  readonly handle: RequestHandle;
  readonly peer: Peer;
  readonly draft: RequestDraft;
  readonly token: Bytes;
  /** The message that carried the newest block of it. */
  messageId: number;
  /** The part of our body that is on its way. */
  block1: Block | undefined;
  /** What arrived of the answer's body. */
  received: Bytes[];
  receivedLength: number;
  /** The newest notification (RFC 7641 §3.4); `undefined` before the first. */
  newest: { sequence: number; at: Instant } | undefined;
  /** Whether NSTART counts it: until its answer came. */
  outstanding: boolean;
}

/** What an answer leads to. */
export type Step =
  | { readonly kind: 'send' }
  | { readonly kind: 'done'; readonly response: Response; readonly lasts: boolean }
  | { readonly kind: 'failed'; readonly fault: RequestFault }
  /** An old notification: acknowledged and not handed on. */
  | { readonly kind: 'stale' };

/**
 * Our own requests by handle and by token, one outstanding for each peer (NSTART), the others waiting in line
 * (RFC 7252 §4.7). It decides; the endpoint sends.
 */
export class Requests {
  readonly #limits: RequestLimits;
  readonly #byHandle = new Map<RequestHandle, PendingRequest>();
  readonly #byToken = new Map<string, PendingRequest>();
  readonly #byPeer = new Map<Peer, { active: number; queue: PendingRequest[]; all: Set<PendingRequest> }>();
  /** When to stop waiting for an answer that is owed, acknowledged or not. */
  readonly #deadlines = new Deadlines<RequestHandle>();
  #nextHandle = 1;

  constructor(limits: RequestLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#byHandle.size;
  }

  /** `undefined` if there is no room; otherwise the request, to be sent at once unless it has to wait in line. */
  add(peer: Peer, draft: RequestDraft, token: Bytes): { request: PendingRequest; sendNow: boolean } | undefined {
    if (this.#byHandle.size >= this.#limits.maxRequests) return undefined;
    const line = this.#byPeer.get(peer) ?? { active: 0, queue: [], all: new Set() };
    if (line.queue.length >= this.#limits.maxQueuedForPeer) return undefined;
    const handle = this.#nextHandle++ as RequestHandle;
    const block1: Block | undefined =
      draft.payload.length > this.#limits.blockSize
        ? { number: 0, more: true, size: this.#limits.blockSize }
        : undefined;
    const request: PendingRequest = {
      handle,
      peer,
      draft,
      token,
      messageId: -1,
      block1,
      received: [],
      receivedLength: 0,
      newest: undefined,
      outstanding: false,
    };
    this.#byHandle.set(handle, request);
    this.#byToken.set(tokenKey(peer, token), request);
    this.#byPeer.set(peer, line);
    line.all.add(request);
    const sendNow = line.active < this.#limits.nstart;
    if (sendNow) {
      line.active++;
      request.outstanding = true;
    } else {
      line.queue.push(request);
    }
    return { request, sendNow };
  }

  get(handle: RequestHandle): PendingRequest | undefined {
    return this.#byHandle.get(handle);
  }

  find(peer: Peer, token: Bytes): PendingRequest | undefined {
    return this.#byToken.get(tokenKey(peer, token));
  }

  /** The answer is owed until then. */
  waitFor(now: Instant, request: PendingRequest, patience: Milliseconds): void {
    this.#deadlines.set(request.handle, after(now, patience));
  }

  /** The message to send for where the request stands. */
  messageFor(request: PendingRequest, messageId: number): Request {
    request.messageId = messageId;
    const { draft, block1 } = request;
    let { options } = draft;
    let { payload } = draft;
    if (draft.observe === true && request.receivedLength === 0) options = options.with(Observe, 0);
    if (block1 !== undefined) {
      const start = block1.number * block1.size;
      options = options.with(Block1, encodeBlock(block1));
      if (block1.number === 0) options = options.with(Size1, payload.length);
      payload = payload.subarray(start, start + block1.size);
    }
    if (request.receivedLength > 0) {
      const number = request.receivedLength / this.#limits.blockSize;
      options = options.with(Block2, encodeBlock({ number, more: false, size: this.#limits.blockSize }));
      payload = noBytes;
    } else if (this.#limits.blockSize < 1024 && block1 === undefined && isFetching(draft.code)) {
      options = options.with(Block2, encodeBlock({ number: 0, more: false, size: this.#limits.blockSize }));
    }
    const type = draft.nonConfirmable === true ? 'NON' : 'CON';
    return { kind: 'request', type, messageId, token: request.token, code: draft.code, options, payload };
  }

  /** What a response to this request means. Payload and options are still views into the datagram. */
  answered(now: Instant, request: PendingRequest, response: Response): Step {
    for (const { number } of response.options.list) {
      if (isCritical(number) && knownOption(number) === undefined) return { kind: 'failed', fault: 'bad-response' };
    }
    if (!isResponseCode(response.code)) return { kind: 'failed', fault: 'bad-response' };
    const sequence = response.options.get(Observe);
    if (request.newest !== undefined && sequence !== undefined && !isFresher(now, sequence, request.newest)) {
      return { kind: 'stale' };
    }

    if (request.block1?.more === true) {
      const next = nextBlock1(request, response);
      if (next === 'invalid') return { kind: 'failed', fault: 'bad-response' };
      if (next !== undefined) {
        request.block1 = next;
        return { kind: 'send' };
      }
    }

    const block2 = blockOf(response.options, Block2);
    if (block2 === 'invalid') return { kind: 'failed', fault: 'bad-response' };
    let whole = response;
    if (block2 !== undefined && (block2.more || block2.number > 0)) {
      if (block2.number * block2.size !== request.receivedLength) return { kind: 'failed', fault: 'bad-response' };
      if (block2.more && response.payload.length !== block2.size) return { kind: 'failed', fault: 'bad-response' };
      request.receivedLength += response.payload.length;
      if (request.receivedLength > this.#limits.maxBody) return { kind: 'failed', fault: 'too-large' };
      request.received.push(response.payload.slice());
      if (block2.more) {
        // The next block is asked for in our size: a peer that sends larger ones would not line up with it.
        if (request.receivedLength % this.#limits.blockSize !== 0) return { kind: 'failed', fault: 'bad-response' };
        return { kind: 'send' };
      }
      whole = { ...response, payload: concatBytes(...request.received) };
      request.received = [];
      request.receivedLength = 0;
    }
    const lasts = request.draft.observe === true && sequence !== undefined && response.code >>> 5 === 2;
    if (lasts) request.newest = { sequence, at: now };
    return { kind: 'done', response: whole, lasts };
  }

  /** The answer is here: the next in line may be sent. The request itself stays if it is an observation. */
  release(request: PendingRequest): PendingRequest | undefined {
    this.#deadlines.clear(request.handle);
    if (!request.outstanding) return undefined;
    request.outstanding = false;
    const line = this.#byPeer.get(request.peer);
    if (line === undefined) return undefined;
    const next = line.queue.shift();
    if (next === undefined) {
      line.active--;
      return undefined;
    }
    next.outstanding = true;
    return next;
  }

  remove(request: PendingRequest): void {
    this.#deadlines.clear(request.handle);
    this.#byHandle.delete(request.handle);
    this.#byToken.delete(tokenKey(request.peer, request.token));
    const line = this.#byPeer.get(request.peer);
    if (line === undefined) return;
    line.all.delete(request);
    const queued = line.queue.indexOf(request);
    if (queued >= 0) line.queue.splice(queued, 1);
    if (line.all.size === 0) this.#byPeer.delete(request.peer);
  }

  of(peer: Peer): readonly PendingRequest[] {
    return [...(this.#byPeer.get(peer)?.all ?? [])];
  }

  takeDue(now: Instant): PendingRequest | undefined {
    const handle = this.#deadlines.takeDue(now);
    return handle === undefined ? undefined : this.#byHandle.get(handle);
  }

  nextExpiry(): Instant | undefined {
    return this.#deadlines.next();
  }
}

export interface RequestLimits {
  readonly nstart: number;
  readonly maxRequests: number;
  readonly maxQueuedForPeer: number;
  readonly maxBody: number;
  readonly blockSize: BlockSize;
}

function isFetching(code: number): boolean {
  return code === Method.GET || code === Method.FETCH;
}

/** The block to send after 2.31, or after 4.13 with a smaller size; `undefined` if the exchange ends here. */
function nextBlock1(request: PendingRequest, response: Response): Block | 'invalid' | undefined {
  const sent = request.block1!;
  const answered = blockOf(response.options, Block1);
  if (answered === 'invalid') return 'invalid';
  if (response.code === ResponseCode.RequestEntityTooLarge && answered !== undefined && answered.size < sent.size) {
    return sent.number === 0 ? { number: 0, more: true, size: answered.size } : undefined;
  }
  if (response.code !== ResponseCode.Continue) return undefined;
  if (answered === undefined || answered.number !== sent.number) return 'invalid';
  const size = Math.min(answered.size, sent.size) as BlockSize;
  const done = (sent.number + 1) * sent.size;
  return { number: done / size, more: done + size < request.draft.payload.length, size };
}

/** Whether a notification is newer than the newest one so far (RFC 7641 §3.4). */
function isFresher(now: Instant, sequence: number, newest: { sequence: number; at: Instant }): boolean {
  const half = 2 ** 23;
  const ahead = sequence - newest.sequence;
  return (ahead > 0 && ahead < half) || ahead < -half || now > newest.at + seconds(128);
}

function tokenKey(peer: Peer, token: Bytes): string {
  return `${peer}/${toHex(token)}`;
}
