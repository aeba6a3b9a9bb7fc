/**
 * How far something long has come, on stderr: one line that is written over on a terminal, and a line each half minute
 * where there is none, so that a log tells too whether it goes on.
 */
export function showProgress(line: string): void {
  if (process.stderr.isTTY) return void process.stderr.write(`\r${line.slice(0, 100)}\x1b[K`);
  const now = performance.now();
  if (now < shown + everyMilliseconds) return;
  shown = now;
  console.error(line);
}

/** What is printed next begins on a line of its own. */
export function clearProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
}

let shown = performance.now();
const everyMilliseconds = 30_000;
