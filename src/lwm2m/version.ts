import type { EnablerVersion } from './registrationRequest.ts';

/** `1.10` is minor ten, not one: versions are pairs. `undefined` if the text is no version. */
export function parseVersion(text: string): EnablerVersion | undefined {
  const match = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/.exec(text);
  if (match === null) return undefined;
  const version = [Number(match[1]), Number(match[2])] as const;
  return version[0] <= maxPart && version[1] <= maxPart ? version : undefined;
}

export function formatVersion([major, minor]: EnablerVersion): string {
  return `${major}.${minor}`;
}

export function isAtLeast([major, minor]: EnablerVersion, [otherMajor, otherMinor]: EnablerVersion): boolean {
  return major > otherMajor || (major === otherMajor && minor >= otherMinor);
}

export function isSameVersion(a: EnablerVersion | undefined, b: EnablerVersion | undefined): boolean {
  return a?.[0] === b?.[0] && a?.[1] === b?.[1];
}

/** The enabler versions we speak: 1.0 to 1.2. Clients step down only when they hear 4.12. */
export function isSupported([major, minor]: EnablerVersion): boolean {
  return major === 1 && minor <= 2;
}

/** What the one byte of the registration map holds. */
const maxPart = 255;
