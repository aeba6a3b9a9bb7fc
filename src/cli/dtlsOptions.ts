import { type Command, InvalidArgumentError, Option } from 'commander';
import { OperatorError } from '../adapters/operatorError.ts';
import { days, type Milliseconds } from '../base/time.ts';
import { allCipherSuites, type CipherSuite, cbcSuites, cipherSuites } from '../dtls/codec/cipherSuite.ts';
import { type DtlsLimits, defaultLimits } from '../dtls/settings.ts';
import { dtlsLimits, duration, type LimitOptions } from './limitOptions.ts';

/** Which suites the server speaks, and for how long a session may be resumed; docs/dtls.md explains both. */
export function withDtlsOptions(command: Command): Command {
  const within = `${(defaultLimits.resumptionLifetime / days(1)) * 24}h`;
  return command
    .addOption(
      new Option('--suites <list>', 'cipher suites, most wanted first, separated by commas').argParser(parseSuites),
    )
    .option('--cbc', 'CBC suites too, last and with encrypt-then-MAC only', false)
    .addOption(
      new Option('--resume-within <duration>', 'for how long a session may be resumed, or off')
        .default(within)
        .argParser(parseWithin),
    );
}

/** Fails if CBC is named and not allowed: nobody has it without having said so. */
export function dtlsSettings({ suites, cbc, resumeWithin, ...limits }: DtlsOptions & LimitOptions): DtlsSettings {
  const refused = cbc ? undefined : suites?.find(suite => cbcSuites.includes(suite));
  if (refused !== undefined) throw new OperatorError(`${refused.name} needs --cbc: docs/dtls.md says why`);
  const within = parseWithin(resumeWithin);
  return {
    suites: suites ?? (cbc ? allCipherSuites : cipherSuites),
    resumption: within !== 'off',
    limits: { ...dtlsLimits(limits), ...(within !== 'off' && { resumptionLifetime: within }) },
  };
}

export interface DtlsSettings {
  readonly suites: readonly CipherSuite[];
  readonly resumption: boolean;
  readonly limits: Partial<DtlsLimits>;
}

/** As commander hands them over. */
export interface DtlsOptions {
  readonly suites?: readonly CipherSuite[];
  readonly cbc: boolean;
  readonly resumeWithin: Milliseconds | string;
}

function parseSuites(text: string): readonly CipherSuite[] {
  const suites = text.split(',').map(part => {
    const name = part.trim().toUpperCase();
    const suite = allCipherSuites.find(known => known.name === name);
    if (suite !== undefined) return suite;
    throw new InvalidArgumentError(`no suite ${name === '' ? 'without a name' : name}: there are ${allNames}`);
  });
  const twice = suites.find((suite, i) => suites.indexOf(suite) !== i);
  if (twice !== undefined) throw new InvalidArgumentError(`${twice.name} is named twice`);
  return suites;
}

function parseWithin(text: Milliseconds | string): Milliseconds | 'off' {
  return text === 'off' ? text : duration(text);
}

const allNames = allCipherSuites.map(({ name }) => name).join(', ');
