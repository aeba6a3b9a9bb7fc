import { readFile, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { compileFromFile } from 'json-schema-to-typescript';
import { commandsOf, rollcallProgram } from '../src/cli/program.ts';
import { codeText } from '../src/coap/codec/code.ts';
import { allCipherSuites, cipherSuites } from '../src/dtls/codec/cipherSuite.ts';
import { limits } from '../src/server/limits.ts';
import { type Answer, answers } from '../src/service/answer.ts';

/**
 * Writes what is made from the files in `schemas/`, types and the index of object definitions, and what the docs take
 * from the code: the tables of answers, of cipher suites and of limits, the help of the commands. With `--check` it writes nothing and fails if a committed file differs from what would be written.
 */
const generated: readonly { readonly from: string; readonly into: string; make: () => Promise<string> }[] = [
  types('schemas/registration.schema.json', 'src/lwm2m/registrationMap.generated.ts'),
  types('schemas/profile.schema.json', 'src/fleet/profileFile.generated.ts'),
  types('schemas/lwm2mObject.schema.json', 'src/lwm2m/objectJson.generated.ts'),
  { from: 'schemas/lwm2m/*.json', into: 'src/lwm2m/objects.generated.ts', make: objectIndex },
  { from: 'src/service/answer.ts', into: 'docs/answers.md', make: answersPage },
  { from: 'src/dtls/codec/cipherSuite.ts', into: 'docs/dtls.md', make: dtlsPage },
  { from: 'src/server/limits.ts', into: 'docs/limits.md', make: limitsPage },
  { from: 'the commands in src/cli', into: 'docs/cli.md', make: commandLinePage },
];

const check = process.argv.includes('--check');
let drifted = false;
for (const { from, into, make } of generated) {
  const wanted = await make();
  if (!check) {
    await writeFile(into, wanted);
    console.log(`${into} written`);
    continue;
  }
  const committed = await readFile(into, 'utf8').catch(() => '');
  if (committed === wanted) continue;
  drifted = true;
  console.error(`${into} does not match ${from}: run "npm run generate" and commit the result`);
}
process.exitCode = drifted ? 1 : 0;

function types(from: string, into: string) {
  const options = { bannerComment: banner(from), style: { singleQuote: true, printWidth: 120 } };
  return { from, into, make: () => compileFromFile(from, options) };
}

/** One line an object: what it is found by, and its definition as a text, to be parsed when somebody needs it. */
async function objectIndex(): Promise<string> {
  const lines: string[] = [];
  for (const part of ['oma', 'ext', 'x']) {
    const objects = JSON.parse(await readFile(`schemas/lwm2m/${part}.json`, 'utf8')) as {
      id: number;
      version: string;
      name: string;
    }[];
    for (const object of objects) {
      lines.push(
        `  [${object.id}, ${quoted(object.version)}, ${quoted(object.name)}, ${quoted(JSON.stringify(object))}],`,
      );
    }
  }
  return `${banner('schemas/lwm2m/*.json')}
// Facts of the OMA LwM2M object registry (BSD-3-Clause): schemas/lwm2m/README.md.

export const registeredObjects: readonly (readonly [id: number, version: string, name: string, json: string])[] = [
${lines.join('\n')}
];
`;
}

/** The page with its table written anew. */
async function answersPage(): Promise<string> {
  const rows = Object.entries<Answer>(answers).map(([word, { code, lwm2mCode, sentence }]) => {
    const lwm2m = lwm2mCode === undefined ? '' : `${codeText(lwm2mCode)} `;
    return `| \`${word}\` | ${codeText(code)} | ${lwm2m}| ${sentence} |\n`;
  });
  return withTable('docs/answers.md', rows);
}

async function dtlsPage(): Promise<string> {
  const rows = allCipherSuites.map(suite => {
    const number = `0x${suite.id.toString(16).padStart(4, '0')}`;
    const isOn = cipherSuites.includes(suite) ? 'yes' : 'no';
    const isSecret = suite.keyExchange === 'ecdhe-psk' ? 'yes' : 'no';
    return `| ${number} | \`${suite.name}\` | ${isOn} | ${isSecret} | ${suite.document} |\n`;
  });
  return withTable('docs/dtls.md', rows);
}

async function limitsPage(): Promise<string> {
  const rows = limits.map(({ name, standard, option, bites, counter }) => {
    const written = option === undefined ? '' : `\`${option}\``;
    return `| \`${name}\` | ${standard} | ${written} | ${bites} | \`${counter}\` |\n`;
  });
  return withTable('docs/limits.md', rows);
}

/** A page with the rows of its first table written anew. */
async function withTable(path: string, rows: readonly string[]): Promise<string> {
  const page = await readFile(path, 'utf8');
  return page.replace(/(?<=^\|(?:---\|)+\n)(?:\|.*\n)*/m, rows.join(''));
}

/** The page with the help of every command that has none under it, by name, as a terminal of 80 columns shows it. */
async function commandLinePage(): Promise<string> {
  const parts = commandsOf(rollcallProgram())
    .filter(command => command.commands.length === 0)
    .map(command => `### ${fullName(command)}\n\n\`\`\`\n${help(command)}\n\`\`\`\n`)
    .sort();
  const page = await readFile('docs/cli.md', 'utf8');
  return page.replace(
    /(?<=<!-- commands: written by "npm run generate" -->\n).*(?=<!-- end of commands -->)/s,
    () => `\n${parts.join('\n')}\n`,
  );
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}

function help(command: Command): string {
  let text = '';
  const writeOut = (part: string): void => {
    text += part;
  };
  command.configureOutput({ writeOut, getOutHelpWidth: () => 80, getOutHasColors: () => false }).outputHelp();
  return text.trimEnd();
}

function banner(source: string): string {
  return `// Generated from ${source} by "npm run generate". Do not edit.`;
}

function quoted(text: string): string {
  return `'${text.replace(/['\\]/g, '\\$&')}'`;
}
