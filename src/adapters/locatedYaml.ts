import { isMap, LineCounter, parseDocument } from 'yaml';
import { OperatorError } from './operatorError.ts';

/** What a file says, and where it says it. */
export interface LocatedDocument {
  readonly value: unknown;
  /** `file:line:column` of the value at a JSON pointer (RFC 6901), or of what is nearest above it. */
  readonly whereIs: (pointer: string) => string;
}

/** Reads YAML, or JSON, which is YAML too. Throws `OperatorError` with line and column of what is wrong. */
export function parseLocated(text: string, origin: string): LocatedDocument {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, stringKeys: true });
  const at = (offset: number | undefined) => {
    const { line, col } = lines.linePos(offset ?? 0);
    return `${origin}:${line}:${col}`;
  };
  const [broken] = document.errors;
  if (broken !== undefined) throw new OperatorError(`${at(broken.pos[0])}: ${broken.message.split('\n')[0]}`);
  const whereIs = (pointer: string) => {
    const keys = pointer.split('/').slice(1).map(unescapedKey);
    for (; keys.length > 0; keys.pop()) {
      const node = document.getIn(keys, true) as { range?: [number, number, number] } | undefined;
      if (node?.range !== undefined) return at(node.range[0]);
    }
    return at(isMap(document.contents) ? document.contents.range?.[0] : 0);
  };
  try {
    return { value: document.toJS({ maxAliasCount: 0 }), whereIs };
  } catch {
    // A few of them can stand for gigabytes.
    throw new OperatorError(`${at(0)}: aliases are not allowed here`);
  }
}

/** A key as JSON Pointer spells it (RFC 6901 §4). */
export function unescapedKey(key: string): string {
  return key.replaceAll('~1', '/').replaceAll('~0', '~');
}
