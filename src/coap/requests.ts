import { type Bytes, concatBytes, noBytes, sameBytes, toHex } from '../base/bytes.ts';
import { Deadlines } from '../base/deadlines.ts';
import type { Peer } from '../base/peer.ts';
import { after, type Instant, type Milliseconds } from '../base/time.ts';
import { blockOf } from './blockwise.ts';
import { type Block, type BlockSize, encodeBlock } from './codec/block.ts';
import { isFetching, isResponseCode, Method, ResponseCode } from './codec/code.ts';
import type { Request, Response } from './codec/message.ts';
import { Block1, Block2, ETag, isCritical, knownOption, Observe, Size1 } from './codec/option.ts';
import type { RequestDraft, RequestFault, RequestHandle } from './exchange.ts';
import { isFresher } from './freshness.ts';

/** A request of ours, from the moment it may be sent until its answer is whole, or its observation ends. */
export interface PendingRequest {
  readonly handle: RequestHandle;
  readonly peer: Peer;
  readonly draft: RequestDraft;
  /** Of the request, and of all notifications if it observes. */
  readonly token: Bytes;
  /** The rest of a notification's body is asked for under a token of its own (RFC 7959 §3.4). */
  blockToken: Bytes | undefined;
  /** The message that carried the newest block of it; `undefined` while it waits in line. */
  messageId: number | undefined;
  /** Of our blocks, and of those that we ask for; the peer may want smaller ones. */
  blockSize: BlockSize;
  /** The part of our body that is on its way. */
  block1: Block | undefined;
  /** What arrived of the answer's body. */
  received: Bytes[];
  receivedLength: number;
  /** Of the answer whose blocks they are: those of another one do not fit (RFC 7959 §2.4). */
  etag: Bytes | undefined;
  /** The newest notification (RFC 7641 §3.4); `undefined` before the first. */
  newest: { sequence: number; at: Instant } | undefined;
  /** Whether the observation is being given up with Observe 1. */
  leaving: boolean;
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
  readonly #newToken: (peer: Peer) => Bytes;
  readonly #blockSizeOf: (peer: Peer) => BlockSize;
  readonly #byHandle = new Map<RequestHandle, PendingRequest>();
  readonly #byToken = new Map<string, PendingRequest>();
  readonly #byPeer = new Map<Peer, Line>();
  /** When to stop waiting for an answer that is owed, acknowledged or not. */
  readonly #deadlines = new Deadlines<RequestHandle>();
  #nextHandle = 1;

  constructor(limits: RequestLimits, newToken: (peer: Peer) => Bytes, blockSizeOf: (peer: Peer) => BlockSize) {
    this.#limits = limits;
    this.#blockSizeOf = blockSizeOf;
    this.#newToken = newToken;
  }

  get size(): number {
    return this.#byHandle.size;
  }

