import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

/**
 * Whether a program of others is there. If not, the test says so loudly; in CI that is a failure, and not a skip, unless
 * it is a program that CI does without.
 */
export async function isInstalled(
  t: Test,
  program: string,
  packages: string,
  required = process.env.ROLLCALL_REQUIRE_PEERS === '1',
): Promise<boolean> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const found = await access(join(folder, program)).then(
      () => true,
      () => false,
    );
    if (found) return true;
  }
  const missing = `${program} is not installed (Debian: ${packages})`;
  if (required) t.fail(missing);
  else t.pass(missing, { skip: missing });
  return false;
}

/** Runs one of the programs in `tools/` and resolves with what it printed and how it ended. */
export function runTool(tool: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const path = fileURLToPath(new URL(`../../tools/${tool}.js`, import.meta.url));
  return new Promise(resolve => {
    execFile(process.execPath, [path, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
    });
  });
}
