import type { Mutation } from '../sim/mutations.ts';

/** Guards that a fuzz target stands behind, beside those of the simulated world. */
export const fuzzMutations: readonly FuzzMutation[] = [
  {
    guard: 'a duplicate is no new request',
    target: 'coap-endpoint',
    file: 'coap/messageLayer.js',
    find: "if (seen === 'new')",
    put: 'if (true)',
  },
  {
    guard: 'older news are not handed on',
    target: 'coap-endpoint',
    file: 'coap/freshness.js',
    find: 'return (ahead > 0',
    put: 'return true || (ahead > 0',
  },
  {
    guard: 'the table of exchanges takes no more than it may',
    target: 'coap-hostile',
    file: 'coap/deduplication.js',
    find: 'if (this.#size - this.#forgettable >= this.#capacity)\n            return false;',
    put: '',
  },
  {
    guard: 'a record opens once',
    target: 'dtls-endpoint',
    file: 'dtls/sessionTable.js',
    find: 'return isNew(this.#loadWindow(row), sequence);',
    put: 'return true;',
  },
  {
    guard: 'only the owner changes a registration, seen from the registry',
    target: 'fleet',
    file: 'fleet/registration.js',
    find: 'if (registration.owner !== ownerOf(contact.principal))\n        return false;',
    put: '',
  },
  {
    guard: 'a name in link-format is one',
    target: 'directory',
    file: 'service/linkDocument.js',
    find: 'links.map(printable)',
    put: 'links',
  },
  {
    guard: 'the index is not asked for what it does not have',
    target: 'where',
    file: 'fleet/terms.js',
    find: "if (name === 'ver')\n        return undefined;",
    put: '',
  },
  {
    guard: 'a bound of a length in TLV',
    target: 'tlv',
    file: 'lwm2m/content/tlv.js',
    find: 'id > 0xff ? 0x20',
    put: 'id > 0x1ff ? 0x20',
  },
  {
    guard: 'a filter of discovery looks at what a link has of its own',
    target: 'requests',
    file: 'service/wellKnown.js',
    find: 'Object.hasOwn(attributes, name) ? attributes[name] : undefined',
    put: 'attributes[name]',
  },
];

export interface FuzzMutation extends Mutation {
  readonly target: string;
}
