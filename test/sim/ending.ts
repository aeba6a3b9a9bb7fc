import { days, type Milliseconds, seconds } from '../../src/base/time.ts';
import { promptDisk } from './disk.ts';
import { calmNetwork } from './network.ts';
import type { World } from './world.ts';

/**
 * How a world ends: faults cease, and within `bound` everybody with a good key is registered (10); what operators want is
 * done (12, 13), and whoever observes has heard it (14); then all go away without a word, and when their lifetimes have
 * passed nothing is left over (9).
 */
export function endOf(world: World, bound: Milliseconds = longestWait(world)): void {
  const healed = heal(world);
  world.runUntil(healed + bound);
  for (const { name, registeredAt } of world.fleet) {
    if (registeredAt === undefined || registeredAt < healed) {
      world.violated(10, `${name} is not registered after ${bound / 1000} s`);
    }
  }
  for (const device of world.fleet) device.settle();
  world.runUntil(world.clock.now + settling);
  world.lookAround();
  world.guarded(() => world.wishes.atEnd(healed));
  operatorsFollow(world);
  silence(world);
}

/** Faults cease. Returns when that is. */
function heal(world: World): Milliseconds {
  world.journal.note('faults cease');
  world.heal();
  world.freeDisk();
  world.setDisk(promptDisk);
  world.setNetwork(calmNetwork);
  world.simServer.start();
  for (const device of world.fleet) device.switchOn();
  return world.clock.now;
}

/** 14: when nothing moves any more, whoever observes has heard what he would be told if he asked. */
function operatorsFollow(world: World): void {
  for (const device of world.fleet) device.hold();
  world.runUntil(world.clock.now + seconds(15));
  for (const operator of world.operators) {
    const asked = [...operator.heard].map(([path, heard]) => ({ path, heard, again: operator.ask(path) }));
    world.runUntil(world.clock.now + seconds(5));
    for (const { path, heard, again } of asked) {
      const { answer } = again;
      if (!heard.isObserved || answer === undefined) continue;
      // A value that comes in this very moment is told right after.
      if ([heard.text, operator.heard.get(path)?.text].includes(answer.text)) continue;
      world.violated(14, `${operator.name} has heard "${heard.text}" of ${path}, where "${answer.text}" is`);
    }
  }
}

/** 9: nobody says anything any more. */
function silence(world: World): void {
  world.journal.note('everybody goes away');
  for (const device of [...world.fleet, ...world.impostors]) device.switchOff();
  for (const other of [...world.strangers, ...world.thieves, ...world.operators]) other.end();
  const { idleTimeout = days(7) } = world.simServer.limits.dtls;
  const devices = world.deviceHours;
  world.runUntil(world.clock.now + Math.max(longestWait(world), idleTimeout) + seconds(600));
  world.deviceHours = devices;
  const process = world.simServer.process!;
  const { associations, handshakes } = process.dtls.sizes();
  const left = {
    associations,
    handshakes,
    sleepers: process.sleepers,
    ...process.coap.sizes(),
    ...process.service.devices.sizes(),
    sessions: world.disk.liveSessions,
  };
  for (const [what, count] of Object.entries(left)) if (count > 0) world.violated(9, `${count} ${what} are left over`);
  if (process.dtls.nextExpiry() !== undefined) world.violated(9, 'a DTLS timer is left over');
  if (process.coap.nextExpiry() !== undefined) world.violated(9, 'a CoAP timer is left over');
  for (const { name, registration } of world.disk.devices.values()) {
    if (registration !== undefined) world.violated(9, `${name} is registered, long after its lifetime`);
  }
}

/** Until a device has noticed that nobody knows it, and has come back. */
function longestWait({ fleet }: World): Milliseconds {
  const lifetimes = fleet.map(({ lifetime, options }) => Math.max(lifetime, options.lifetime * 1.25));
  return seconds(1.2 * Math.max(60, ...lifetimes) + 1800);
}

/** For what was asked of devices that have only just come back. */
const settling: Milliseconds = seconds(300);
