import { type Bytes, noBytes, textOf, utf8 } from '../../src/base/bytes.ts';
import type { Peer } from '../../src/base/peer.ts';
import type { Instant, WallTime } from '../../src/base/time.ts';
import { codeText, Method } from '../../src/coap/codec/code.ts';
import { parseLinks } from '../../src/coap/codec/linkFormat.ts';
import type { Reply, Request, Response } from '../../src/coap/codec/message.ts';
import { Accept, ContentFormat, LocationPath, Options, UriPath, UriQuery } from '../../src/coap/codec/option.ts';
import type { Exchange, RequestDraft, RequestFault } from '../../src/coap/exchange.ts';
import type { Credential, CredentialRole, Principal } from '../../src/fleet/credential.ts';
import type { DeviceRecord } from '../../src/fleet/device.ts';
import { type DeviceView, deviceView } from '../../src/fleet/deviceView.ts';
import type { StoredEvent } from '../../src/fleet/event.ts';
import type { EndpointName } from '../../src/fleet/names.ts';
import { RegistrationIds } from '../../src/fleet/registrationId.ts';
import type { Commit, Store } from '../../src/fleet/store.ts';
import type { RequestContext } from '../../src/service/outcome.ts';
import { Service, type ServiceOptions } from '../../src/service/service.ts';
import { MemoryAdmin } from './memoryAdmin.ts';
import { MemoryDisk } from './memoryDisk.ts';
import { MemoryStore, promptBehaviour } from './memoryStore.ts';

/** Who asks, and from where. The default is a device on plain CoAP. */
export interface Caller {
  /** The endpoint name that the credential stands for, and which of its credentials it is. */
  readonly psk?: string;
  /** The name of an operator, whose credential this is. */
  readonly operator?: string;
  readonly key?: number;
  readonly association?: number;
  /** Of the DTLS record; counts up by itself. */
  readonly sequence?: number;
  readonly address?: string;
  readonly port?: number;
  /** Whether its address is proved; it is unless said otherwise. */
  readonly proved?: boolean;
  /** The store has no row for a new name at the moment. */
  readonly rowless?: boolean;
  /** What it answers when it is asked something. */
  readonly answers?: (draft: RequestDraft) => Response | RequestFault;
  /** Counts up by itself: give an earlier one to repeat a request. */
  readonly messageId?: number;
}

export interface Message {
  readonly query?: string;
  readonly contentFormat?: number;
  readonly payload?: string | Bytes;
  readonly accept?: number;
  /** Further options. */
  readonly options?: (options: Options) => Options;
}

/**
 * The service with a store in memory in which everything is durable at once: what a request is answered, and what the
 * registry then holds. `now` is the wall clock; turn it by hand.
 */
export class Registrar {
  now = start as WallTime;
  readonly service: Service;
  readonly #disk = new MemoryDisk();
  readonly #store = new MemoryStore(this.#disk, { ...promptBehaviour, later: (_, run) => run() });
  readonly #admin = new MemoryAdmin(this.#disk);
  /** How often somebody was asked before a request was decided on. */
  asked = 0;
  /** Why the last request was refused, if it was. */
  refused: string | undefined;
  /** What the log says besides. */
  refusedFor: string | undefined;
  readonly #credentials = new Map<string, Credential>();
  #sequence = 0;
  #messageId = 0;

  constructor(options: Partial<ServiceOptions> = {}) {
    const identity = { forward: (block: Bytes) => block.slice(), backward: (block: Bytes) => block.slice() };
    this.service = new Service({ ids: new RegistrationIds(identity), insecureCoap: true, ...options });
  }

  register(message: Message, caller: Caller = {}): Reply {
    return this.#ask(Method.POST, '/rd', message, caller);
  }

  update(location: string, message: Message = {}, caller: Caller = {}): Reply {
    return this.#ask(Method.POST, location, message, caller);
  }

  deregister(location: string, caller: Caller = {}, message: Message = {}): Reply {
    return this.#ask(Method.DELETE, location, message, caller);
  }

  /** Lets time pass, and registrations end that are over. Returns how many ended. */
  wait(seconds: number): number {
    this.now = (this.now + seconds * 1000) as WallTime;
    return this.expireInBatches().reduce((sum, ended) => sum + ended, 0);
  }

