import t from 'tap';
import { fromHex } from '../../../src/base/bytes.ts';
import type { Peer } from '../../../src/base/peer.ts';
import type { WallTime } from '../../../src/base/time.ts';
import { decodeAllocation } from '../../../src/fleet/allocation.ts';
import type { Principal } from '../../../src/fleet/credential.ts';
import type { DeviceRecord, Registration } from '../../../src/fleet/device.ts';
import type { CredentialId, EndpointName, RegistrationId, Row } from '../../../src/fleet/names.ts';
import { downtimeCredit, outagesAtStart } from '../../../src/fleet/outage.ts';
import { noProfiles, ProfileSet } from '../../../src/fleet/profile.ts';
import type { ProfileFile } from '../../../src/fleet/profileFile.generated.ts';
import {
  type Contact,
  type Decision,
  deregister,
  effectiveExpiry,
  expire,
  type FleetRules,
  forget,
  mayChange,
  outOfOrder,
  reapply,
  register,
  removalTime,
  repeatedExchange,
  update,
} from '../../../src/fleet/registration.ts';
import { isRefusal } from '../../../src/lwm2m/refusal.ts';
import {
  emptyDescription,
  type RegistrationRequest,
  type UpdateRequest,
} from '../../../src/lwm2m/registrationRequest.ts';

const start = 1_700_000_000_000 as WallTime;
const name = 'node-1' as EndpointName;
const row = 1 as Row;
const anonymous: Principal = { kind: 'anonymous' };
const psk = (credential: number): Principal => ({ kind: 'psk', credential: credential as CredentialId, row });
const after = (seconds: number) => (start + seconds * 1000) as WallTime;

const rules: FleetRules = {
  grace: 93_000,
  outages: [],
  profiles: noProfiles,
  registrationId: (of, generation) => `${of}.${generation}` as RegistrationId,
};

t.test('a registration makes a record with everything it said, one event, and nothing else', async t => {
  const { record, commit } = registered();
  t.match(record, {
    row: 1,
    generation: 0,
    version: 1,
    name: 'node-1',
    registration: {
      owner: 7,
      dialect: 'lwm2m',
      version: [1, 1],
      lifetime: 300,
      expires: start + 300_000,
      binding: 'U',
      queueMode: false,
      transport: 'coaps',
      address: '192.0.2.1',
      port: 5683,
      registeredAt: start,
      lastContact: start,
    },
    lastExchange: {
      association: 3,
      sequence: 10,
      messageId: 100,
      digest: fromHex('0011223344556677')!,
      answer: 'created',
    },
  });
  t.match(commit, {
    devices: [{ expected: 0, record }],
    events: [
      { type: 'registered', at: start, row: 1, name: 'node-1', registrationId: '1.0', details: { lifetime: 300 } },
    ],
  });
  t.equal(commit.events.length, 1);
});

t.test('what was not said has the default of its dialect', async t => {
  for (const [dialect, lifetime] of [
    ['lwm2m', 86_400],
    ['cbor', 86_400],
    ['rd', 90_000],
  ] as const) {
    const { record } = registered({}, { dialect, lifetime: undefined, binding: undefined });
    t.match(record.registration, { lifetime, binding: 'U' }, dialect);
  }
  const endless = registered({}, { lifetime: 0 }).record;
  t.equal(endless.registration?.expires, undefined, 'a lifetime of 0 never ends');
  t.equal(removalTime(rules, endless.registration), undefined);
});

t.test('registering again keeps the location and replaces everything else', async t => {
  const first = registered().record;
  const again = registered({ messageId: 101, sequence: 11, wall: after(60), port: 9 }, { lifetime: 60 }, first);
  t.match(again.record, { row: 1, generation: 0, version: 2 });
  t.match(again.record.registration, { lifetime: 60, registeredAt: after(60), port: 9 });
  t.match(again.commit.devices, [{ expected: 1 }]);
  t.match(again.commit.events, [{ registrationId: '1.0', details: { again: true } }]);
});

t.test('an update restarts the lifetime, says where the device is, and leaves the rest', async t => {
  const first = registered().record;
  const { record, commit } = updated(first, { wall: after(100), port: 7777, sequence: 11, messageId: 101 });
  t.match(record.registration, { lifetime: 300, expires: after(400), lastContact: after(100), port: 7777 });
  t.match(record.registration, { registeredAt: start, owner: 7, binding: 'U' });
  t.match(commit.events, [{ type: 'updated', details: { address: '192.0.2.1', port: 7777 } }]);
  t.match(record, { version: 2, generation: 0, lastExchange: { answer: 'changed', sequence: 11 } });
  const longer = updated(record, { wall: after(150) }, { lifetime: 1000 }).record;
  t.match(longer.registration, { lifetime: 1000, expires: after(1150) });
});

