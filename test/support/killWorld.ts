import { openDataDirectory } from '../../src/adapters/dataDirectory.ts';
import { readDevices } from '../../src/adapters/lmdbView.ts';
import { BlockPermutation } from '../../src/adapters/registrationIds.ts';
import { toHex, utf8 } from '../../src/base/bytes.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { Method } from '../../src/coap/codec/code.ts';
import { LocationPath, Options, UriPath, UriQuery } from '../../src/coap/codec/option.ts';
import { defaultTransmission } from '../../src/coap/transmission.ts';
import { ContentType, decodeRecord, recordLength } from '../../src/dtls/codec/record.ts';
import type { Row } from '../../src/fleet/names.ts';
import { RegistrationIds } from '../../src/fleet/registrationId.ts';
import { addCredentials, simulatedDevice } from '../../tools/load/fleet.ts';
import { LoadFailure, UdpDevice } from '../../tools/load/udpDevice.ts';
import { PlainClient, pause } from './plainClient.ts';
import { TestServer, targetOf } from './server.ts';
import { UdpProxy } from './udpProxy.ts';

/**
 * A server that is killed again and again under load, and whoever remembers what it promised: devices on plain CoAP that
 * register, update and leave, and devices on DTLS that update in one session for ever. Between the latter and the server
 * is a network that keeps every record, looks at its nonces, and repeats old ones after each start.
 */
export class KillWorld {
  readonly totals = { kills: 0, acknowledged: 0, updates: 0, resent: 0, replayed: 0, records: 0 };
  readonly #server: TestServer;
  readonly #secured: readonly SecuredDevice[];
  readonly #random: SeededRandom;
  readonly #lanes: number;
  readonly #known = new Map<string, Known>();

  private constructor(server: TestServer, secured: readonly SecuredDevice[], lanes: number, seed: number) {
    this.#server = server;
    this.#secured = secured;
    this.#lanes = lanes;
    this.#random = new SeededRandom(seed);
  }

  static async open({ seed, lanes, secured }: KillOptions): Promise<KillWorld> {
    const server = await TestServer.start('--insecure-coap');
    const devices = Array.from({ length: secured }, (_, n) => simulatedDevice('secured', n));
    await addCredentials(server.data, devices);
    const connected = await Promise.all(devices.map(device => SecuredDevice.open(server.coaps, device)));
    return new KillWorld(server, connected, lanes, seed);
  }

