import type { SeededRandom } from '../../src/base/random.ts';
import { days, type Milliseconds, seconds } from '../../src/base/time.ts';
import { randomFor } from './randomFor.ts';
import type { Management } from './simDevice.ts';
import { measured } from './simResources.ts';
import type { CommandKind } from './wishes.ts';
import { World } from './world.ts';

/**
 * Worlds whose options come from their seed: every fault is there or not, weak or strong, drawn from a source of its
 * own, so that what is left out when a failing world is made smaller changes nothing else.
 */
export interface SwarmOptions {
  readonly seed: number;
  /** Instead of what the seed says. */
  readonly devices?: number | undefined;
  readonly minutes?: number | undefined;
  /** Faults to leave out. */
  readonly without?: readonly string[] | undefined;
}

/** The world of a seed, before anything has happened in it. */
export function swarmWorld(options: SwarmOptions): { world: World; end: Milliseconds } {
  const { seed, without = [] } = options;
  const basics = randomFor(seed, 'basics');
  const drawnDevices = 1 + basics.below(basics.fraction() < 0.2 ? 60 : 12);
  // From a minute to a day, and the world lasts for some of them: what is rare takes time, and what is frequent does not.
  const lifetime = Math.round(60 * 1440 ** basics.fraction());
  const drawnMinutes = 5 + Math.round((lifetime / 60) * 30 * basics.fraction());
  const devices = options.devices ?? drawnDevices;
  const end = seconds(60) * (options.minutes ?? drawnMinutes);
  const present = (fault: Fault): SeededRandom | undefined => {
    const random = randomFor(seed, fault);
    return random.fraction() < 0.5 && !without.includes(fault) ? random : undefined;
  };
  const chance = (fault: Fault, most: number): number => {
    const random = present(fault);
    return random === undefined ? 0 : most * random.fraction() ** 2;
  };
  const smallTables = present('small-tables');
  const observations = present('observations');
  const isManaged = (['observations', 'operators', 'commands', 'desired', 'wishes'] as const).some(
    fault => present(fault) !== undefined,
  );
  const world = new World({
    seed,
    replay: replayCommand(options),
    profile: observations && profileOf(observations, lifetime),
    network: {
      latency: 1 + basics.below(300),
      jitter: chance('jitter', 10_000),
      loss: chance('loss', 0.5),
      duplicate: chance('duplicate', 0.5),
      corrupt: chance('corrupt', 0.2),
      truncate: chance('truncate', 0.2),
      replay: chance('replay', 0.3),
      replayWithin: seconds(600),
      mtu: present('mtu') === undefined ? 0 : 1280,
    },
    disk: {
      write: 0.1,
      flush: 2 + chance('slow-disk', 20_000),
      writeFails: chance('write-fails', 0.5),
      flushFails: chance('flush-fails', 0.5),
      conflicts: chance('conflicts', 0.5),
    },
    limits: {
      dtls: {
        maxAssociations: smallTables ? Math.max(2, Math.ceil(devices * smallTables.fraction())) : 256,
        maxHandshakesPerNetwork: 64 + devices,
        maxHandshakes: smallTables ? Math.max(2, Math.ceil(devices * smallTables.fraction())) : 256,
        writeMarkStep: present('small-marks') === undefined ? 1000 : 4,
        idleTimeout: present('short-idle') === undefined ? days(3) : seconds(2 * lifetime),
        maxAge: present('short-age') === undefined ? days(30) : seconds(3 * lifetime),
      },
      resumption: present('resumption') !== undefined,
      coap: { maxExchanges: smallTables ? Math.max(2, 2 * devices) : 4096 },
    },
  });
  const ids = basics.fraction();
  world.server().devices(devices, {
    within: seconds(60) * basics.fraction(),
    lifetime,
    ...(ids < 0.3 ? {} : { cid: new Uint8Array(ids < 0.8 ? 0 : 4) }),
    sleepy: chance('sleepy', 1),
    restless: chance('restless', 0.5),
    keepsSession: present('keeps-session') !== undefined,
    links: basics.below(4) === 0 ? basics.below(100) : 0,
    ...(isManaged ? { manages: managementOf(randomFor(seed, 'management'), present, end) } : {}),
  });
  happen(world, end, present);
  return { world, end };
}

/** Devices whose values are wanted move them as often in a long world as in a short one. */
function managementOf(
  random: SeededRandom,
  present: (fault: Fault) => SeededRandom | undefined,
  end: Milliseconds,
): Management {
  const queueMode = present('queue-mode');
  return {
    ...(queueMode === undefined ? {} : { awake: 5 + queueMode.below(90) }),
    measures: Math.max(200, end / (10 + random.below(100))),
    forgetful: present('forgetful') !== undefined,
    confirmable: random.fraction() < 0.5,
    sends: random.fraction() < 0.5 ? 0 : random.fraction() / 2,
    lingers: seconds(5 + random.below(60)),
  };
}

