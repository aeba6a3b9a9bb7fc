import type { Target } from './target.ts';
import { targets as coap } from './targets/coap.ts';
import { targets as content } from './targets/content.ts';
import { targets as decodeTool } from './targets/decodeTool.ts';
import { targets as dtlsMessages } from './targets/dtlsMessages.ts';
import { targets as files } from './targets/files.ts';
import { targets as lookup } from './targets/lookup.ts';
import { targets as registration } from './targets/registration.ts';

/** Everything that takes bytes from strangers, from files, or from people. */
export const targets: readonly Target[] = [
  ...dtlsMessages,
  ...coap,
  ...content,
  ...registration,
  ...lookup,
  ...files,
  ...decodeTool,
];

export function targetNamed(name: string): Target | undefined {
  return targets.find(target => target.name === name);
}
