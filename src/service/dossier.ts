import { type Bytes, sameBytes } from '../base/bytes.ts';
import { FifoMap } from '../base/fifoMap.ts';
import { type Allocation, decodeAllocation } from '../fleet/allocation.ts';
import { decodeDescription } from '../fleet/description.ts';
import type { Row } from '../fleet/names.ts';
import type { Registered } from '../fleet/registration.ts';
import type { Definitions, ResourceTypes } from '../lwm2m/definitions.ts';
import type { EnablerVersion } from '../lwm2m/registrationRequest.ts';

/** What is needed to talk with a device about its resources, decoded from its record. */
export interface Dossier {
  /** The path that all its objects stand under. */
  readonly root: string;
  /** The Content-Formats it says it can produce. */
  readonly formats: readonly number[];
  /** The definitions of its objects, in the versions that it registered. */
  readonly types: ResourceTypes;
  readonly allocation: Allocation;
  versionOf(object: number): EnablerVersion | undefined;
}

/**
 * Decoding a record's description costs more than storing a notification, and a record changes rarely: so the dossiers
 * of the devices that were heard last are kept. Bounded: what was made first goes first.
 */
export class Dossiers {
  readonly #definitions: Definitions;
  readonly #kept = new FifoMap<Row, Kept>();

  constructor(definitions: Definitions) {
    this.#definitions = definitions;
  }

  of({ row, registration: { description, allocation } }: Registered): Dossier {
    const kept = this.#kept.get(row);
    if (kept !== undefined && sameBytes(kept.description, description) && sameBytes(kept.allocation, allocation)) {
      return kept.dossier;
    }
    const dossier = this.#read(description, allocation);
    this.#kept.set(row, { description: description.slice(), allocation: allocation.slice(), dossier });
    if (this.#kept.size > capacity) this.#kept.delete(this.#kept.oldestKey()!);
    return dossier;
  }

  forget(row: Row): void {
    this.#kept.delete(row);
  }

  #read(description: Bytes, allocation: Bytes): Dossier {
    const { root, contentFormats, objects } = decodeDescription(description);
    return {
      root,
      formats: contentFormats,
      types: this.#definitions.forObjects(objects),
      allocation: decodeAllocation(allocation),
      versionOf: object => objects.find(({ id }) => id === object)?.version,
    };
  }
}

interface Kept {
  readonly description: Bytes;
  readonly allocation: Bytes;
  readonly dossier: Dossier;
}

const capacity = 4096;
