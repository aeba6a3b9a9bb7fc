import type { Peer } from '../base/peer.ts';
import type { Instant } from '../base/time.ts';
import { sliceReply } from '../coap/blockwise.ts';
import { Method, ResponseCode } from '../coap/codec/code.ts';
import { encodeMessage, type Reply, type Response } from '../coap/codec/message.ts';
import { Echo } from '../coap/codec/option.ts';
import type { Exchange, RequestFault } from '../coap/exchange.ts';
import type { CoapOut } from '../coap/out.ts';
import { defaultLimits, retryAfterSeconds } from '../coap/settings.ts';
import type { CredentialId } from '../fleet/names.ts';
import type { SessionChange } from '../fleet/session.ts';
import { type Commit, type CommitResult, emptyCommit, type View } from '../fleet/store.ts';
import { type Refusal, type RefusalReason, refusal } from '../lwm2m/refusal.ts';
import { answerTo, unavailable } from '../service/answer.ts';
import type { DownlinkOut } from '../service/downlinkOut.ts';
import type { Outcome, Questions } from '../service/outcome.ts';
import type { Context, DatapathParts } from './datapathParts.ts';
import { isPlainPeer } from './plainPeers.ts';
import type { Share } from './share.ts';
import type { Turn } from './turn.ts';
import { WaitingQuestions } from './waitingQuestions.ts';
import type { Work } from './work.ts';

/**
 * What becomes of requests: each is decided on by the service, waits for what the decision rests on to be durable, and is
 * answered, and not before. What others changed meanwhile is decided again; what takes long goes on turn by turn.
 */
export class Decisions {
  readonly #parts: DatapathParts;
  readonly #turn: Turn;
  readonly #out: DecisionsOut;
  readonly #share: Share;
  /** One of them goes on in each turn. */
  readonly #unfinished = new WaitingQuestions();
  /** How many answers wait for what they rest on. */
  #waiting = 0;

  constructor(parts: DatapathParts, turn: Turn, share: Share, out: DecisionsOut) {
    this.#parts = parts;
    this.#turn = turn;
    this.#share = share;
    this.#out = out;
  }

  /** When the next turn of a question is. */
  nextTurn(): Instant | undefined {
    return this.#unfinished.size > 0 ? this.#share.next : undefined;
  }

  /** The next turn of a question. */
  goOn(): void {
    if (!this.#share.isFree(this.#turn.now.instant)) return;
    const work = this.#unfinished.next();
    if (work !== undefined) this.decide(work);
  }

  decide(work: Work): void {
    const { store } = this.#parts;
    const isQuestion = work.exchange.code === Method.GET || work.exchange.code === Method.FETCH;
    // Whoever asked left while the question waited: nobody would ever take him out of those who observe.
    if (isQuestion && this.#isGone(work)) return;
    if (isQuestion && !this.#share.isFree(this.#turn.now.instant)) return this.#goOnLater(work, work.decide);
    const view = store.view();
    if (work.attempts > 0 && this.#isOvertaken(work, view)) return;
    const context = { ...work.context, now: this.#turn.now, view };
    const outcome = isQuestion ? this.#share.take(() => work.decide(context)) : work.decide(context);
    if (outcome.kind === 'commit') {
      return store.commit(this.#withMarks(outcome.commit), result => this.#settled(work, outcome, result));
    }
    if (outcome.kind === 'ask') return this.#askBack(work, outcome);
    if (outcome.kind === 'unfinished') return this.#goOnLater(work, outcome.goOn);
    if (!view.restsOnPending) return this.#answer(work, outcome.reply, outcome.refusal);
    // An answer that rests on what may still vanish waits for it, and is decided again: that it was asked for before
    // does not say that it was stored. Those that change nothing are remembered by nobody, and so are counted here.
    if (this.#waiting >= maxWaiting) {
      this.#parts.report.crowded();
      return this.#putOff(work);
    }
    this.#waiting++;
    store.commit(emptyCommit, () => {
      this.#waiting--;
      this.#turn.begin(undefined);
      this.#decideAgain(work, 'conflict');
      this.#turn.end();
    });
  }

  /** The peer is asked before its own request is decided on; whatever comes back, or does not, decides. */
  #askBack(work: Work, { draft, answered }: Outcome & { kind: 'ask' }): void {
    const { peer } = work.exchange;
    const decide = (answer: Response | RequestFault) => this.decide({ ...work, decide: answered(answer), attempts: 0 });
    const asked = this.#out.ask(peer, draft, { response: decide, failed: decide });
    if (asked === undefined) return this.#putOff(work);
    this.#parts.coap.acknowledge(work.exchange, this.#out.coap);
  }

  /** Others come first: a question waits for nobody, so its request is acknowledged meanwhile. */
  #goOnLater(work: Work, decide: Work['decide']): void {
    if (!this.#unfinished.add({ ...work, decide })) {
      this.#parts.report.busy();
      return this.#putOff(work);
    }
    // An answer that is no longer piggy-backed would be sent again and again to an address that nobody has proved.
    if (work.context.addressProved) this.#parts.coap.acknowledge(work.exchange, this.#out.coap);
  }

  #settled(work: Work, outcome: Outcome & { kind: 'commit' }, result: CommitResult): void {
    this.#turn.begin(undefined);
    if (result === 'durable') {
      this.#parts.service.committed(outcome.commit, this.#turn.now);
      this.#parts.report.committed(outcome.commit);
      this.#answer(work, outcome.reply, outcome.refusal);
      const { peer } = work.exchange;
      // Who has left is not spoken to where he was, and nobody would forget again what is kept of him.
      const stays = this.#isGone(work) ? undefined : peer;
      this.#parts.service.devices.changed(outcome.commit, stays, isPlainPeer(peer), this.#out.downlink);
      this.#parts.service.devices.reported(outcome.commit, this.#out.downlink);
    } else {
      this.#decideAgain(work, result);
    }
    this.#turn.end();
  }

  /** After a conflict; what the disk refuses, or what others change again and again, is put off. */
  #decideAgain(work: Work, why: CommitResult): void {
    if (why === 'conflict' && work.attempts++ < maxAttempts) return this.decide(work);
    this.#parts.report.unavailable(why);
    this.#putOff(work);
  }

  /** Who asked to observe may have been noted by then: what is not said is not done. */
  #putOff(work: Work): void {
    this.#parts.service.unobserved(work.exchange);
    this.#answer(work, unavailable(retryAfterSeconds));
  }

  /**
   * What is decided again comes after all that was decided meanwhile. If by then its session has ended, and the device has
   * come with another one, it would undo what the device has been told on that: it is dropped, as if it had been lost.
   */
  #isOvertaken(work: Work, view: View): boolean {
    const { principal } = work.context;
    if (principal.kind !== 'psk' || !this.#isGone(work)) return false;
    const association = view.device(principal.row)?.lastExchange?.association;
    return association !== undefined && association !== work.exchange.peer;
  }

  /**
   * A record keeps the number of the DTLS record that changed it last. If that came on a session of another credential of
   * the device, which may go on after a restart, the number is kept there instead: else a copy would change it once more.
   */
  #withMarks(commit: Commit): Commit {
    const sessions: SessionChange[] = [];
    for (const { before, record } of commit.devices) {
      const { association: peer, sequence: readMark } = before?.lastExchange ?? {};
      if (peer === undefined || readMark === undefined || peer === record.lastExchange?.association) continue;
      const credential = this.#parts.dtls?.credential(peer) as CredentialId | undefined;
      if (credential !== undefined) sessions.push({ kind: 'read', credential, peer, readMark });
    }
    return sessions.length === 0 ? commit : { ...commit, sessions };
  }