t.test('an update would be told of with what it did not say', async t => {
  const first = registered().record;
  const told = (from: Partial<Contact>, parts?: Partial<UpdateRequest>) =>
    updated(first, from, parts).commit.events.map(({ details }) => details);
  const objects = [{ id: 3, version: undefined, instances: [0] }];
  t.strictSame(told({}), [undefined]);
  t.strictSame(told({ address: '198.51.100.9' }), [{ address: '198.51.100.9', port: 5683 }]);
  t.strictSame(told({ port: 7777 }), [{ address: '192.0.2.1', port: 7777 }]);
  t.strictSame(told({}, { lifetime: 60 }), [{ lifetime: 60 }]);
  t.strictSame(told({}, { description: { objects } }), [{ objects: true }]);
  t.strictSame(told({}, { description: { base: 'coap://a.example.com' } }), [undefined]);
});

t.test(
  'a changed profile gives a registered device anew what it is due, and nothing to one that it would refuse',
  async t => {
    const first = withRegistration(registered().record);
    const of = (file: Partial<ProfileFile>): FleetRules => ({
      ...rules,
      profiles: new ProfileSet([{ file: { name: 'default', ...file }, metadataFault: () => undefined }]),
    });
    const again = reapply(of({ queue: { limit: 3 } }), after(5), first, []) as Decision;
    t.match(decodeAllocation(again.record.registration!.allocation), { profile: 'default', queue: { limit: 3 } });
    t.match(again.commit.events, [{ type: 'allocated', at: after(5), details: { profile: 'default' } }]);
    t.match(
      again.record,
      { version: 2, registration: { lastContact: start, lifetime: 300 } },
      'the device said nothing',
    );
    t.match(reapply(of({ objects: { required: [9999] } }), after(5), first, []), { reason: 'profile-object-missing' });
    t.equal(reapply(rules, after(5), forget(rules, start, first)!.record, []), undefined, 'nor to one that is gone');
  },
);

t.test('after a removal the old location meets nothing, and the next registration has another one', async t => {
  const first = registered().record;
  const ways: readonly [string, DeviceRecord][] = [
    ['deregistered', deregister(rules, contact({ sequence: 11 }), withRegistration(first)).record],
    ['expired', expire(rules, after(400), first)!.record],
    ['forgotten', forget(rules, after(1), first)!.record],
  ];
  for (const [how, gone] of ways) {
    t.match(gone, { registration: undefined, generation: 1, version: 2, name: 'node-1', row: 1 }, how);
    const next = registered({ sequence: 20, messageId: 200, wall: after(500) }, {}, gone).record;
    t.match(next, { generation: 1, version: 3, row: 1 });
    t.not(rules.registrationId(next.row, next.generation), rules.registrationId(first.row, first.generation), how);
  }
  const { commit } = deregister(rules, contact({ sequence: 11 }), withRegistration(first));
  t.match(commit.events, [{ type: 'deregistered', registrationId: '1.0' }], 'the event names the id that ended');
  t.equal(forget(rules, start, ways[0]![1]), undefined, 'what is gone is not forgotten twice');
});

t.test('a lifetime ends, grace is left, and an update within it revives the registration', async t => {
  const { record } = registered();
  t.equal(effectiveExpiry(rules, record.registration), after(300));
  t.equal(removalTime(rules, record.registration), after(393));
  t.equal(expire(rules, after(392.999), record), undefined);
  t.equal(expire(rules, after(393), record)?.record.registration, undefined);
  const revived = updated(record, { wall: after(350), sequence: 11 }).record;
  t.equal(expire(rules, after(393), revived), undefined, 'an update within the grace period revives it');
  t.equal(expire(rules, after(350 + 393), revived)?.commit.events[0]?.type, 'expired');
});

t.test('without the downtime credit a start would expire the fleet that could not report', async t => {
  const { record } = registered();
  const outage = { from: after(100), to: after(1100) };
  const later = { ...rules, outages: [outage] };
  t.equal(expire(later, after(1100), record), undefined, 'at the start everybody is there');
  t.equal(effectiveExpiry(later, record.registration), after(1300));
  t.equal(expire(later, after(1392), record), undefined);
  t.ok(expire(later, after(1393), record));
  const heard = updated(record, { wall: after(1200), sequence: 11 }).record;
  t.equal(effectiveExpiry(later, heard.registration), after(1500), 'who was heard since has no credit');
});

t.test('an outage counts from the last contact on, and all of them count', async t => {
  const outages = [
    { from: after(0), to: after(10) },
    { from: after(20), to: after(25) },
  ];
  t.equal(downtimeCredit(outages, after(-5)), 15_000);
  t.equal(downtimeCredit(outages, after(4)), 11_000);
  t.equal(downtimeCredit(outages, after(10)), 5000);
  t.equal(downtimeCredit(outages, after(25)), 0);
});

