import { utf8 } from '../base/bytes.ts';
import { ContentFormats } from '../coap/codec/contentFormat.ts';
import type { Operation } from '../fleet/command.ts';
import { type ContentFault, contentFault, isContentFault } from '../lwm2m/content/fault.ts';
import { encodeContent, encodePaths } from '../lwm2m/content/select.ts';
import { valueFromText } from '../lwm2m/content/text.ts';
import { isValuePath, objectOf, type Path, pathIds } from '../lwm2m/path.ts';
import type { Dossier } from './dossier.ts';
import { compositeFormat, preferredFormat } from './operations.ts';

/** Operations as an operator words them, encoded as this device understands them. */

export function readOperation(paths: readonly Path[], { formats }: Dossier): Operation | ContentFault {
  if (paths.length === 1) return { kind: 'read', paths, accept: preferredFormat(formats) };
  const format = compositeFormat(formats);
  const payload = encodePaths(format, paths);
  if (isContentFault(payload)) return payload;
  return { kind: 'read-composite', paths, contentFormat: format, accept: format, payload };
}

/** One value, written as a text. `update` leaves the other instances of the resource as they are. */
export function writeOperation(path: Path, text: string, update: boolean, dossier: Dossier): Operation | ContentFault {
  const object = objectOf(path);
  if (!isValuePath(path) || object === undefined) return contentFault('wrong-path', `${path} holds no single value`);
  const definition = dossier.types.resource(object, undefined, pathIds(path)[2]!);
  const value = valueFromText(definition?.type ?? 'string', text);
  if (value === undefined) return contentFault('wrong-type', `${path} is of type ${definition?.type ?? 'string'}`);
  // Every client of 1.0 reads TLV; those of 1.1 and later say what they read.
  const contentFormat = preferredFormat(dossier.formats) ?? ContentFormats.lwm2mTlv;
  const payload = encodeContent(contentFormat, path, [{ path, value }], dossier.types, dossier.versionOf(object));
  if (isContentFault(payload)) return payload;
  return { kind: update ? 'update' : 'write', paths: [path], contentFormat, payload };
}

/** Arguments as LwM2M has them: `0='a',1` (LwM2M Core 1.2 §6.3.6). */
export function executeOperation(path: Path, args: string | undefined): Operation {
  if (args === undefined) return { kind: 'execute', paths: [path] };
  return { kind: 'execute', paths: [path], contentFormat: ContentFormats.text, payload: utf8(args) };
}
