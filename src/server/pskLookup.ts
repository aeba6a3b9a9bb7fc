import type { Bytes } from '../base/bytes.ts';
import type { PskPort } from '../dtls/psk.ts';
import { type Credential, noRow } from '../fleet/credential.ts';
import type { Store } from '../fleet/store.ts';

/** The keys of the credentials that are in force, for the handshake. */
export function pskLookup(store: Store, onError: (error: unknown) => void): PskPort {
  return {
    find(identity) {
      const credential = credentialOf(identity);
      if (credential === undefined || credential.revokedAt !== undefined) return undefined;
      // Whoever asks for the rights of an operator shows a session that was made with such a key, also after a restart.
      const row = credential.role === 'operator' ? noRow : credential.row;
      return { key: credential.key, owner: { row, credential: credential.id } };
    },
    isRevoked: identity => credentialOf(identity)?.revokedAt !== undefined,
  };

  /** A key that was sealed under another master key opens nothing; it is no reason to end the server. */
  function credentialOf(identity: Bytes): Credential | undefined {
    try {
      return store.view().credential(identity);
    } catch (error) {
      onError(error);
      return undefined;
    }
  }
}