  #isGone({ exchange: { peer } }: Work): boolean {
    return isGone(this.#parts, peer);
  }

  /** Every answer may be forgotten early: the record recognises its last exchange, and a refusal changes nothing. */
  #answer(work: Work, reply: Reply, why?: Refusal): void {
    const { exchange, context } = work;
    if (work.limit !== unlimited && answerLength(exchange, reply) > work.limit) {
      const long = refusal('address-not-proved');
      return this.#answer({ ...work, limit: unlimited }, answerTo(long, undefined), long);
    }
    const fresh = why !== undefined && wantsEcho.has(why.reason) ? this.#withEcho(context, reply) : reply;
    if (why !== undefined) this.#parts.report.refusal(why, reply.code, context);
    this.#parts.report.answered(reply.code);
    this.#parts.coap.respond(
      this.#turn.now,
      exchange,
      fresh,
      this.#out.coap,
      reply.code !== ResponseCode.ServiceUnavailable,
    );
  }

  #withEcho({ remote }: Context, reply: Reply): Reply {
    const echo = this.#parts.proof?.echo(this.#turn.now.instant, remote);
    return echo === undefined ? reply : { ...reply, options: reply.options.with(Echo, echo) };
  }
}

/** Where answers and questions go, and who else hears of changes. */
export interface DecisionsOut extends Pick<Questions, 'ask'> {
  readonly coap: CoapOut;
  readonly downlink: DownlinkOut;
}

/** Whether its session has ended, or it made room for another one on plain CoAP. One that sleeps is not there either. */
export function isGone({ plain, dtls }: DatapathParts, peer: Peer): boolean {
  return isPlainPeer(peer) ? plain.remote(peer) === undefined : dtls?.session(peer) === undefined;
}

function answerLength({ token, block2 }: Exchange, reply: Reply): number {
  const { code, options, payload } = sliceReply(reply, block2, defaultLimits.blockSize);
  // Without a payload nothing that we say comes near the limit.
  if (payload.length === 0) return 0;
  return encodeMessage({ kind: 'response', type: 'ACK', messageId: 0, token, code, options, payload }).length;
}

const wantsEcho: ReadonlySet<string> = new Set<RefusalReason>(['address-not-proved', 'out-of-order']);
export const unlimited = Number.POSITIVE_INFINITY;
const maxAttempts = 5;
export const maxWaiting = 8192;
