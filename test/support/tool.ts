import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Runs one of the programs in `tools/` and resolves with what it printed and how it ended. */
export function runTool(tool: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const path = fileURLToPath(new URL(`../../tools/${tool}.js`, import.meta.url));
  return new Promise(resolve => {
    execFile(process.execPath, [path, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
    });
  });
}
