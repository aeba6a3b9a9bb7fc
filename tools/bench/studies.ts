import { measureExpiry } from './expiry.ts';
import { measureHandshakes } from './handshakes.ts';
import { measureHerd } from './herd.ts';
import { measureLookup } from './lookup.ts';
import { measureSoak } from './soak.ts';
import { studyOf } from './standing.ts';
import { measureStore } from './store.ts';
import type { Study } from './study.ts';

/** What is measured otherwise than by doing one thing many times. */
export const studies: Readonly<Record<string, Study>> = {
  restart: {
    does: 'the server starts again with --sessions live sessions, and no device handshakes',
    run: studyOf('sessions', 'readyMs', 'readyCpuMs', 'updatedWithoutHandshake', 'handshakes'),
  },
  memory: {
    does: 'anonymous memory of a silent device that is registered and has a session, after a restart',
    run: studyOf('sessions', 'rssAnonBytes', 'emptyRssAnonBytes', 'rssAnonBytesPerDevice', 'handshakes'),
  },
  store: {
    does: 'registrations from the datagram to the durable answer without sockets, in groups of --in-flight',
    run: measureStore,
  },
  lookup: {
    does: 'the first page of lookups among --devices (a million), and how large their store is',
    run: measureLookup,
  },
  expiry: {
    does: 'how long registrations take while --devices (10000) lifetimes end in one second',
    run: measureExpiry,
  },
  suites: {
    does: "what each kind of handshake costs the server's DTLS, without sockets and store",
    run: measureHandshakes,
  },
  herd: {
    does: 'goodput while four times as many devices come back as can be served, at least 80 % of the peak; --count (4000) to find it',
    run: measureHerd,
  },
  soak: {
    does: 'whether memory grows over --count (ten million) requests: at most 5 % between the second tenth and the last',
    run: measureSoak,
  },
};
