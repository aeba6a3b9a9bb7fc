import { pino } from 'pino';
import { openDataDirectory } from '../../src/adapters/dataDirectory.ts';
import { LmdbStore } from '../../src/adapters/lmdbStore.ts';
import { BlockPermutation } from '../../src/adapters/registrationIds.ts';
import { systemNow } from '../../src/adapters/systemClock.ts';
import { SystemRandom } from '../../src/adapters/systemRandom.ts';
import type { Bytes } from '../../src/base/bytes.ts';
import type { Remote } from '../../src/base/peer.ts';
import { CoapEndpoint } from '../../src/coap/endpoint.ts';
import type { FleetRules } from '../../src/fleet/registration.ts';
import { RegistrationIds } from '../../src/fleet/registrationId.ts';
import { AddressProof } from '../../src/server/addressProof.ts';
import { Datapath } from '../../src/server/datapath.ts';
import { maxPlainPeers, PlainPeers } from '../../src/server/plainPeers.ts';
import { createReport } from '../../src/server/report.ts';
import { Service } from '../../src/service/service.ts';

/** The server's machines and its store in this process: datagrams of plain CoAP in, answers out, and no sockets. */
export class Road {
  readonly store: LmdbStore;
  readonly rules: FleetRules;
  readonly #datapath: Datapath;
  #timer: NodeJS.Timeout | undefined;
  #answered: (answer: Bytes) => void = () => undefined;

  private constructor(store: LmdbStore, service: Service) {
    const random = new SystemRandom();
    this.store = store;
    this.rules = service.rules;
    const coap: CoapEndpoint = new CoapEndpoint({
      random,
      sequenceOf: () => undefined,
      addresses: {
        isProved: (peer, echo) => this.#datapath.isProved(peer, echo),
        challenge: () => this.#datapath.challenge(),
      },
    });
    this.#datapath = new Datapath({
      coap,
      dtls: undefined,
      service,
      store,
      report: createReport(pino({ level: 'silent' })),
      plain: new PlainPeers(maxPlainPeers, 1),
      proof: new AddressProof(random),
      now: systemNow,
      sendDtls: () => undefined,
      sendPlain: (_, datagram) => this.#answered(datagram),
      arm: at => {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#datapath.expire(), Math.max(1, at - performance.now()));
      },
    });
  }

  /** On a data directory that is there, and that no server uses. */
  static async open(data: string): Promise<Road> {
    const { environment, keyring } = await openDataDirectory(data, false);
    const store = await LmdbStore.open(environment, keyring, error => {
      throw error;
    });
    const { outages } = await store.started(systemNow().wall);
    const ids = new RegistrationIds(new BlockPermutation(keyring.registrationIds));
    return new Road(store, new Service({ ids, insecureCoap: true, openLookup: true, outages }));
  }

  /** Hands in datagrams at once, each with where it came from; resolves with the answers when all are there. */
  exchange(datagrams: readonly { readonly bytes: Bytes; readonly from: Remote }[]): Promise<Bytes[]> {
    return new Promise(resolve => {
      const answers: Bytes[] = [];
      this.#answered = answer => {
        answers.push(answer);
        if (answers.length === datagrams.length) resolve(answers);
      };
      for (const { bytes, from } of datagrams) this.#datapath.receivePlain(from, bytes);
    });
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.store.close();
  }
}
