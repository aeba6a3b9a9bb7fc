import { readFile, writeFile } from 'node:fs/promises';
import { compileFromFile } from 'json-schema-to-typescript';

/**
 * Writes the types that belong to the files in `schemas/`. With `--check` it writes nothing and fails if a committed
 * file differs from what would be written.
 */
const generated = [{ schema: 'schemas/registration.schema.json', types: 'src/lwm2m/registrationMap.generated.ts' }];

const check = process.argv.includes('--check');
let drifted = false;
for (const { schema, types } of generated) {
  const wanted = await compileFromFile(schema, {
    bannerComment: `// Generated from ${schema} by "npm run generate". Do not edit.`,
    style: { singleQuote: true, printWidth: 120 },
  });
  if (!check) {
    await writeFile(types, wanted);
    console.log(`${types} written`);
    continue;
  }
  const committed = await readFile(types, 'utf8').catch(() => '');
  if (committed === wanted) continue;
  drifted = true;
  console.error(`${types} does not match ${schema}: run "npm run generate" and commit the result`);
}
process.exitCode = drifted ? 1 : 0;
