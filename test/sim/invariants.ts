import { type Bytes, toHex } from '../../src/base/bytes.ts';
import type { Peer } from '../../src/base/peer.ts';
import type { Milliseconds } from '../../src/base/time.ts';
import { noRow } from '../../src/fleet/credential.ts';
import type { DeviceRecord, LastExchange } from '../../src/fleet/device.ts';
import type { Row } from '../../src/fleet/names.ts';
import type { FleetRules } from '../../src/fleet/registration.ts';
import type { Commit } from '../../src/fleet/store.ts';
import { type MemoryDisk, nameKey, Table } from '../support/memoryDisk.ts';
import { LogReplay } from './logReplay.ts';
import type { SimDevice } from './simDevice.ts';
import type { SimServer } from './simServer.ts';

/**
 * What has to hold in every world at every moment, numbered as in the design. 5 (no nonce twice) is `NonceWatch`, 6
 * (silence to strangers) is `Stranger`, and 9 to 11 are about how a world ends: `World.check`.
 */
export class Invariants {
  readonly #disk: MemoryDisk;
  readonly #server: SimServer;
  readonly #devices: readonly SimDevice[];
  readonly #violated: Violated;
  readonly #log: LogReplay;
  /** For each association the newest record that changed something, and the exchanges that did. Undone by a crash with their changes. */
  readonly #effects: Table<Peer, Effects>;
  /** Whose each association is, by what was stored when it opened. */
  readonly #opened: Table<Peer, Row>;
  readonly #openedBy = new Map<string, Peer[]>();
  readonly #revoked: { readonly peer: Peer; readonly at: Milliseconds }[] = [];
  readonly #rowOf = new Map<string, Row>();
  readonly #locations = new Map<Row, { readonly generation: number; readonly location: string }>();
  /** What the journal was when the store was looked at last: as long as it is the same, so is the store. */
  #committed = -1;
  #durable = -1;

  constructor(disk: MemoryDisk, server: SimServer, devices: readonly SimDevice[], violated: Violated) {
    this.#disk = disk;
    this.#server = server;
    this.#devices = devices;
    this.#violated = violated;
    this.#log = new LogReplay(disk, violated);
    this.#effects = new Table(disk.journal);
    this.#opened = new Table(disk.journal);
  }

  /** In the transaction that writes a commit. */
  written({ devices, sessions = [] }: Commit): void {
    for (const change of sessions) {
      if (change.kind !== 'opened') continue;
      const { peer, identity, resumable } = change.session;
      if (this.#opened.get(peer) !== undefined) this.#violated(5, `association ${peer} opened twice`);
      this.#openedBy.set(toHex(identity), [...(this.#openedBy.get(toHex(identity)) ?? []), peer]);
      const { row } = this.#disk.credentials.get(toHex(identity))!;
      // What it goes on with is its own: 3 would end where somebody else's secret opens a session.
      if (resumable !== undefined && resumable.origin !== peer && this.#opened.get(resumable.origin) !== row) {
        this.#violated(3, `association ${peer} of row ${row} resumed ${resumable.origin}, which is not its own`);
      }
      this.#opened.put(peer, row);
    }
    for (const { record } of devices) this.#changed(record);
  }

  /** 7: every capacity respected. Cheap enough for every event. */
  capacities(): void {
    const process = this.#server.process;
    if (process === undefined) return;
    const { dtls: dtlsLimits, coap: coapLimits } = this.#server.limits;
    const dtls = process.dtls.sizes();
    if (dtls.associations > dtlsLimits.maxAssociations) this.#violated(7, `${dtls.associations} associations`);
    if (dtls.handshakes > dtlsLimits.maxHandshakes) this.#violated(7, `${dtls.handshakes} handshakes`);
    const { exchanges } = process.coap.sizes();
    if (exchanges > coapLimits.maxExchanges) this.#violated(7, `${exchanges} exchanges`);
  }

  /** At `now` the operator revoked this identity's credential. */
  revoked(identity: Bytes, now: Milliseconds): void {
    for (const peer of this.#openedBy.get(toHex(identity)) ?? []) this.#revoked.push({ peer, at: now });
  }

  everySecond(now: Milliseconds): void {
    this.#revokedOpensNothing(now);
    this.#promisesAreKept();
    const { committed, durable } = this.#disk.journal;
    if (committed === this.#committed && durable === this.#durable) return;
    this.#committed = committed;
    this.#durable = durable;
    this.#namesAreUnique();
    this.#log.check();
    this.#effectsWereAsked();
  }

  /** 3, of credentials that are revoked: a server that runs has had the time to hear of it, and one that starts knows. */
  #revokedOpensNothing(now: Milliseconds): void {
    const { process } = this.#server;
    if (process === undefined) return;
    for (const { peer, at } of this.#revoked) {
      if (now - at > noticeWithin && process.dtls.session(peer) !== undefined) {
        this.#violated(3, `association ${peer} goes on, and its credential was revoked`);
      }
    }
  }

  /** 1: whoever received 2.01 is registered, until its lifetime ends or it leaves: on the disk, whatever happens next. */
  #promisesAreKept(): void {
    const { wall } = this.#server;
    for (const device of this.#devices) {
      // What has ended has ended, even if the wall clock is set back.
      if (device.promise !== undefined && device.promise.until <= wall) device.promise = undefined;
      const { promise } = device;
      if (promise === undefined) continue;
      const row = this.#row(device.name);
      const record = row === undefined ? undefined : this.#disk.devices.durable(row);
      if (record?.registration === undefined) this.#violated(1, `${device.name} is not registered, and was told so`);
      const process = this.#server.process;
      if (process === undefined || record === undefined) continue;
      const location = this.#locationOf(record, process.service.rules);
      if (location !== promise.location)
        this.#violated(1, `${device.name} is at ${location}, and not where it was told`);
    }
  }

  /** 2: one name, one registration; names and records belong together in both directions. */
  #namesAreUnique(): void {
    const { devices, names } = this.#disk;
    for (const { name, sector, row } of devices.values()) {
      const entry = names.get(nameKey(name, sector));
      if (entry?.row !== row) this.#violated(2, `${name} has row ${entry?.row}, and its record row ${row}`);
    }
    const named = [...names.values()].filter(({ row }) => row !== noRow).length;
    if (named !== devices.size) this.#violated(2, `${named} names and ${devices.size} records`);
  }

