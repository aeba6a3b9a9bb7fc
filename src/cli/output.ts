import { once } from 'node:events';
import { OperatorError, UsageError } from '../adapters/operatorError.ts';

/** One JSON document on stdout. */
export function printJson(value: unknown): void {
  process.stdout.write(`${printable(JSON.stringify(value))}\n`);
}

/** Rows with aligned columns. */
export function printTable(table: readonly (readonly string[])[]): void {
  const rows = table.map(row => row.map(printable));
  const widths = widen([], rows);
  process.stdout.write(rows.map(row => aligned(row, widths)).join(''));
}

/**
 * A long list, a page at a time: one JSON array, or a table whose columns are as wide as its widest page so far. Waits
 * for whoever reads it, so that a million lines take no memory.
 */
export async function printPages<Row>(
  pages: Iterable<readonly Row[]>,
  json: boolean,
  columns: Readonly<Record<string, (row: Row) => string>>,
): Promise<void> {
  let widths: number[] = [];
  let separator = '[';
  let heading = [Object.keys(columns)];
  for (const page of pages) {
    if (!json) {
      const rows = page.map(row => Object.values(columns).map(cell => printable(cell(row))));
      widths = await writeRows([...heading, ...rows], widths);
      heading = [];
    } else if (page.length > 0) {
      await write(separator + page.map(row => printable(JSON.stringify(row))).join(','));
      separator = ',';
    }
  }
  if (json) await write(separator === '[' ? '[]\n' : ']\n');
}

/** Control characters as JSON writes them: what devices say of themselves must not steer the terminal it is shown on. */
export function printable(text: string): string {
  return text.replace(/\p{Control}/gu, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Devices of two sectors may have one name. */
export function placedName(name: string, sector: string | undefined): string {
  return sector === undefined ? name : `${name} (${sector})`;
}

/** Says what went wrong, and a stack only for what is our own fault. */
export function fail(error: unknown): never {
  const known = error instanceof OperatorError;
  process.stderr.write(`rollcall: ${known ? error.message : error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(error instanceof UsageError ? 2 : 1);
}

async function writeRows(rows: readonly (readonly string[])[], before: readonly number[]): Promise<number[]> {
  const widths = widen(before, rows);
  await write(rows.map(row => aligned(row, widths)).join(''));
  return widths;
}

export async function write(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

function widen(widths: readonly number[], rows: readonly (readonly string[])[]): number[] {
  const wider = [...widths];
  for (const row of rows) for (const [i, cell] of row.entries()) wider[i] = Math.max(wider[i] ?? 0, cell.length);
  return wider;
}

function aligned(row: readonly string[], widths: readonly number[]): string {
  return `${row
    .map((cell, i) => cell.padEnd(widths[i]!))
    .join('  ')
    .trimEnd()}\n`;
}
