import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { observationBytes } from '../../tools/bench/deviceModel.ts';

t.test('20,000 observations that go on after a restart would fill the memory', async t => {
  const data = await mkdtemp(join(tmpdir(), 'rollcall-model-'));
  t.teardown(() => rm(data, { recursive: true, force: true }));
  const bytes = await observationBytes(data, 20_000);
  t.ok(bytes > 30 && bytes <= 300, `${bytes} bytes each`);
});
