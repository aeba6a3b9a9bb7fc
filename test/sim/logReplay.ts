import type { StoredEvent } from '../../src/fleet/event.ts';
import type { Row } from '../../src/fleet/names.ts';
import type { MemoryDisk } from '../support/memoryDisk.ts';
import type { Violated } from './invariants.ts';

/** Invariant 8: event numbers have no gaps, and whoever follows the log from its beginning has the registry. */
export class LogReplay {
  readonly #disk: MemoryDisk;
  readonly #violated: Violated;
  #sequence = 0;
  readonly #registered = new Map<Row, Followed>();
  readonly #effects = new Map<Row, Effects>();

  constructor(disk: MemoryDisk, violated: Violated) {
    this.#disk = disk;
    this.#violated = violated;
  }

  check(): void {
    const { lastSequence, events, devices } = this.#disk;
    // What was followed and then lost in a crash: from the beginning again.
    if (lastSequence < this.#sequence || this.#wasReplaced()) this.#restart();
    while (this.#sequence < lastSequence) {
      const event = events.get(this.#sequence + 1);
      if (event?.sequence !== this.#sequence + 1) this.#violated(8, `event ${this.#sequence + 1} is missing`);
      this.#follow(event);
      this.#sequence++;
      this.#newest = event;
    }
    if (events.size !== lastSequence) this.#violated(8, `${events.size} events, the last one is ${lastSequence}`);
    let registered = 0;
    for (const { row, name, registration } of devices.values()) {
      if (registration === undefined) continue;
      registered++;
      const followed = this.#registered.get(row);
      const { address, port, lifetime } = registration;
      const same = followed?.address === address && followed.port === port && followed.lifetime === lifetime;
      if (!same) {
        this.#violated(
          8,
          `the log says ${JSON.stringify(followed)} of ${name}, its record ${address}:${port} ${lifetime}`,
        );
      }
    }
    if (registered !== this.#registered.size) {
      this.#violated(8, `the log says that ${this.#registered.size} are registered, the records ${registered}`);
    }
  }

  /** How often the log says that each thing was done to a device. */
  effectsOn(row: Row): Effects {
    return this.#effects.get(row) ?? noEffects;
  }

  #newest: StoredEvent | undefined;

  #wasReplaced(): boolean {
    return this.#newest !== undefined && this.#disk.events.get(this.#sequence) !== this.#newest;
  }

  #restart(): void {
    this.#sequence = 0;
    this.#newest = undefined;
    this.#registered.clear();
    this.#effects.clear();
  }

  #follow({ type, row, details = {} }: StoredEvent): void {
    const { address, port, lifetime } = details as Partial<Followed>;
    const before = this.#registered.get(row);
    if (type === 'registered') this.#registered.set(row, { address: address!, port: port!, lifetime: lifetime! });
    if (type === 'updated' && before !== undefined) {
      this.#registered.set(row, {
        address: address ?? before.address,
        port: port ?? before.port,
        lifetime: lifetime ?? before.lifetime,
      });
    }
    if (type === 'deregistered' || type === 'expired' || type === 'forgotten') this.#registered.delete(row);
    const effect = type === 'value' && details.send === true ? 'sent' : type;
    if (effect === 'registered' || effect === 'updated' || effect === 'deregistered' || effect === 'sent') {
      const effects = { ...this.effectsOn(row) };
      effects[effect]++;
      this.#effects.set(row, effects);
    }
  }
}

interface Followed {
  readonly address: string;
  readonly port: number;
  readonly lifetime: number;
}

interface Effects {
  registered: number;
  updated: number;
  deregistered: number;
  sent: number;
}

const noEffects: Effects = { registered: 0, updated: 0, deregistered: 0, sent: 0 };
