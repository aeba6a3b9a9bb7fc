/** A bar on a terminal's stderr; nothing if it is none, so that logs and pipes stay clean. */
export function progressBar(label: string, total: number): ProgressBar {
  const stream = process.stderr;
  if (!stream.isTTY) return { at() {}, end() {} };
  let shown = 0;
  const draw = (done: number, note: string): void => {
    const share = total === 0 ? 1 : Math.min(1, done / total);
    const filled = Math.round(share * width);
    stream.write(`\r${label} [${'#'.repeat(filled)}${' '.repeat(width - filled)}] ${done}/${total} ${note}\x1b[K`);
  };
  return {
    at(done, note = '') {
      const now = performance.now();
      if (now - shown < redrawMilliseconds && done < total) return;
      shown = now;
      draw(done, note);
    },
    end: () => void stream.write('\n'),
  };
}

/** A bar for each step of something long, one after the other. */
export function stepProgress(): StepProgress {
  let bar: ProgressBar | undefined;
  let current: string | undefined;
  const end = (): void => {
    bar?.end();
    bar = undefined;
  };
  return {
    at(step, done, of) {
      if (step !== current) end();
      current = step;
      bar ??= progressBar(step.padEnd(labelWidth), of);
      bar.at(done);
    },
    end,
  };
}

export interface StepProgress {
  readonly at: (step: string, done: number, of: number) => void;
  readonly end: () => void;
}

export interface ProgressBar {
  at(done: number, note?: string): void;
  end(): void;
}

const width = 30;
const labelWidth = 8;
const redrawMilliseconds = 100;
