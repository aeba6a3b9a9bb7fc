/** Guards of the server, each as what stands for it in the compiled code and what stands there without it. */
export const mutations: readonly Mutation[] = [
  {
    guard: 'the answer waits for the flush',
    file: 'server/decisions.js',
    find: "if (outcome.kind === 'commit') {",
    put: "if (outcome.kind === 'commit') {\n this.#answer(work, outcome.reply); return store.commit(outcome.commit, () => {});",
  },
  {
    guard: 'one row for each name',
    file: 'service/rd.js',
    find: 'row: principal.row, record };',
    put: 'row: context.allocateRow(), record: undefined };',
  },
  {
    guard: 'only the owner changes a registration',
    file: 'fleet/registration.js',
    find: 'if (registration.owner !== ownerOf(contact.principal))',
    put: 'if (false)',
  },
  {
    guard: 'a revoked credential ends its session',
    file: 'server/datapath.js',
    find: "if (event.type === 'credential-revoked'",
    put: "if (false && event.type === 'credential-revoked'",
  },
  {
    guard: 'the record recognises its last exchange',
    file: 'fleet/registration.js',
    find: 'const last = record?.lastExchange;\n    if (record === undefined || last === undefined)\n        return undefined;',
    put: 'return undefined; const last = record?.lastExchange;',
  },
  {
    guard: 'a restored session begins at its write mark',
    file: 'dtls/associations.js',
    find: 'sessions.skipToWriteMark(row);',
    put: '',
    also: [{ file: 'server/sessionForm.js', find: 'writeSequence: writeMark', put: 'writeSequence: 1' }],
  },
  {
    guard: 'no number beyond the write mark is used',
    file: 'dtls/associationSender.js',
    find: 'if (sessions.writeSequence(row) >= sessions.writeMark(row))\n            return undefined;',
    put: '',
  },
  {
    guard: 'no state before a verified cookie',
    file: 'dtls/handshakes.js',
    find: 'if (address === undefined) {',
    put: 'if (false) {',
  },
  {
    guard: 'half-open handshakes have a bound',
    file: 'dtls/handshakes.js',
    find: 'if (this.#halfOpen.isFull) {',
    put: 'if (false) {',
  },
  {
    guard: 'remembered exchanges have a bound',
    file: 'coap/deduplication.js',
    find: 'if (this.#size - this.#forgettable >= this.#capacity)\n            return false;',
    put: '',
  },
  {
    guard: 'an update from a new address says so in its event',
    file: 'fleet/registration.js',
    find: '...(moved ? { address: contact.address, port: contact.port } : {}),',
    put: '',
  },
  {
    guard: 'silence ends a session',
    file: 'dtls/associations.js',
    find: 'return row === undefined ? undefined : after(this.#sessions.heardAt(row), this.#limits.idleTimeout);',
    put: 'return undefined;',
  },
  {
    guard: 'the end of a session is stored',
    file: 'server/datapath.js',
    find: 'this.#sessions.end(credential, peer, !mayResumeAfter(reason));',
    put: '',
  },
  {
    guard: 'the end of a session is stored though the disk refuses',
    file: 'server/sessionKeeper.js',
    find: 'if (!durable)',
    put: 'if (false)',
  },
  {
    guard: 'what waits for a session ends with it',
    file: 'server/storedSessions.js',
    find: 'this.#forget(this.#nextIdle);\n            this.#overslept(peer);',
    put: 'this.#forget(this.#nextIdle);',
  },
  {
    guard: 'a command leaves once the disk knows of it',
    file: 'service/downlink.js',
    find: 'out.commit(this.#commands.changed(record, [command]), result => {',
    put: "((commit, settled) => { out.commit(commit, () => {}); settled('durable'); })(this.#commands.changed(record, [command]), result => {",
  },
  {
    guard: 'what must not be done twice is sent once',
    file: 'fleet/command.js',
    find: "if (!isRepeatable(command.operation))\n        return to(command, 'unknown-outcome', wall, fault);",
    put: '',
    also: [
      {
        file: 'fleet/command.js',
        find: 'attempts: isRepeatable(operation) ? attempts : 1,',
        put: 'attempts,',
      },
    ],
  },
  {
    guard: 'what did not leave is taken back',
    file: 'service/downlink.js',
    find: "if (result === 'failed')\n                return this.#takeBack(line, record, command, out);",
    put: "if (result === 'failed')\n                return this.#lines.putOff(line, diskDelay, out);",
  },
  {
    guard: 'a desired value is that of one registration',
    file: 'fleet/desired.js',
    find: 'return during === undefined ? since >= registeredAt : during.registeredAt === registeredAt;',
    put: 'return true;',
  },
  {
    guard: 'a version is never that of what was there before',
    file: 'fleet/version.js',
    find: 'return Math.floor(wall) * 1000;',
    put: 'return 1;',
  },
  {
    guard: 'on another association observations are made anew',
    file: 'service/downlink.js',
    find: " || (state === 'active' && current !== undefined && peer !== current)",
    put: '',
  },
  {
    guard: 'whoever observes values is told',
    file: 'service/observers.js',
    find: 'if (!observer.changed && observer.observed.showsValue(value.path))',
    put: 'if (false)',
  },
  {
    guard: 'the count of handshakes of a network has a release',
    file: 'dtls/halfOpen.js',
    find: '(this.#networks.get(network) ?? 1) - 1',
    put: '(this.#networks.get(network) ?? 1)',
  },
  {
    guard: 'randomness comes from the seed',
    file: 'dtls/serverAnswer.js',
    find: 'const serverRandom = random.bytes(32);',
    put: 'const serverRandom = crypto.getRandomValues(new Uint8Array(32));',
    nondeterministic: true,
  },
];