  /** How many registrations ended with each commit. */
  expireInBatches(): number[] {
    const batches: number[] = [];
    for (;;) {
      const commit = this.service.expire(this.now, this.#store.view());
      if (commit === undefined) return batches;
      this.#commit(commit);
      batches.push(commit.devices.length);
    }
  }

  /** What operators see of a name; `undefined` if nobody knows it. */
  device(name: string): DeviceView | undefined {
    const record = this.record(name);
    return record && deviceView(record, this.service.rules, this.now);
  }

  record(name: string): DeviceRecord | undefined {
    const view = this.#store.view();
    const row = view.row(name as EndpointName, undefined);
    return row && view.device(row);
  }

  /** Gives a name a credential, as `rollcall credential add` does; `key` tells several of one name apart. */
  claim(name: string, key = 1, role: CredentialRole = 'device'): Credential {
    const identity = `${name} ${key}`;
    const known = this.#credentials.get(identity);
    if (known !== undefined) return known;
    const added = this.#admin.addCredential(this.now, name as EndpointName, utf8(identity), utf8('key'), role);
    this.#credentials.set(identity, added);
    return added;
  }

  /** What the service would tell observers now. */
  notifications(): Reply[] {
    const now = { instant: (this.now - start) as Instant, wall: this.now };
    const find: Store['find'] = (...asked) => this.#store.find(...asked);
    return this.service.notifications({ now, view: this.#store.view(), find }).map(({ reply }) => reply);
  }

  simple(query: string, caller: Caller, message: Message = {}): Reply {
    return this.#ask(Method.POST, '/.well-known/rd', { query, ...message }, caller);
  }

  send(message: Message, caller: Caller): Reply {
    return this.#ask(Method.POST, '/dp', message, caller);
  }

  get events(): StoredEvent[] {
    return this.#store.events(1, Number.MAX_SAFE_INTEGER);
  }

  /** `path` with its query. */
  get(path: string, message: Message = {}, caller: Caller = {}): Reply {
    const [bare, query = ''] = path.split('?');
    return this.#ask(Method.GET, bare!, { query, ...message }, caller);
  }

  /** Any request there is. */
  request(code: number, path: string, message: Message, caller: Caller): Reply {
    return this.#ask(code, path, message, caller);
  }

  #ask(code: number, path: string, message: Message, caller: Caller): Reply {
    const name = caller.psk ?? caller.operator;
    const role = caller.operator === undefined ? 'device' : 'operator';
    const credential = name === undefined ? undefined : this.claim(name, caller.key, role);
    const ids = {
      messageId: caller.messageId ?? ++this.#messageId,
      sequence: credential ? (caller.sequence ?? ++this.#sequence) : undefined,
    };
    const turn = (): RequestContext => ({
      now: { instant: (this.now - start) as Instant, wall: this.now },
      view: this.#store.view(),
      find: (selection, from, limit) => this.#store.find(selection, from, limit),
      allocateRow: () => (caller.rowless === true ? undefined : this.#store.allocateRow()),
      principal: principalOf(credential),
      transport: credential ? 'coaps' : 'coap',
      address: caller.address ?? '192.0.2.1',
      port: caller.port ?? 5683,
      peer: (caller.association ?? 1) as Peer,
      addressProved: caller.proved ?? true,
      exchange: exchangeOf(code, (caller.association ?? 1) as Peer),
      ...ids,
    });
    let outcome = this.service.route(requestOf(code, path, message), turn());
    if (outcome.kind === 'ask') {
      this.asked++;
      outcome = outcome.answered(caller.answers?.(outcome.draft) ?? 'timeout')(turn());
    }
    if (outcome.kind === 'ask' || outcome.kind === 'unfinished') throw new Error('the answer waits for somebody else');
    if (outcome.kind === 'reply') {
      this.refused = outcome.refusal?.reason;
      this.refusedFor = outcome.refusal?.detail;
    }
    if (outcome.kind === 'commit') this.#commit(outcome.commit);
    return outcome.reply;
  }

  #commit(commit: Commit): void {
    this.#store.commit(commit, result => {
      if (result !== 'durable') throw new Error(result);
      this.service.committed(commit, { instant: (this.now - start) as Instant, wall: this.now });
    });
  }
}

const start = 1_700_000_000_000;

/** `2.01`, as the RFC writes it. */
export const codeOf = (reply: Reply): string => codeText(reply.code);

export const locationOf = (reply: Reply): string => `/${reply.options.all(LocationPath).join('/')}`;

/** What a lookup found, as text; or why it did not. */
export const textOrCode = (reply: Reply): string => (codeOf(reply) === '2.05' ? textOf(reply.payload)! : codeOf(reply));

export const linksOf = (reply: Reply) => {
  if (codeOf(reply) !== '2.05') throw new Error(codeOf(reply));
  return parseLinks(textOf(reply.payload)!)!.map(({ href, attributes }) => ({ href, ...attributes }));
};

export const hrefsOf = (reply: Reply) => linksOf(reply).map(({ href }) => href);

/** With links, by RFC 9176. Returns the location. */
export function registerLinks(registrar: Registrar, query: string, payload: string, caller: Caller = {}): string {
  const reply = registrar.register({ query, contentFormat: 40, payload }, caller);
  if (codeOf(reply) !== '2.01') throw new Error(`${query}: ${codeOf(reply)} ${registrar.refused}`);
  return locationOf(reply);
}

function principalOf(credential: Credential | undefined): Principal {
  if (credential === undefined) return { kind: 'anonymous' };
  if (credential.role === 'operator') return { kind: 'operator', credential: credential.id };
  return { kind: 'psk', row: credential.row, credential: credential.id };
}

function exchangeOf(code: number, peer: Peer): Exchange {
  const none = { block1: undefined, block2: undefined, acknowledged: false };
  return { peer, messageId: 0, confirmable: true, code, token: noBytes, ...none };
}

/** A request as it stands on the wire, without the message around it. */
function requestOf(
  code: number,
  path: string,
  { query = '', contentFormat, payload, accept, options: more }: Message,
): Request {
  let options = Options.empty;
  for (const segment of path.split('/').slice(1)) options = options.with(UriPath, segment);
  if (contentFormat !== undefined) options = options.with(ContentFormat, contentFormat);
  for (const parameter of query === '' ? [] : query.split('&')) options = options.with(UriQuery, parameter);
  if (accept !== undefined) options = options.with(Accept, accept);
  if (more !== undefined) options = more(options);
  const bytes = payload === undefined ? noBytes : typeof payload === 'string' ? utf8(payload) : payload;
  return { kind: 'request', type: 'CON', code, messageId: 0, token: noBytes, options, payload: bytes };
}
