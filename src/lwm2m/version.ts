import type { EnablerVersion } from './registrationRequest.ts';

/** `1.10` is minor ten, not one: versions are pairs. `undefined` if the text is no version. */
export function parseVersion(text: string): EnablerVersion | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})$/.exec(text);
  return match === null ? undefined : [Number(match[1]), Number(match[2])];
}

export function formatVersion([major, minor]: EnablerVersion): string {
  return `${major}.${minor}`;
}

export function isAtLeast([major, minor]: EnablerVersion, [otherMajor, otherMinor]: EnablerVersion): boolean {
  return major > otherMajor || (major === otherMajor && minor >= otherMinor);
}

/** The enabler versions we speak: 1.0 to 1.2. Clients step down only when they hear 4.12. */
export function isSupported([major, minor]: EnablerVersion): boolean {
  return major === 1 && minor <= 2;
}
