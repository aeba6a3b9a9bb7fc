import type { Target } from './target.ts';
import { targets as coap } from './targets/coap.ts';
import { targets as coapSequence } from './targets/coapSequence.ts';
import { targets as content } from './targets/content.ts';
import { targets as decodeTool } from './targets/decodeTool.ts';
import { targets as dtlsMessages } from './targets/dtlsMessages.ts';
import { targets as dtlsSequence } from './targets/dtlsSequence.ts';
import { targets as files } from './targets/files.ts';
import { targets as fleetSequence } from './targets/fleetSequence.ts';
import { targets as lookup } from './targets/lookup.ts';
import { targets as registration } from './targets/registration.ts';
import { targets as requests } from './targets/requests.ts';
import { targets as tables } from './targets/tables.ts';

/** Everything that takes bytes from strangers, from files, or from people. */
export const targets: readonly Target[] = [
  ...dtlsMessages,
  ...coap,
  ...content,
  ...registration,
  ...lookup,
  ...files,
  ...decodeTool,
  ...tables,
  ...coapSequence,
  ...dtlsSequence,
  ...fleetSequence,
  ...requests,
];

export function targetNamed(name: string): Target | undefined {
  return targets.find(target => target.name === name);
}
