import type { Logger } from 'pino';
import { PermutedConnectionIds } from '../adapters/connectionIds.ts';
import { openDataDirectory } from '../adapters/dataDirectory.ts';
import { DirectoryLock } from '../adapters/directoryLock.ts';
import { listen } from '../adapters/doorbell.ts';
import { EventSweep } from '../adapters/eventRetention.ts';
import { HandshakeLog } from '../adapters/handshakeLog.ts';
import { KeyLogFile } from '../adapters/keyLogFile.ts';
import { profileSet, syncProfiles } from '../adapters/lmdbProfiles.ts';
import { dropSessions } from '../adapters/lmdbSessions.ts';
import { LmdbStore } from '../adapters/lmdbStore.ts';
import { readDefinitions } from '../adapters/objectFiles.ts';
import { OperatorError } from '../adapters/operatorError.ts';
import { PauseRequests } from '../adapters/pauseRequests.ts';
import { BlockPermutation } from '../adapters/registrationIds.ts';
import { checkPages } from '../adapters/storeCheck.ts';
import { isCopy, settleHere, startAnew } from '../adapters/storeCopy.ts';
import { systemNow } from '../adapters/systemClock.ts';
import { SystemRandom } from '../adapters/systemRandom.ts';
import { maxSockets, UdpListener } from '../adapters/udpListener.ts';
import type { SocketAddress } from '../adapters/udpSocket.ts';
import { type Instant, seconds } from '../base/time.ts';
import type { CipherSuite } from '../dtls/codec/cipherSuite.ts';
import { DtlsEndpoint } from '../dtls/endpoint.ts';
import { type DtlsLimits, defaultLimits } from '../dtls/settings.ts';
import { RegistrationIds } from '../fleet/registrationId.ts';
import type { Definitions } from '../lwm2m/definitions.ts';
import { Service } from '../service/service.ts';
import { AddressProof } from './addressProof.ts';
import { coapOver } from './coapOver.ts';
import { Datapath } from './datapath.ts';
import { Intake, intakeLimits } from './intake.ts';
import { LimitWatch } from './limits.ts';
import { maxPlainPeers, PlainPeers } from './plainPeers.ts';
import { pskLookup } from './pskLookup.ts';
import { recoverLifetimes } from './recovery.ts';
import { createReport, type ServerReport } from './report.ts';
import { resumptionLookup } from './resumptionLookup.ts';
import { StoredSessions } from './storedSessions.ts';

export interface ServerOptions {
  readonly data: string;
  /** Where to listen for plain CoAP and for CoAP over DTLS; `undefined` for not at all. */
  readonly coap: SocketAddress | undefined;
  readonly coaps: SocketAddress | undefined;
  readonly insecureCoap: boolean;
  /** Whether a device's credential may look up the whole fleet. */
  readonly openLookup?: boolean;
  /** A directory of profiles, read at the start. */
  readonly profiles: string | undefined;
  /** A directory of object definitions, read at the start; without it only those of the OMA registry are known. */
  readonly objects?: string | undefined;
  /** Refuses LwM2M requests with parameters that LwM2M does not know. */
  readonly strictParameters: boolean;
  /** Forgets all DTLS sessions first: needed where the directory was copied or restored. */
  readonly dropSessions: boolean;
  /** A file for the secrets of new sessions; without it, as it should be, they are written nowhere. */
  readonly keyLog?: string | undefined;
  /** Cipher suites to agree to, most wanted first. */
  readonly suites: readonly CipherSuite[];
  /** Whether sessions may be resumed. */
  readonly resumption: boolean;
  /** Instead of the standard ones. */
  readonly limits: Partial<DtlsLimits>;
  readonly log: Logger;
}

export interface RunningServer {
  readonly coap: SocketAddress | undefined;
  readonly coaps: SocketAddress | undefined;
  /** How many DTLS sessions go on from an earlier run. */
  readonly sessions: number;
  /** What the paths of devices mean. */
  readonly definitions: Definitions;
  /** Takes no more datagrams, lets everything that was decided become durable and be answered, and closes. */
  stop(): Promise<void>;
}