  /** `undefined` if there is no room. `claim` says whether it may be sent at once. */
  add(peer: Peer, draft: RequestDraft): PendingRequest | undefined {
    if (this.#byHandle.size >= this.#limits.maxRequests) return undefined;
    const line = this.#byPeer.get(peer) ?? { active: 0, queue: [], all: new Set() };
    if (line.queue.length >= this.#limits.maxQueuedForPeer) return undefined;
    const blockSize = this.#blockSizeOf(peer);
    const request: PendingRequest = {
      handle: this.#nextHandle++ as RequestHandle,
      peer,
      // It may wait for long: what it was written into is not kept with it.
      draft: draft.payload.length === 0 ? draft : { ...draft, payload: draft.payload.slice() },
      token: draft.standing?.token ?? draft.token ?? this.#newToken(peer),
      blockToken: undefined,
      messageId: undefined,
      blockSize,
      block1: firstBlock(draft, blockSize),
      received: [],
      receivedLength: 0,
      etag: undefined,
      newest: undefined,
      leaving: false,
      outstanding: false,
    };
    this.#byHandle.set(request.handle, request);
    this.#byToken.set(tokenKey(peer, request.token), request);
    this.#byPeer.set(peer, line);
    line.all.add(request);
    return request;
  }

  /** Whether it may be sent now; if not it waits in line, and `release` names it when its turn has come. */
  claim(request: PendingRequest): boolean {
    if (request.outstanding) return true;
    const line = this.#byPeer.get(request.peer)!;
    if (line.active >= this.#limits.nstart) {
      if (!line.queue.includes(request)) line.queue.push(request);
      return false;
    }
    line.active++;
    request.outstanding = true;
    return true;
  }

  /** The observation is to end: what is sent next says so, with Observe 1 and the same token (RFC 7641 §3.6). */
  leave(request: PendingRequest): void {
    request.leaving = true;
    request.block1 = firstBlock(request.draft, request.blockSize);
    this.#restart(request);
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
    const { draft, block1, blockSize } = request;
    let { options } = draft;
    let { payload } = draft;
    let { token } = request;
    if (draft.observe === true && request.receivedLength === 0) {
      options = options.with(Observe, request.leaving ? 1 : 0);
    }
    if (request.receivedLength > 0) {
      const number = request.receivedLength / blockSize;
      options = options.with(Block2, encodeBlock({ number, more: false, size: blockSize }));
      // Without Block1 (RFC 7959 §2.7). What a FETCH asks for is part of it, as options are of a GET (RFC 8132 §2).
      if (draft.code !== Method.FETCH || block1 !== undefined) payload = noBytes;
      if (draft.observe === true) token = this.#blockToken(request);
    } else if (block1 !== undefined) {
      const start = block1.number * block1.size;
      options = options.with(Block1, encodeBlock(block1));
      if (block1.number === 0) options = options.with(Size1, payload.length);
      payload = payload.subarray(start, start + block1.size);
    } else if (blockSize < 1024 && isFetching(draft.code)) {
      options = options.with(Block2, encodeBlock({ number: 0, more: false, size: blockSize }));
    }
    const type = draft.nonConfirmable === true ? 'NON' : 'CON';
    return { kind: 'request', type, messageId, token, code: draft.code, options, payload };
  }

  /** What a response to this request means. Payload and options are still views into the datagram. */
  answered(now: Instant, request: PendingRequest, response: Response): Step {
    if (isUnreadable(response)) return { kind: 'failed', fault: 'bad-response' };
    if (!isResponseCode(response.code)) return { kind: 'failed', fault: 'bad-response' };
    const block2 = blockOf(response.options, Block2);
    if (block2 === 'invalid') return { kind: 'failed', fault: 'bad-response' };
    // A later block is no notification, though there are servers that say Observe with each (RFC 7959 §3.4).
    const sequence = block2 === undefined || block2.number === 0 ? response.options.get(Observe) : undefined;
    if (sequence !== undefined && request.draft.observe === true) {
      if (request.leaving) return { kind: 'stale' };
      if (request.newest !== undefined && !isFresher(now, sequence, request.newest)) return { kind: 'stale' };
    }

    if (request.block1?.more === true) {
      const next = nextBlock1(request, response);
      if (next === 'invalid') return { kind: 'failed', fault: 'bad-response' };
      if (next !== undefined) {
        request.block1 = next;
        return { kind: 'send' };
      }
    }

    const observed = request.draft.observe === true && response.code >>> 5 === 2 && !request.leaving;
    // A notification that comes while an older one's body is being fetched is worth more than the rest of that body.
    const isNew = request.receivedLength === 0 || sequence !== undefined;
    if (block2 === undefined || (block2.number === 0 && isNew)) {
      this.#restart(request);
      request.etag = response.options.get(ETag)?.slice();
      request.newest = observed && sequence !== undefined ? { sequence, at: now } : undefined;
    }
    let whole = response;
    if (block2 !== undefined && (block2.more || block2.number > 0)) {
      if (block2.number * block2.size !== request.receivedLength) return { kind: 'failed', fault: 'bad-response' };
      if (block2.more && response.payload.length !== block2.size) return { kind: 'failed', fault: 'bad-response' };
      if (!sameETag(request.etag, response.options.get(ETag))) return { kind: 'failed', fault: 'bad-response' };
      request.receivedLength += response.payload.length;
      if (request.receivedLength > this.#limits.maxBody) return { kind: 'failed', fault: 'too-large' };
      request.received.push(response.payload.slice());
      if (block2.more) {
        // The next block is asked for in the smaller of both sizes (RFC 7959 §2.4), and has to begin where one does.
        if (block2.size < request.blockSize) request.blockSize = block2.size;
        if (request.receivedLength % request.blockSize !== 0) return { kind: 'failed', fault: 'bad-response' };
        return { kind: 'send' };
      }
      whole = { ...response, payload: concatBytes(...request.received) };
      this.#restart(request);
    }
    // Only the first block of a notification says that it is one.
    return { kind: 'done', response: whole, lasts: observed && request.newest !== undefined };
  }

  /** The answer is here: the next in line may be sent. The request itself stays if it is an observation. */
  release(request: PendingRequest): PendingRequest | undefined {
    this.#deadlines.clear(request.handle);
    if (!request.outstanding) return undefined;
    request.outstanding = false;
    const line = this.#byPeer.get(request.peer)!;
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
    this.#restart(request);
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

  #blockToken(request: PendingRequest): Bytes {
    if (request.blockToken === undefined) {
      request.blockToken = this.#newToken(request.peer);
      this.#byToken.set(tokenKey(request.peer, request.blockToken), request);
    }
    return request.blockToken;
  }

  /** Nothing is received of the answer's body. */
  #restart(request: PendingRequest): void {
    request.received = [];
    request.receivedLength = 0;
    if (request.blockToken === undefined) return;
    this.#byToken.delete(tokenKey(request.peer, request.blockToken));
    request.blockToken = undefined;
  }
}

/** The requests of one peer. */
interface Line {
  active: number;
  readonly queue: PendingRequest[];
  readonly all: Set<PendingRequest>;
}

export interface RequestLimits {
  readonly nstart: number;
  readonly maxRequests: number;
  readonly maxQueuedForPeer: number;
  readonly maxBody: number;
}

/** Whether a response has a critical option that nobody knows (RFC 7252 §5.4.1). */
export function isUnreadable({ options }: Response): boolean {
  return options.list.some(({ number }) => isCritical(number) && knownOption(number) === undefined);
}

function firstBlock({ payload }: RequestDraft, size: BlockSize): Block | undefined {
  return payload.length > size ? { number: 0, more: true, size } : undefined;
}

function sameETag(a: Bytes | undefined, b: Bytes | undefined): boolean {
  return a === undefined || b === undefined ? a === b : sameBytes(a, b);
}

/**
 * The block to send after 2.31, or after 4.13 with a smaller size; `undefined` if the exchange ends here. A server that
 * takes each block by itself answers each with its final code (RFC 7959 §3.2, figure 8).
 */
function nextBlock1(request: PendingRequest, response: Response): Block | 'invalid' | undefined {
  const sent = request.block1!;
  const answered = blockOf(response.options, Block1);
  if (answered === 'invalid') return 'invalid';
  if (response.code === ResponseCode.RequestEntityTooLarge && answered !== undefined && answered.size < sent.size) {
    return sent.number === 0 ? { number: 0, more: true, size: answered.size } : undefined;
  }
  const takesEach = response.code >>> 5 === 2 && answered !== undefined && !answered.more;
  if (response.code !== ResponseCode.Continue && !takesEach) return undefined;
  if (answered === undefined || answered.number !== sent.number) return 'invalid';
  const size = Math.min(answered.size, sent.size) as BlockSize;
  const done = (sent.number + 1) * sent.size;
  return { number: done / size, more: done + size < request.draft.payload.length, size };
}

function tokenKey(peer: Peer, token: Bytes): string {
  return `${peer}/${toHex(token)}`;
}
