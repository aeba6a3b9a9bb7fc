/** Makes a `switch` over a closed set complete: a case that was forgotten does not compile. */
export function assertNever(value: never): never {
  throw new Error(`a case without its branch: ${JSON.stringify(value)}`);
}