/** Puts the parts together and opens the sockets last, when everything behind them is ready. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { log, insecureCoap, openLookup = false, strictParameters } = options;
  const report = createReport(log, failed => handshakes.record(failed));
  const definitions = await readDefinitions(options.objects);
  // Whoever reads a store that is written to sees pages change under him: such a one is refused below, by its lock.
  if (!(await DirectoryLock.isTaken(options.data))) checkPages(options.data);
  const { environment, keyring } = await openDataDirectory(options.data, true, text =>
    log.warn({ msg: 'store', text }),
  );
  const lock = await DirectoryLock.take(options.data);
  const pauses = await PauseRequests.listen(options.data, environment.gate);
  const copied = await isCopy(environment, options.data);
  if (copied && !options.dropSessions && environment.sessions.getKeysCount({ limit: 1 }) > 0) {
    throw new OperatorError(
      `${options.data} was copied or restored, and its DTLS sessions may have gone on elsewhere: start once with --drop-sessions, and devices handshake anew`,
    );
  }
  if (copied) await startAnew(environment, systemNow().wall);
  else if (options.dropSessions) await dropSessions(environment);
  await settleHere(environment, options.data);
  const store = await LmdbStore.open(environment, keyring, error => report.broken('store', error));
  const now = systemNow();
  const { outages, firstPeer } = await store.started(now.wall);
  const ids = new RegistrationIds(new BlockPermutation(keyring.registrationIds));
  if (options.profiles !== undefined) await syncProfiles(environment, options.profiles, now.wall);
  const profiles = profileSet(environment);
  const service = new Service({ ids, insecureCoap, openLookup, strictParameters, outages, profiles, definitions });
  const random = new SystemRandom();
  const seed = () => Math.floor(random.fraction() * 2 ** 32);
  const handshakes = new HandshakeLog(environment, error => report.broken('store', error));
  const idleAt = (now.instant + (options.limits.idleTimeout ?? defaultLimits.idleTimeout)) as Instant;
  const stored = new StoredSessions(
    store,
    seed(),
    idleAt,
    session => datapath.ended(session),
    peer => datapath.overslept(peer),
  );
  const sessions = stored.size;
  const keyLog = options.keyLog === undefined ? undefined : openKeyLog(options.keyLog, log, report);
  const dtls = new DtlsEndpoint({
    random,
    firstPeer: Math.max(firstPeer, stored.highestPeer + 1),
    sleepers: stored,
    fakeKeySecret: keyring.fakeKeys,
    cids: new PermutedConnectionIds(keyring.connectionIds),
    psk: pskLookup(store, error => report.broken('credential', error)),
    suites: options.suites,
    limits: options.limits,
    keyLog,
    resumption: options.resumption ? resumptionLookup(store, new PermutedConnectionIds(keyring.sessionIds)) : undefined,
  });

  const coap = coapOver(dtls, {
    random,
    addresses: {
      isProved: (peer, echo) => datapath.isProved(peer, echo),
      challenge: () => datapath.challenge(),
    },
  });

  let stopping = false;
  let timer: NodeJS.Timeout | undefined;
  const sockets: { coap?: UdpListener; coaps?: UdpListener } = {};
  const datapath: Datapath = new Datapath({
    coap,
    dtls,
    service,
    store,
    report,
    plain: new PlainPeers(maxPlainPeers, seed()),
    proof: new AddressProof(random),
    now: systemNow,
    sendDtls: ({ socket, address, port }, datagram) =>
      sockets.coaps?.send(socket - maxSockets, datagram, address, port),
    sendPlain: ({ socket, address, port }, datagram) => sockets.coap?.send(socket, datagram, address, port),
    arm(at: Instant) {
      clearTimeout(timer);
      timer = setTimeout(() => datapath.expire(), Math.max(1, at - performance.now()));
    },
  });

  const intake = new Intake({
    limits: intakeLimits,
    receive: (remote, datagram) => datapath.receiveDtls(remote, datagram),
    commits: () => store.commits,
    defer: run => setImmediate(() => (stopping ? undefined : run())),
    clock: () => performance.now(),
  });
  const watch = new LimitWatch(
    {
      dtls: dtls.counters,
      coap: coap.counters,
      server: report.counters,
      intake: intake.counters,
      service: service.counters,
    },
    log,
  );

  if (options.coap !== undefined) {
    sockets.coap = await UdpListener.open(options.coap, (datagram, address, port, socket) =>
      stopping ? undefined : datapath.receivePlain({ socket, address, port }, datagram),
    );
  }
  if (options.coaps !== undefined) {
    sockets.coaps = await UdpListener.open(options.coaps, (datagram, address, port, socket) =>
      stopping ? undefined : intake.receive({ socket: maxSockets + socket, address, port }, datagram),
    );
  }
  // Lifetimes end even while nobody sends anything.
  datapath.restoreDevices(store.rowsWithWork());
  const nextPage = (run: () => void) => setImmediate(() => (stopping ? undefined : run()));
  recoverLifetimes(service, store, nextPage, () => datapath.expire());
  const sleep = setInterval(() => stored.expire(systemNow().instant, idleBatch), idleCheckMilliseconds);
  const lookAround = () => store.whenCalm(takeForeign);
  const takeForeign = () => {
    if (stopping) return;
    for (const event of store.foreignEvents()) {
      if (event.type === 'profile-set' || event.type === 'profile-removed')
        service.useProfiles(profileSet(environment));
      datapath.foreign(event);
    }
  };
  const bell = listen(options.data, lookAround);
  const poll = setInterval(lookAround, foreignPollMilliseconds);
  const limitWatch = setInterval(() => watch.look(), limitWatchMilliseconds);
  let sweep: EventSweep | undefined;
  let sweptAt = Number.NEGATIVE_INFINITY;
  let sweeping: Promise<void> | undefined;
  const retention = setInterval(() => {
    const { instant, wall } = systemNow();
    if (sweep === undefined && instant - sweptAt < betweenSweeps) return;
    sweep ??= new EventSweep(environment);
    sweeping = sweep.step(wall, sweepLength).then(
      removed => {
        if (removed !== undefined) return;
        sweep = undefined;
        sweptAt = systemNow().instant;
      },
      (error: unknown) => log.error({ msg: 'store', error: String(error) }),
    );
  }, sweepMilliseconds);
  const alive = setInterval(() => {
    store
      .alive(systemNow().wall, dtls.nextPeer)
      .catch((error: unknown) => log.error({ msg: 'store', error: String(error) }));
  }, aliveMilliseconds);

  return {
    coap: sockets.coap?.address,
    coaps: sockets.coaps?.address,
    sessions,
    definitions,
    async stop() {
      stopping = true;
      bell?.close();
      clearInterval(poll);
      clearInterval(retention);
      clearInterval(sleep);
      clearInterval(limitWatch);
      clearInterval(alive);
      clearTimeout(timer);
      await store.alive(systemNow().wall, dtls.nextPeer);
      await sweeping;
      await store.settled();
      clearTimeout(timer);
      await Promise.all([sockets.coap?.close(), sockets.coaps?.close()]);
      await handshakes.close();
      keyLog?.close();
      await store.close();
      await pauses.close();
      await lock.release();
      watch.look();
      log.info({
        msg: 'stopped',
        counters: report.counters,
        dtls: dtls.counters,
        coap: coap.counters,
        intake: intake.counters,
        service: service.counters,
      });
    },
  };
}

function openKeyLog(file: string, log: Logger, report: ServerReport): KeyLogFile {
  const keyLog = new KeyLogFile(file, error => report.broken('key log', error));
  log.warn({
    msg: 'DANGEROUS: key log',
    file,
    text: 'the secrets of all new sessions are written there: whoever reads it reads and forges what devices say',
  });
  return keyLog;
}

/** Events that are looked at in one turn, and how often that is: a million take a quarter of an hour. */
const sweepLength = 1000;
const sweepMilliseconds = 1000;
const betweenSweeps = seconds(3600);
/** For changes whose bell was not heard. */
const foreignPollMilliseconds = 100;
const limitWatchMilliseconds = 10_000;
const idleCheckMilliseconds = 60_000;
const idleBatch = 10_000;
const aliveMilliseconds = 30_000;
