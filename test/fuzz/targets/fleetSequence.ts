import { type Bytes, textOf } from '../../../src/base/bytes.ts';
import { parseLinks } from '../../../src/coap/codec/linkFormat.ts';
import type { Reply } from '../../../src/coap/codec/message.ts';
import { type Caller, codeOf, locationOf, Registrar } from '../../support/registrar.ts';
import { Choices } from '../choices.ts';
import { ensure, ensureSame, type Target } from '../target.ts';

export const targets: readonly Target[] = [
  {
    name: 'fleet',
    holds:
      'whatever devices and impostors ask, and however time passes, the registry says what a map of names would say',
    seeds: [
      Uint8Array.of(0, 0, 0, 1, 0, 0, 3, 5, 1, 0, 0, 4, 2, 0, 0),
      Uint8Array.of(0, 2, 2, 0, 0, 3, 2, 1, 3, 90, 1, 2, 2, 1, 2, 2, 4, 0, 2, 2, 2, 0),
      Uint8Array.of(0, 0, 0, 0, 4, 0, 1, 1, 3, 200, 4, 0, 0, 0, 5),
    ],
    weight: 20,
    maxLength: 120,
    check: checkFleet,
  },
];

const names = ['a', 'b', 'p', 'q'] as const;
type Name = (typeof names)[number];
/** `a` and `b` have credentials; for the others, whoever speaks from where they came from speaks for them. */
const callers: readonly Caller[] = [
  { psk: 'a' },
  { psk: 'b' },
  { address: '192.0.2.1' },
  { address: '192.0.2.2' },
  { psk: 'a', key: 2, association: 2 },
];
/** In seconds; `undefined` is what the dialect has. */
const lifetimes = [60, 90, 300, undefined, 86_400] as const;
const defaultLifetime = 90_000;
const grace = 93;
/** In seconds: how much later than it may a registration is removed, at most. */
const late = 4;

/** What is known of one name. */
interface Entry {
  readonly location: string;
  readonly owner: Caller;
  readonly lifetime: number;
  /** In seconds of the model's clock. */
  readonly expires: number;
}

class Model {
  readonly entries = new Map<Name, Entry>();
  now = 0;

  isAlive(name: Name): boolean {
    const entry = this.entries.get(name);
    return entry !== undefined && this.now < entry.expires + grace;
  }

  mayRegister(name: Name, caller: Caller): boolean {
    if (caller.psk !== undefined) return caller.psk === name;
    if (name === 'a' || name === 'b') return false;
    return !this.isAlive(name) || this.entries.get(name)!.owner.address === caller.address;
  }

  mayChange(name: Name, caller: Caller): boolean {
    const { owner } = this.entries.get(name)!;
    return (
      this.isAlive(name) && owner.psk === caller.psk && owner.key === caller.key && owner.address === caller.address
    );
  }

  state(name: Name): string {
    const entry = this.entries.get(name);
    if (entry === undefined || this.now >= entry.expires + grace) return 'none';
    return this.now < entry.expires ? 'registered' : 'lapsed';
  }

  heard(name: Name, owner: Caller, lifetime: number, location: string): void {
    this.entries.set(name, { owner, lifetime, location, expires: this.now + lifetime });
  }
}

function checkFleet(bytes: Bytes): void {
  const choices = new Choices(bytes);
  const registrar = new Registrar();
  const model = new Model();
  for (const name of ['a', 'b']) registrar.claim(name);
  registrar.claim('a', 2);
  let repeat: (() => Reply) | undefined;
  let messageId = 1;
  let sequence = 1;
  for (let operations = 0; operations < 30 && !choices.isOver; operations++) {
    const kind = choices.below(5);
    if (kind === 3) {
      const span = choices.byte() * choices.of([1, 10, 1000]);
      model.now += span;
      registrar.wait(span);
      repeat = undefined;
      ensureRegistry(registrar, model);
      continue;
    }
    if (kind === 4 && repeat !== undefined) {
      const events = registrar.events.length;
      ensure(codeOf(repeat()).startsWith('2.'), 'a retransmission is refused');
      ensureSame(registrar.events.length, events, 'done twice');
      continue;
    }
    const name = choices.of(names);
    const caller = { ...choices.of(callers), messageId: messageId++, sequence: sequence++ };
    const lifetime = choices.of(lifetimes);
    const query = lifetime === undefined ? '' : `lt=${lifetime}`;
    const { location } = model.entries.get(name) ?? {};
    let ask: () => Reply;
    let allowed: boolean;
    if (kind === 0) {
      const parameters = query === '' ? `ep=${name}` : `ep=${name}&${query}`;
      ask = () => registrar.register({ query: parameters, payload: `</${name}>` }, caller);
      allowed = model.mayRegister(name, caller);
    } else if (location === undefined) continue;
    else if (kind === 1) {
      ask = () => registrar.update(location, { query }, caller);
      allowed = model.mayChange(name, caller);
    } else {
      ask = () => registrar.deregister(location, caller);
      allowed = model.mayChange(name, caller);
    }
    const before = effectsOf(registrar);
    const reply = ask();
    const code = codeOf(reply);
    ensure(code.startsWith(allowed ? '2.' : '4.'), 'another answer than the model', code, allowed, kind, name, caller);
    if (!allowed) {
      ensureSame(effectsOf(registrar), before, 'refused, and something happened');
      continue;
    }
    // On plain CoAP it is the address that tells who repeats a request, and it goes with the registration.
    const isRemoval = kind > 1;
    repeat = isRemoval && caller.psk === undefined ? undefined : ask;
    if (kind === 0) model.heard(name, caller, lifetime ?? defaultLifetime, locationOf(reply));
    else if (kind === 1)
      model.heard(name, model.entries.get(name)!.owner, lifetime ?? model.entries.get(name)!.lifetime, location!);
    else model.entries.delete(name);
    ensureRegistry(registrar, model);
  }
  ensureSame(
    registrar.events.map(event => event.sequence),
    registrar.events.map((_, n) => n + 1),
    'a gap in the log',
  );
}

function effectsOf(registrar: Registrar): number {
  return registrar.events.filter(({ type }) => type !== 'refused').length;
}

function ensureRegistry(registrar: Registrar, model: Model): void {
  const registered: string[] = [];
  for (const name of names) {
    const state = model.state(name);
    if (state === 'registered') registered.push(name);
    const shown = registrar.device(name)?.state ?? 'none';
    // What is over is removed a few seconds later (`fleet/expiryIndex`): until then it has lapsed, and revives no more.
    const isLeft = shown === 'lapsed' && model.now < (model.entries.get(name)?.expires ?? 0) + grace + late;
    if (!isLeft) ensureSame(shown, state, `the state of ${name}`);
  }
  const text = textOf(registrar.get('/rd-lookup/ep').payload)!;
  ensureSame(
    parseLinks(text)!
      .map(({ attributes }) => attributes.ep as string)
      .sort(compareText),
    registered,
    'who is found',
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : 1;
}