function profileOf(random: SeededRandom, lifetime: number): string {
  // Silence is noticed after twice as long, and before a world has ended.
  const pmax = Math.ceil(lifetime / 20) + random.below(Math.ceil(lifetime / 4));
  return `{name: default, observe: [{path: ${measured}, pmin: ${random.below(10)}, pmax: ${pmax}}]}`;
}

/** Lives through the world of a seed, to the end and beyond. Throws `Violation`. */
export function live(options: SwarmOptions): World {
  const { world, end } = swarmWorld(options);
  return world.runUntil(end).check();
}

export function replayCommand({ seed, devices, minutes, without = [] }: SwarmOptions): string {
  const flags = [
    devices === undefined ? '' : ` --devices ${devices}`,
    minutes === undefined ? '' : ` --length ${minutes}`,
    without.length === 0 ? '' : ` --without ${without.join(',')}`,
  ];
  return `npm run seeds -- --seed ${seed}${flags.join('')}`;
}

function happen(world: World, end: Milliseconds, present: (fault: Fault) => SeededRandom | undefined): void {
  const times = (fault: Fault, most: number, happens: (at: Milliseconds, random: SeededRandom) => void): void => {
    const random = present(fault);
    if (random === undefined) return;
    const count = 1 + random.below(most);
    for (let n = 0; n < count; n++) happens(random.fraction() * end, random);
  };
  const downtime = (random: SeededRandom) => seconds(300) * random.fraction() ** 4;
  times('crash', 10, (at, random) => world.at(at, 'crash', downtime(random)));
  times('kill', 10, (at, random) => world.at(at, 'kill', downtime(random)));
  times('die-within', 10, (at, random) => world.at(at, 'dieWithin', 1 + random.below(8), downtime(random)));
  times('power-cut', 3, (at, random) => world.at(at, 'powerCut', downtime(random)));
  times('rebind', 10, (at, random) => world.at(at, 'rebind', random.fraction()));
  times('partition', 3, (at, random) =>
    world.at(at, 'partition', random.fraction()).at(at + seconds(600) * random.fraction(), 'heal'),
  );
  times('full-disk', 3, (at, random) =>
    world.at(at, 'fillDisk').at(at + seconds(600) * random.fraction() ** 2, 'freeDisk'),
  );
  times('clock-step', 4, (at, random) => world.at(at, 'stepWall', seconds(2000) * (random.fraction() - 0.5)));
  times('rotate', 6, (at, random) => world.at(at, 'rotate', random.below(1000)));
  times('forget', 6, (at, random) => world.at(at, 'forget', random.below(1000)));
  times('strangers', 1, (at, random) =>
    world.at(at, 'addStrangers', 1 + random.below(3), Math.max(100, end / (100 + random.below(1000)))),
  );
  times('thieves', 1, (at, random) => world.at(at, 'addThieves', 1 + random.below(2), end / (20 + random.below(100))));
  times('operators', 1, (at, random) =>
    world.at(at, 'addOperators', 1 + random.below(3), seconds(60) * (1 + random.below(20))),
  );
  times('commands', 40, (at, random) => {
    const kind = commandKinds[random.below(commandKinds.length)]!;
    const patience = seconds(1) * 86_400 ** random.fraction();
    const index = random.below(1000);
    world.at(at, 'command', index, kind, patience);
    if (random.fraction() < 0.1) world.at(at + seconds(600) * random.fraction() ** 4, 'cancelCommand', index);
  });
  times('desired', 20, (at, random) => {
    const index = random.below(1000);
    world.at(at, 'desire', index, random.fraction() < 0.8);
    // And now and then at once something else.
    if (random.fraction() < 0.3) {
      const soon = at + seconds(10) * random.fraction() ** 2;
      world.at(soon, 'desire', index, false).at(soon + seconds(1) * random.fraction(), 'desire', index, true);
    }
  });
  times('wishes', 10, (at, random) => {
    const index = random.below(1000);
    world.at(at, 'observe', index, true);
    if (random.fraction() < 0.5) world.at(at + seconds(600) * random.fraction() ** 2, 'observe', index, false);
  });
  times('impostors', 1, (at, random) =>
    world.at(at, 'addImpostors', 1 + random.below(4), { longestPause: seconds(60) + end / 100 }),
  );
}

const commandKinds: readonly CommandKind[] = ['read', 'write', 'update', 'execute'];

export const faults = [
  'jitter',
  'loss',
  'duplicate',
  'corrupt',
  'truncate',
  'replay',
  'mtu',
  'slow-disk',
  'write-fails',
  'flush-fails',
  'conflicts',
  'small-tables',
  'small-marks',
  'short-idle',
  'short-age',
  'sleepy',
  'restless',
  'resumption',
  'keeps-session',
  'crash',
  'kill',
  'die-within',
  'power-cut',
  'rebind',
  'partition',
  'full-disk',
  'clock-step',
  'rotate',
  'forget',
  'strangers',
  'impostors',
  'thieves',
  'observations',
  'operators',
  'commands',
  'desired',
  'wishes',
  'queue-mode',
  'forgetful',
] as const;

export type Fault = (typeof faults)[number];
