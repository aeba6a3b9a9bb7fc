import type { Fleet } from './fleet.ts';
import { rows, summarise } from './summary.ts';

/** The fleet as it is now, drawn over itself once a second on a terminal's stderr; nothing if it is none. */
export function liveView(fleet: Fleet, devices: number, secure: boolean): { end(): void } {
  const stream = process.stderr;
  if (!stream.isTTY) return { end() {} };
  const start = performance.now();
  let lines = 0;
  let before = { at: start, answered: 0 };
  const draw = () => {
    const now = performance.now();
    const { answers } = fleet.figures;
    const answered = answers.register.count + answers.update.count + answers.send.count;
    const rate = Math.round(((answered - before.answered) * 1000) / Math.max(1, now - before.at));
    before = { at: now, answered };
    const text = [
      ['now', `${rate} answers a second`],
      ...rows(summarise(fleet, devices, (now - start) / 1000, secure)),
    ].map(([name, value]) => `${name!.padEnd(12)}${value}`);
    stream.write(`${lines > 0 ? `\x1b[${lines}A` : ''}${text.map(line => `${line}\x1b[K\n`).join('')}\x1b[J`);
    lines = text.length;
  };
  const timer = setInterval(draw, 1000);
  return {
    end() {
      clearInterval(timer);
      if (lines > 0) stream.write(`\x1b[${lines}A\x1b[J`);
    },
  };
}