/** What only a real store, a real process or a single machine can show: a test is there to fail. */
export const testedMutations: readonly TestedMutation[] = [
  {
    guard: 'a session of a revoked credential is not stored',
    test: 'unit/adapters/sessions',
    file: 'adapters/lmdbSessions.js',
    find: 'return id === change.session.credential && revokedAt === undefined;',
    put: 'return true;',
  },
  {
    guard: 'a session that was replaced ends nobody else',
    test: 'unit/adapters/sessions',
    file: 'adapters/lmdbSessions.js',
    find: 'peerOf(present) > change.peer',
    put: 'false',
  },
  {
    guard: 'a copy of a store is known as one',
    test: 'crash/copies',
    file: 'adapters/storeCopy.js',
    find: 'return known !== undefined && !sameBytes(known, await homeOf(directory));',
    put: 'return false;',
  },
  {
    guard: 'no session wakes in a copy',
    test: 'unit/adapters/storeCopy',
    file: 'adapters/storeCopy.js',
    find: 'await dropSessions(environment);',
    put: '',
  },
  {
    guard: 'one server at a time has a directory',
    test: 'crash/copies',
    file: 'adapters/directoryLock.js',
    find: 'if (server !== undefined)',
    put: 'if (true)',
  },
  {
    guard: 'a mark is raised without sealing',
    test: 'unit/adapters/sessions',
    file: 'adapters/lmdbSessions.js',
    find: "change.kind === 'opened' ? encode(change.session, keyring) : undefined",
    put: 'undefined',
  },
  {
    guard: 'sealed keys open in their own place only',
    test: 'unit/adapters/sessions',
    file: 'adapters/lmdbSessions.js',
    find: 'return new Writer(8 + identity.length).u48(peer).put(identity).finish();',
    put: 'return new Uint8Array(0);',
  },
  {
    guard: 'a connection ID tells nothing',
    test: 'pair/dtlsConnectionId',
    file: 'adapters/connectionIds.js',
    find: 'return this.#permutation.forward(block).slice();',
    put: 'return new Uint8Array(block);',
    also: [
      {
        file: 'adapters/connectionIds.js',
        find: 'Buffer.from(this.#permutation.backward(cid))',
        put: 'Buffer.from(cid)',
      },
    ],
  },
  {
    guard: 'devices go before hellos',
    test: 'unit/server/intake',
    file: 'server/intake.js',
    find: 'line.push({ remote, datagram });',
    put: 'this.#parts.receive(remote, datagram);',
  },
  {
    guard: 'hellos leave the loop to others in between',
    test: 'unit/server/intake',
    file: 'server/intake.js',
    find: ' && this.#parts.clock() < until',
    put: '',
  },
  {
    guard: 'hellos wait until the socket has been read to its end',
    test: 'unit/server/intake',
    file: 'server/intake.js',
    find: 'isMoreToRead && ',
    put: 'false && ',
  },
  {
    guard: 'hellos with a cookie have a line of their own',
    test: 'unit/server/intake',
    file: 'server/intake.js',
    find: 'bringsCookie(datagram, at + helloOffset)',
    put: 'false',
  },
  {
    guard: 'what is decided again is not overtaken',
    test: 'unit/server/decisions',
    file: 'server/decisions.js',
    find: 'work.attempts > 0 && this.#isOvertaken(work, view)',
    put: 'false',
  },
  {
    guard: 'operators have a line of their own for questions',
    test: 'unit/server/waitingQuestions',
    file: 'server/waitingQuestions.js',
    find: 'isOperator ? this.#operators : this.#others',
    put: 'this.#others',
  },
  {
    guard: 'a later block is no notification',
    test: 'pair/coapObserve',
    file: 'coap/blockwise.js',
    find: 'blocked.without(Observe)',
    put: 'blocked',
  },
  {
    guard: 'the newest notification waits while one is not acknowledged',
    test: 'pair/coapObserve',
    file: 'coap/serverRole.js',
    find: 'last?.confirmable === true',
    put: 'false',
  },
];

export interface Mutation extends Replacement {
  readonly guard: string;
  /** Where a second guard stands behind the first. */
  readonly also?: readonly Replacement[];
  readonly nondeterministic?: boolean;
}

export interface TestedMutation extends Mutation {
  /** In `dist/test`, without its ending. */
  readonly test: string;
}

/** In `dist/src`, where the text stands exactly once. */
export interface Replacement {
  readonly file: string;
  readonly find: string;
  readonly put: string;
}
