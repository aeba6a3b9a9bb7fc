import type { Instant, Now } from '../base/time.ts';
import { type Reply, type Request, reply } from '../coap/codec/message.ts';
import { Observe } from '../coap/codec/option.ts';
import type { Exchange } from '../coap/exchange.ts';
import { type NotificationAttributes, parseAttributes } from '../lwm2m/attributes.ts';
import { isValuePath, type Path, type ValuePath } from '../lwm2m/path.ts';
import { type ResourceValue, sameValue } from '../lwm2m/value.ts';
import { Attributes } from './attributes.ts';
import { type Behaviour, MovingValues } from './behaviour.ts';
import type { DeviceObjects } from './objects.ts';
import { DeviceObservations } from './observations.ts';
import { type Operation, observeOf, operate, present } from './operations.ts';

/**
 * What stands above CoAP in a device: objects and values, what a server may do with them, and the observations it has.
 * The device hands requests in with `receive`, and calls `expire` when `nextExpiry` has come; answers and notifications
 * come out.
 */
export class Application {
  readonly objects: DeviceObjects;
  readonly formats: readonly number[];
  readonly composites: boolean;
  readonly attributes = new Attributes();
  readonly #confirmable: boolean;
  readonly #observations = new DeviceObservations(maxObservations, path => this.attributes.effective(path));
  readonly #moving: MovingValues;

  constructor(objects: DeviceObjects, formats: readonly number[], behaviour: Behaviour) {
    const { confirmable = false, moving = [], withoutComposites = false } = behaviour;
    this.objects = objects;
    this.formats = formats;
    this.composites = !withoutComposites;
    this.#confirmable = confirmable;
    this.#moving = new MovingValues(moving);
  }

  /** How many observations the server has. */
  get observations(): number {
    return this.#observations.size;
  }

  /** Values begin to move. */
  start(now: Now): void {
    this.#moving.start(now.instant);
  }

  /** The server forgot its observations, or will make them anew. */
  forgetObservations(): void {
    this.#observations.clear();
  }

  /** The device measured something. */
  set(now: Now, path: ValuePath, value: ResourceValue, out: ApplicationOut): void {
    const before = this.objects.get(path);
    if (before !== undefined && sameValue(before, value)) return;
    this.objects.set(path, value);
    this.#changed([path]);
    this.#notify(now, out);
  }

  receive(now: Now, exchange: Exchange, request: Request, out: ApplicationOut): void {
    const operation = operate(this, request);
    const { executed } = operation;
    out.respond(exchange, this.#observed(now, exchange, request, operation));
    if (operation.changed !== undefined) {
      this.#changed(operation.changed);
      out.written(operation.changed);
    }
    if (executed !== undefined) out.executed(executed.path, executed.arguments);
    this.#observations.reschedule();
    this.#notify(now, out);
  }

  /** The server does not want to hear more of it. */
  unobserved(exchange: Exchange): void {
    this.#observations.remove(exchange);
  }

  expire(now: Now, out: ApplicationOut): void {
    for (let moved = this.#moving.takeDue(now.instant); moved !== undefined; ) {
      this.set(now, moved.path, moved.value, out);
      moved = this.#moving.takeDue(now.instant);
    }
    this.#notify(now, out);
  }

  nextExpiry(): Instant | undefined {
    const moving = this.#moving.nextExpiry();
    const observed = this.#observations.nextExpiry();
    if (moving === undefined || observed === undefined) return moving ?? observed;
    return Math.min(moving, observed) as Instant;
  }

  /** The answer, with the Observe option if from now on changes are reported (RFC 7641 §3.1, §4.1). */
  #observed(now: Now, exchange: Exchange, request: Request, { reply: answer, observed }: Operation): Reply {
    const wish = observeOf(request);
    if (observed === undefined || wish === undefined || answer.code >>> 5 !== 2) return answer;
    if (wish === 'deregister') {
      this.#observations.remove(exchange);
      return answer;
    }
    const own = parseAttributes(observed.query);
    if (own === undefined) return answer;
    const sent = this.#valueAt(observed.paths[0]);
    const observation = this.#observations.add(now.instant, exchange, observed, own as NotificationAttributes, sent);
    if (observation === undefined) return answer;
    return { ...answer, options: answer.options.with(Observe, observation.sequence) };
  }

  #changed(paths: readonly Path[]): void {
    this.#observations.changed(paths, path => this.#valueAt(path));
  }

  #notify(now: Now, out: ApplicationOut): void {
    for (let due = this.#observations.takeDue(now.instant); due !== undefined; ) {
      const { exchange, observed } = due;
      const { con } = this.#observations.attributes(due);
      const report = present(this, observed);
      this.#observations.reported(now.instant, due, this.#valueAt(observed.paths[0]));
      if (report.code >>> 5 === 2) {
        const options = report.options.with(Observe, due.sequence);
        out.notify(exchange, { ...report, options }, con === undefined ? this.#confirmable : con === 1);
      } else {
        // What was observed is gone: the last notification says so (RFC 7641 §3.2).
        this.#observations.remove(exchange);
        out.notify(exchange, reply(report.code), this.#confirmable);
      }
      due = this.#observations.takeDue(now.instant);
    }
  }

  #valueAt(path: Path | undefined): ResourceValue | undefined {
    return path !== undefined && isValuePath(path) ? this.objects.get(path) : undefined;
  }
}

/** Where the application writes what has to happen next. */
export interface ApplicationOut {
  respond(exchange: Exchange, answer: Reply): void;
  notify(exchange: Exchange, notification: Reply, confirmable: boolean): void;
  /** The server executed a resource. */
  executed(path: Path, args: string): void;
  /** The server wrote, created or deleted something. */
  written(paths: readonly Path[]): void;
}

/** A server that asks for more gets answers, and no observations. */
const maxObservations = 64;