  /** 3 and 4, of a change on an association: made by the credential's own session, in an order, once. */
  #changed(record: DeviceRecord): void {
    const exchange = record.lastExchange;
    if (exchange?.association === undefined || exchange.sequence === undefined) return;
    const { association, sequence, messageId } = exchange;
    const before = this.#effects.get(association);
    // The end of a lifetime, or an operator: the record keeps the exchange that it had.
    if (before?.exchange === exchange) return;
    const row = this.#opened.get(association);
    if (row !== record.row)
      this.#violated(3, `${record.name} was changed on association ${association}, of row ${row}`);
    if (before !== undefined && sequence <= before.exchange.sequence!) {
      this.#violated(
        5,
        `record ${sequence} of association ${association} took effect after ${before.exchange.sequence}`,
      );
    }
    const { now } = this.#server.parts.clock;
    const again = before?.recent.some(recent => recent.messageId === messageId && now - recent.at < exchangeLifetime);
    if (again === true) this.#violated(4, `message ${messageId} of ${record.name} took effect twice`);
    const recent = [...(before?.recent ?? []), { messageId, at: now }].slice(-remembered);
    this.#effects.put(association, { exchange, recent });
  }

  /** 3 and 4, counted: nobody's record was changed more often than the device with its key asked for. */
  #effectsWereAsked(): void {
    for (const device of this.#devices) {
      const row = this.#row(device.name);
      if (row === undefined) continue;
      const { registered, updated, deregistered, sent } = this.#log.effectsOn(row);
      const { register, update, deregister, send } = device.asked;
      if (registered > register) this.#violated(4, `${device.name} registered ${registered} times, asked ${register}`);
      if (updated > update) this.#violated(4, `${device.name} updated ${updated} times, asked ${update}`);
      if (sent > send) this.#violated(4, `${device.name} sent ${sent} times, asked ${send}`);
      if (deregistered > deregister)
        this.#violated(4, `${device.name} left ${deregistered} times, asked ${deregister}`);
    }
  }

  #locationOf({ row, generation }: DeviceRecord, rules: FleetRules): string {
    const known = this.#locations.get(row);
    if (known?.generation === generation) return known.location;
    const location = `/rd/${rules.registrationId(row, generation)}`;
    this.#locations.set(row, { generation, location });
    return location;
  }

  #row(name: string): Row | undefined {
    const known = this.#rowOf.get(name);
    if (known !== undefined) return known;
    const row = this.#disk.names.get(`\0${name}`)?.row;
    if (row !== undefined) this.#rowOf.set(name, row);
    return row;
  }
}

/** Throws. */
export type Violated = (invariant: number, what: string) => never;

interface Effects {
  /** The newest one that took effect. */
  readonly exchange: LastExchange;
  /** Message IDs that took effect, and when. */
  readonly recent: readonly { readonly messageId: number; readonly at: Milliseconds }[];
}

/** In milliseconds. */
const noticeWithin = 500;
const exchangeLifetime = 247_000;
/** A device asks one thing at a time: what may come back within EXCHANGE_LIFETIME is among its last few. */
const remembered = 4;
