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

export interface Mutation {
  readonly guard: string;
  /** In `dist/src`, where the text stands exactly once. */
  readonly file: string;
  readonly find: string;
  readonly put: string;
  readonly nondeterministic?: boolean;
}