t.test('a start adds the time since the server was last known to run, and forgets the oldest', async t => {
  const before = Array.from({ length: 64 }, (_, n) => ({ from: after(10 * n), to: after(10 * n + 5) }));
  const now = { from: after(1000), to: after(1100) };
  t.strictSame(outagesAtStart([], undefined, now.to), [], 'the first start');
  t.strictSame(outagesAtStart(before.slice(1), now.from, now.to), [...before.slice(1), now]);
  t.strictSame(outagesAtStart(before, now.from, now.to), [...before.slice(1), now]);
  for (const alive of [now.to, after(1200)]) {
    t.strictSame(outagesAtStart(before, alive, now.to), before, 'none if the clock was set back');
  }
});

t.test('without the stored exchange a request that comes again after a crash would be done twice', async t => {
  const first = registered().record;
  const again = register(rules, contact(), request(), name, undefined, row, first, []);
  t.match(again, { kind: 'repeated', answer: 'created', record: first });
  t.match(repeatedExchange(first, contact()), { kind: 'repeated' });
  for (const [what, other] of [
    ['another message ID', { messageId: 101 }],
    ['the message ID used again for something else', { digest: fromHex('8899aabbccddeeff')! }],
    ['another association', { association: 4 as Peer }],
  ] as const) {
    t.equal(repeatedExchange(first, contact(other)), undefined, what);
  }
  const plain = registered({ association: undefined, sequence: undefined, principal: anonymous }).record;
  t.ok(
    repeatedExchange(plain, contact({ association: undefined })),
    'on plain CoAP the address stands for the session',
  );
  t.equal(repeatedExchange(plain, contact({ association: undefined, port: 1 })), undefined);
  t.equal(repeatedExchange(undefined, contact()), undefined);
});

t.test('without the sequence check a delayed removal would end the newer registration', async t => {
  const newer = registered({ sequence: 50 }).record;
  t.match(outOfOrder(newer, contact({ sequence: 49, messageId: 1 })), { reason: 'out-of-order' });
  t.match(outOfOrder(newer, contact({ sequence: 50, messageId: 1 })), { reason: 'out-of-order' });
  t.equal(outOfOrder(newer, contact({ sequence: 51 })), undefined);
  t.equal(outOfOrder(newer, contact({ sequence: 1, association: 4 as Peer })), undefined, 'a new session counts anew');
  t.equal(outOfOrder(newer, contact({ sequence: undefined, association: undefined })), undefined);
  const late = register(rules, contact({ sequence: 49, messageId: 1 }), request(), name, undefined, row, newer, []);
  t.match(late, { kind: 'refusal', reason: 'out-of-order' });
});

t.test('only the credential that registered may change a registration, whatever its identity is called', async t => {
  const { registration } = withRegistration(registered().record);
  t.ok(mayChange(registration, contact()));
  t.ok(mayChange(registration, contact({ address: '198.51.100.9', port: 1 })), 'from anywhere');
  t.notOk(mayChange(registration, contact({ principal: psk(8) })));
  t.notOk(mayChange(registration, contact({ principal: anonymous })), 'nor whoever is at its address');
  const open = withRegistration(registered({ principal: anonymous }).record).registration;
  t.ok(mayChange(open, contact({ principal: anonymous })));
  t.ok(mayChange(open, contact({ principal: anonymous, port: 1 })), 'network address translation changes the port');
  t.notOk(mayChange(open, contact({ principal: anonymous, address: '198.51.100.9' })));
  t.notOk(mayChange(open, contact({ principal: psk(7) })));
});

function contact(parts: Partial<Contact> = {}): Contact {
  return {
    wall: start,
    principal: psk(7),
    transport: 'coaps',
    address: '192.0.2.1',
    port: 5683,
    association: 3 as Peer,
    sequence: 10,
    messageId: 100,
    digest: fromHex('0011223344556677')!,
    ...parts,
  };
}

function request(parts: Partial<RegistrationRequest> = {}): RegistrationRequest {
  return {
    dialect: 'lwm2m',
    endpoint: undefined,
    sector: undefined,
    lifetime: 300,
    version: [1, 1],
    binding: undefined,
    queueMode: false,
    sms: undefined,
    description: emptyDescription,
    ...parts,
  };
}

function registered(
  from: Partial<Contact> = {},
  parts: Partial<RegistrationRequest> = {},
  before?: DeviceRecord,
): Decision {
  return decision(register(rules, contact(from), request(parts), name, undefined, row, before, []));
}

function updated(before: DeviceRecord, from: Partial<Contact>, parts: Partial<UpdateRequest> = {}): Decision {
  const nothing = { lifetime: undefined, binding: undefined, queueMode: undefined, sms: undefined };
  const wanted = { ...nothing, description: undefined, ...parts };
  return decision(update(rules, contact(from), wanted, withRegistration(before), []));
}

function decision(outcome: ReturnType<typeof register>): Decision {
  if (isRefusal(outcome) || outcome.kind !== 'change') throw new Error(`no change: ${JSON.stringify(outcome)}`);
  return outcome;
}

function withRegistration(record: DeviceRecord): DeviceRecord & { readonly registration: Registration } {
  if (record.registration === undefined) throw new Error('not registered');
  return { ...record, registration: record.registration };
}