  /** Load, a kill at any moment of it, a look at the disk, a start, replays, and everybody goes on. Returns what is wrong. */
  async round(): Promise<string[]> {
    const round = ++this.totals.kills;
    const sockets: (() => void)[] = [];
    const client = await PlainClient.open({ teardown: close => void sockets.push(close) }, this.#server.coap);
    const running = { until: false };
    const plain = Array.from({ length: this.#lanes }, (_, lane) => this.#run(client, `${round}-${lane}`, running));
    // Some are silent, so that whatever changes of them afterwards was changed by a replay.
    const silent = this.#secured.filter((_, n) => (n + round) % 3 === 0);
    const busy = this.#secured.filter(device => !silent.includes(device));
    const updating = busy.map(device => device.updateUntil(running));
    await pause(this.#random.below(330));
    await this.#server.end('SIGKILL');
    running.until = true;
    const left = (await Promise.all(plain)).filter(request => request !== undefined);

    const complaints = await this.#compareWithDisk();
    await this.#server.restart('--insecure-coap', '--coap', this.#server.coap, '--coaps', this.#server.coaps);
    if (this.#server.sessions !== this.#secured.length) {
      complaints.push(`${this.#server.sessions} of ${this.#secured.length} sessions go on`);
    }
    complaints.push(...(await this.#replay(silent)));

    // What was under way comes again with its message ID, as a client sends it that has heard nothing.
    for (const { name, messageId } of left) {
      client.request({ messageId, options: registerOptions(name, lifetimeOf(name)) });
      if ((await client.answer(messageId)) !== '2.01') complaints.push(`${name} is not registered when it asks again`);
      this.#known.set(name, { location: locationOf(client, messageId), lifetime: lifetimeOf(name) });
      this.totals.resent++;
    }
    for (const device of busy) device.arriveLate();
    const all = Promise.all([...updating, ...silent.map(device => device.update())]);
    if ((await Promise.race([all, pause(patienceMilliseconds)])) === undefined) {
      complaints.push('not all sessions go on half a minute after the start');
    }
    for (const device of this.#secured) complaints.push(...device.complaints());
    for (const close of sockets) close();
    this.totals.acknowledged = this.#known.size;
    this.totals.updates = sum(this.#secured.map(({ updates }) => updates));
    this.totals.records = sum(this.#secured.map(({ nonces }) => nonces));
    return complaints.map(complaint => `kill ${round}: ${complaint}`);
  }

  async close(): Promise<void> {
    for (const device of this.#secured) await device.vanish();
    await this.#server.remove();
  }

  /** Registers names one after the other, and updates or removes some; returns the registration that was under way. */
  async #run(client: PlainClient, lane: string, running: Running): Promise<Unanswered | undefined> {
    const known = this.#known;
    for (let n = 0; !running.until; n++) {
      const name = `node-${lane}-${n}`;
      const lifetime = lifetimeOf(name);
      const messageId = client.request({ options: registerOptions(name, lifetime) });
      if (!(await acknowledges(client, messageId, '2.01', running))) return { name, messageId };
      const location = locationOf(client, messageId);
      known.set(name, { location, lifetime });
      const path = Options.empty.with(UriPath, 'rd').with(UriPath, location);
      if (n % 3 === 1) {
        // Until it is answered either state is right.
        known.delete(name);
        const id = client.request({ options: path.with(UriQuery, 'lt=7777') });
        if (!(await acknowledges(client, id, '2.04', running))) return undefined;
        known.set(name, { location, lifetime: 7777 });
      }
      if (n % 3 === 2) {
        known.delete(name);
        const id = client.request({ code: Method.DELETE, options: path });
        if (!(await acknowledges(client, id, '2.02', running))) return undefined;
        known.set(name, 'gone');
      }
    }
    return undefined;
  }

  async #compareWithDisk(): Promise<string[]> {
    const { found, records, contacts } = await onDisk(this.#server.data);
    const lost = [...this.#known].filter(([name, state]) => !agrees(found.get(name), state)).map(([name]) => name);
    const complaints = lost.slice(0, 3).map(name => `${name} is not as it was acknowledged, one of ${lost.length}`);
    if (found.size !== records) complaints.push(`${found.size} names have ${records} records`);
    for (const device of this.#secured) {
      const { name, acknowledgedAt } = device;
      const contact = contacts.get(name) ?? 0;
      if (contact >= acknowledgedAt) continue;
      const times = `asked for at ${acknowledgedAt}, heard last at ${contact}`;
      complaints.push(`an update of ${name} was acknowledged, and is not there: ${times}, ${device.lastWords()}`);
    }
    return complaints;
  }

  /**
   * Old records of devices that are silent at the moment, their newest among them. One that had no effect, as a
   * retransmission has none, may be taken for new after a kill; then it has none again.
   */
  async #replay(silent: readonly SecuredDevice[]): Promise<string[]> {
    const before = (await onDisk(this.#server.data)).versions;
    for (const device of silent) this.totals.replayed += device.replay(this.#random);
    await pause(replayMilliseconds);
    const after = (await onDisk(this.#server.data)).versions;
    return silent
      .filter(({ name }) => after.get(name) !== before.get(name))
      .map(device => `a replayed record of ${device.name} took effect: ${device.lastWords()}`);
  }
}

/** A device in one session, seen from the network on its way. */
class SecuredDevice {
  readonly name: string;
  /** How many updates were acknowledged. */
  updates = 0;
  /** When the newest update that was acknowledged was asked for, in milliseconds since 1970. */
  acknowledgedAt = 0;
  readonly #device: UdpDevice;
  readonly #proxy: UdpProxy;
  readonly #handshake: number;
  readonly #nonces = new Map<string, string>();
  readonly #failures: string[] = [];
  #looked = 0;

  private constructor(name: string, device: UdpDevice, proxy: UdpProxy) {
    this.name = name;
    this.#device = device;
    this.#proxy = proxy;
    this.#handshake = proxy.fromClient.length;
  }

  static async open(server: string, simulated: ReturnType<typeof simulatedDevice>): Promise<SecuredDevice> {
    const { name, identity, key, registration } = simulated;
    const proxy = await UdpProxy.open(targetOf(server));
    // A start may take long on a busy machine, and nobody may give up meanwhile.
    const transmission = { ...defaultTransmission, maxRetransmit: 8 };
    const device = await UdpDevice.open(proxy.address, { identity: utf8(identity), key }, { transmission });
    await device.connect();
    const secured = new SecuredDevice(name, device, proxy);
    await device.register(registration);
    return secured;
  }

  get nonces(): number {
    return this.#nonces.size;
  }

  async update(): Promise<boolean> {
    const at = Date.now();
    try {
      await this.#device.update();
    } catch (error) {
      if (!(error instanceof LoadFailure)) throw error;
      this.#failures.push(`${this.name}: ${error.message}, ${this.lastWords()}`);
      return false;
    }
    this.acknowledgedAt = at;
    this.updates++;
    return true;
  }

  async updateUntil(running: Running): Promise<void> {
    while (!running.until && (await this.update()));
  }

  /** What passed last, for whoever wants to know why. */
  lastWords(): string {
    return this.#proxy.passed
      .slice(-12)
      .map(({ from, datagram, at }) => {
        const record = decodeRecord(datagram, 0);
        return `${from} ${record?.epoch}.${record?.sequence} at ${at}`;
      })
      .join(', ');
  }

  /** What was sent last comes now, if it did not before: nobody waits for the next retransmission. */
  arriveLate(): void {
    this.#proxy.send(this.#proxy.fromClient.at(-1)!);
  }

  /** Returns how many records are sent once more. */
  replay(random: SeededRandom): number {
    const sealed = this.#proxy.fromClient.slice(this.#handshake);
    const chosen = [sealed.at(-1)!, ...Array.from({ length: 4 }, () => sealed[random.below(sealed.length)]!)];
    for (const datagram of chosen) this.#proxy.send(datagram);
    return chosen.length;
  }

  /** What is wrong with the records since the last look. Under one key no nonce comes twice, and there is one key. */
  complaints(): string[] {
    const complaints = this.#failures.splice(0);
    const { fromClient, fromServer } = this.#proxy;
    const hellos = fromClient.slice(this.#handshake).filter(datagram => datagram[0] === ContentType.handshake);
    if (hellos.length > 0) complaints.push(`${this.name} handshakes again`);
    for (const datagram of fromServer.slice(this.#looked)) {
      for (const { nonce, whole } of sealedRecords(datagram)) {
        const before = this.#nonces.get(nonce);
        if (before !== undefined && before !== whole) complaints.push(`nonce ${nonce} comes twice to ${this.name}`);
        this.#nonces.set(nonce, whole);
      }
    }
    this.#looked = fromServer.length;
    return complaints;
  }

  async vanish(): Promise<void> {
    await this.#device.vanish();
    this.#proxy.close();
  }
}

/** The explicit nonce stands in front of what is sealed (RFC 6655 §3). */
function* sealedRecords(datagram: Uint8Array): Generator<{ nonce: string; whole: string }> {
  for (let at = 0; at < datagram.length; ) {
    const record = decodeRecord(datagram, at);
    if (record === undefined) return;
    if (record.epoch > 0) yield { nonce: toHex(record.fragment.subarray(0, 8)), whole: toHex(record.fragment) };
    at += recordLength(record);
  }
}

async function acknowledges(client: PlainClient, messageId: number, code: string, running: Running): Promise<boolean> {
  for (;;) {
    const answer = await client.answer(messageId, 20);
    if (answer === code) return true;
    if (answer !== undefined) throw new Error(`${answer} instead of ${code}`);
    if (running.until) return false;
  }
}

function locationOf(client: PlainClient, messageId: number): string {
  const answer = client.received.find(message => message.messageId === messageId);
  return answer?.kind === 'response' ? (answer.options.all(LocationPath)[1] ?? '') : '';
}

function registerOptions(name: string, lifetime: number): Options {
  return [`ep=${name}`, `lt=${lifetime}`, 'lwm2m=1.1'].reduce(
    (options, parameter) => options.with(UriQuery, parameter),
    Options.empty.with(UriPath, 'rd'),
  );
}

function lifetimeOf(name: string): number {
  return 1000 + name.length;
}

/** What a killed server leaves behind, by name. */
async function onDisk(data: string): Promise<OnDisk> {
  const { environment, keyring } = await openDataDirectory(data, false);
  const ids = new RegistrationIds(new BlockPermutation(keyring.registrationIds));
  const all = readDevices(environment, 1 as Row, 1_000_000);
  await environment.root.close();
  const found = new Map<string, Known>();
  const contacts = new Map<string, number>();
  const versions = new Map<string, number>();
  for (const { name, row, generation, version, registration } of all) {
    const lives = registration && { location: ids.of(row, generation), lifetime: registration.lifetime };
    found.set(name, lives ?? 'gone');
    contacts.set(name, registration?.lastContact ?? 0);
    versions.set(name, version);
  }
  return { found, records: all.length, contacts, versions };
}

function agrees(found: Known | undefined, state: Known): boolean {
  if (state === 'gone' || found === undefined || found === 'gone') return state === 'gone' && found === 'gone';
  return found.location === state.location && found.lifetime === state.lifetime;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

export interface KillOptions {
  readonly seed: number;
  /** How many devices on plain CoAP do something at once. */
  readonly lanes: number;
  /** How many devices have a DTLS session. */
  readonly secured: number;
}

type Known = { readonly location: string; readonly lifetime: number } | 'gone';

interface Unanswered {
  readonly name: string;
  readonly messageId: number;
}

interface Running {
  until: boolean;
}

interface OnDisk {
  readonly found: ReadonlyMap<string, Known>;
  readonly records: number;
  /** When each was heard last, in milliseconds since 1970. */
  readonly contacts: ReadonlyMap<string, number>;
  /** Raised with every write. */
  readonly versions: ReadonlyMap<string, number>;
}

const patienceMilliseconds = 30_000;
/** The effect of a replay would be durable long before. */
const replayMilliseconds = 150;
