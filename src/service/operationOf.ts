import { utf8 } from '../base/bytes.ts';
import { ContentFormats } from '../coap/codec/contentFormat.ts';
import type { Operation } from '../fleet/command.ts';
import { type ContentFault, contentFault, isContentFault } from '../lwm2m/content/fault.ts';
import { encodeContent, encodePaths } from '../lwm2m/content/select.ts';
import { valueFromText } from '../lwm2m/content/text.ts';
import type { ResourceTypes } from '../lwm2m/definitions.ts';
import { isValuePath, objectOf, objectPath, type Path, pathIds, rootPath, type ValuePath } from '../lwm2m/path.ts';
import type { ObjectEntry } from '../lwm2m/registrationRequest.ts';
import type { Entry, ResourceValue } from '../lwm2m/value.ts';
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
  const entry = entryFromText(path, text, dossier.types);
  return isContentFault(entry) ? entry : writeValue(entry.path, entry.value, update, dossier);
}

/** The value of a resource that a text spells; what nobody defined is a text. */
export function entryFromText(path: Path, text: string, types: ResourceTypes): Entry | ContentFault {
  const [object, , resource] = pathIds(path);
  if (!isValuePath(path)) return contentFault('wrong-path', `${path} holds no single value`);
  const type = types.resource(object!, undefined, resource!)?.type ?? 'string';
  const value = valueFromText(type, text);
  return value === undefined ? contentFault('wrong-type', `${path} is of type ${type}`) : { path, value };
}

export function writeValue(
  path: ValuePath,
  value: ResourceValue,
  update: boolean,
  dossier: Dossier,
): Operation | ContentFault {
  // Every client of 1.0 reads TLV; those of 1.1 and later say what they read.
  const contentFormat = preferredFormat(dossier.formats) ?? ContentFormats.lwm2mTlv;
  const payload = encodeContent(
    contentFormat,
    path,
    [{ path, value }],
    dossier.types,
    dossier.versionOf(objectOf(path)!),
  );
  if (isContentFault(payload)) return payload;
  return { kind: update ? 'update' : 'write', paths: [path], contentFormat, payload };
}

/** Several values, all or nothing (LwM2M Core 1.2 §6.3.9). */
export function writeComposite(entries: readonly Entry[], dossier: Dossier): Operation | ContentFault {
  const contentFormat = compositeFormat(dossier.formats);
  const payload = encodeContent(contentFormat, rootPath, entries, dossier.types);
  if (isContentFault(payload)) return payload;
  return { kind: 'write-composite', paths: entries.map(({ path }) => path), contentFormat, payload };
}

/**
 * An instance with what is written into it at once (LwM2M Core 1.2 §6.3.7). `path` names the instance, or only the object:
 * then the device chooses one, which only TLV has a form for, and the entries stand below `instance` in its place.
 */
export function createOperation(
  path: Path,
  instance: Path,
  entries: readonly Entry[],
  dossier: Dossier,
): Operation | ContentFault {
  const object = objectOf(path)!;
  const { formats, types } = dossier;
  const chosen = path === instance;
  const kind = 'create';
  const paths = [objectPath(object)];
  if (entries.length === 0) {
    return chosen ? contentFault('wrong-path', `${path} is created with at least one RESOURCE=VALUE`) : { kind, paths };
  }
  if (!chosen && formats.length > 0 && !formats.includes(ContentFormats.lwm2mTlv)) {
    return contentFault('unknown-format', `the device does not read TLV: name the instance, as in /${object}/1`);
  }
  const contentFormat = chosen ? (preferredFormat(formats) ?? ContentFormats.lwm2mTlv) : ContentFormats.lwm2mTlv;
  const payload = encodeContent(
    contentFormat,
    chosen ? objectPath(object) : instance,
    entries,
    types,
    dossier.versionOf(object),
  );
  return isContentFault(payload) ? payload : { kind, paths, contentFormat, payload };
}

/**
 * Registration Update Trigger: of the first Server instance that the device registered, which need not be 0. Of several
 * nobody here knows which one is this server.
 */
export function triggerOperation(objects: readonly ObjectEntry[]): Operation {
  const [instance = 0] = objects.find(({ id }) => id === serverObject)?.instances ?? [];
  return executeOperation(`/${serverObject}/${instance}/8` as Path, undefined);
}

/** Arguments as LwM2M has them: `0='a',1` (LwM2M Core 1.2 §6.3.6). */
export function executeOperation(path: Path, args: string | undefined): Operation {
  if (args === undefined) return { kind: 'execute', paths: [path] };
  return { kind: 'execute', paths: [path], contentFormat: ContentFormats.text, payload: utf8(args) };
}

const serverObject = 1;
