import { Command } from 'commander';
import { type FailedHandshakes, readFailedHandshakes } from '../adapters/handshakeLog.ts';
import { handshakeFaults } from '../dtls/fault.ts';
import { type CommonOptions, examples, identityText, wholeNumber, withCommonOptions } from './options.ts';
import { fail, printPages } from './output.ts';
import { withStore } from './store.ts';

export function handshakesCommand(): Command {
  return withCommonOptions(new Command('handshakes'))
    .description('Why devices fail to connect: the last failed DTLS handshakes, newest first, folded by identity')
    .option('--limit <count>', 'at most so many', wholeNumber)
    .addHelpText(
      'after',
      `${examples(
        'rollcall handshakes',
        `rollcall handshakes --json | jq '.[] | select(.reason == "wrong-key") | .identity'`,
      )}
Every reason, and what to do about it, stands in docs/handshakes.md.
`,
    )
    .action((options: HandshakesOptions) => list(options).catch(fail));
}

async function list({ data, json, limit }: HandshakesOptions): Promise<void> {
  await withStore(data, async (_administration, environment) => {
    const views = readFailedHandshakes(environment).slice(0, limit).map(viewOf);
    await printPages([views], json, columns);
  });
}

function viewOf({ fault, identity, address, port, detail, times, first, last }: FailedHandshakes) {
  return {
    last: new Date(last).toISOString(),
    first: new Date(first).toISOString(),
    times,
    // Absent if the client did not get so far as to say it.
    ...(identity === undefined ? {} : { identity: identityText(identity) }),
    address,
    port,
    reason: fault,
    explanation: detail === undefined ? handshakeFaults[fault] : `${handshakeFaults[fault]}: ${detail}`,
  };
}

type View = ReturnType<typeof viewOf>;

const columns: Record<string, (view: View) => string> = {
  LAST: view => view.last,
  TIMES: view => String(view.times),
  IDENTITY: view => view.identity ?? '',
  ADDRESS: view => (view.address.includes(':') ? `[${view.address}]:${view.port}` : `${view.address}:${view.port}`),
  REASON: view => view.explanation,
};

interface HandshakesOptions extends CommonOptions {
  readonly limit?: number;
}
