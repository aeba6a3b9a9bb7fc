import { type Bytes, noBytes, textOf } from '../base/bytes.ts';
import { Method, ResponseCode } from '../coap/codec/code.ts';
import { ContentFormats } from '../coap/codec/contentFormat.ts';
import { type Reply, type Request, reply } from '../coap/codec/message.ts';
import { Accept, ContentFormat, LocationPath, Observe, Options, UriPath, UriQuery } from '../coap/codec/option.ts';
import { parseAttributes } from '../lwm2m/attributes.ts';
import { encodeDiscover } from '../lwm2m/content/discover.ts';
import { isContentFault } from '../lwm2m/content/fault.ts';
import { decodeContent, decodePaths, encodeContent, isValueFormat } from '../lwm2m/content/select.ts';
import { namesInstance } from '../lwm2m/content/tlv.ts';
import {
  containsPath,
  type InstancePath,
  isValuePath,
  levelOf,
  type Path,
  parsePath,
  pathIds,
  rootPath,
} from '../lwm2m/path.ts';
import type { Entry } from '../lwm2m/value.ts';
import type { Attributes } from './attributes.ts';
import type { DeviceObjects, ObjectRefusal } from './objects.ts';

/** What an operation ends in: an answer, and what became of it. */
export interface Operation {
  readonly reply: Reply;
  /** What changed, for whoever observes it. */
  readonly changed?: readonly Path[];
  /** What has been asked to be executed, with its arguments (LwM2M Core 1.2 §6.3.5). */
  readonly executed?: { readonly path: Path; readonly arguments: string };
  /** That the answer is to be repeated when it changes. */
  readonly observed?: Observed;
}

/** What is observed: one path, or several of a composite. */
export interface Observed {
  readonly paths: readonly Path[];
  readonly format: number;
  readonly composite: boolean;
  readonly query: readonly string[];
}

/** What operations act on. */
export interface Operated {
  readonly objects: DeviceObjects;
  readonly attributes: Attributes;
  /** The Content-Formats that the device speaks, the one it prefers first. */
  readonly formats: readonly number[];
  /** Whether it knows Read-, Write- and Observe-Composite. */
  readonly composites: boolean;
}

/** Does what the server asks for (LwM2M Core 1.2 §6.3, §6.4; Transport 1.2 §6.4 for the mapping to CoAP). */
export function operate(device: Operated, request: Request): Operation {
  const segments = request.options.all(UriPath);
  const path = parsePath(`/${segments.join('/')}`);
  if (path === undefined) return answer(ResponseCode.NotFound);
  switch (request.code) {
    case Method.GET:
      return request.options.get(Accept) === ContentFormats.linkFormat
        ? discover(device, path)
        : read(device, path, request);
    case Method.FETCH:
      return device.composites ? readComposite(device, path, request) : answer(ResponseCode.MethodNotAllowed);
    case Method.PUT:
      return request.options.has(ContentFormat) || request.payload.length > 0
        ? write(device, path, request, true)
        : writeAttributes(device, path, request);
    case Method.POST:
      return post(device, path, request);
    case Method.iPATCH:
      return device.composites ? writeComposite(device, path, request) : answer(ResponseCode.MethodNotAllowed);
    case Method.DELETE:
      return remove(device, path);
    default:
      return answer(ResponseCode.MethodNotAllowed);
  }
}

/** The values at these paths, in a format; 4.04 if none of them is there, 4.06 if the format cannot say them. */
export function present(device: Operated, observed: Pick<Observed, 'paths' | 'composite' | 'format'>): Reply {
  const entries = observed.composite ? readSeveral(device, observed.paths) : device.objects.read(observed.paths[0]!);
  if (!Array.isArray(entries)) return reply(refusalCodes[entries as ObjectRefusal]);
  const base = observed.composite ? rootPath : observed.paths[0]!;
  const payload = encodeContent(observed.format, base, entries, device.objects.definitions);
  if (isContentFault(payload)) return reply(ResponseCode.NotAcceptable);
  return reply(ResponseCode.Content, Options.empty.with(ContentFormat, observed.format), payload);
}

/** Of a composite what is there, each value once; the rest is passed over. */
function readSeveral({ objects }: Operated, paths: readonly Path[]): readonly Entry[] {
  const entries = new Map<Path, Entry>();
  for (const path of paths) {
    const found = objects.read(path);
    if (Array.isArray(found)) for (const entry of found as readonly Entry[]) entries.set(entry.path, entry);
  }
  return [...entries.values()];
}

function read(device: Operated, path: Path, { options }: Request): Operation {
  const accepted = options.get(Accept);
  const formats = accepted === undefined ? device.formats : [accepted];
  for (const format of formats) {
    const observed = { paths: [path], format, composite: false, query: options.all(UriQuery) };
    const found = present(device, observed);
    if (found.code !== ResponseCode.NotAcceptable) return { reply: found, observed };
  }
  return answer(ResponseCode.NotAcceptable);
}

function readComposite(device: Operated, path: Path, { options, payload }: Request): Operation {
  if (path !== rootPath) return answer(ResponseCode.MethodNotAllowed);
  const format = options.get(ContentFormat) ?? -1;
  const paths = decodePaths(format, payload);
  if (isContentFault(paths)) {
    return answer(paths.reason === 'unknown-format' ? ResponseCode.UnsupportedContentFormat : ResponseCode.BadRequest);
  }
  const observed = {
    paths,
    format: options.get(Accept) ?? format,
    composite: true,
    query: options.all(UriQuery),
  };
  return { reply: present(device, observed), observed };
}

function discover({ objects, attributes }: Operated, path: Path): Operation {
  if (path === rootPath || levelOf(path) === 'resource-instance') return answer(ResponseCode.MethodNotAllowed);
  if (!objects.has(path)) return answer(ResponseCode.NotFound);
  const found = objects.paths(path).filter(below => levelOf(below) !== 'resource-instance');
  const payload = encodeDiscover(
    found.map(below => ({ path: below, attributes: { ...dimension(objects, below), ...attributes.linked(below) } })),
  );
  return {
    reply: reply(ResponseCode.Content, Options.empty.with(ContentFormat, ContentFormats.linkFormat), payload),
  };
}

/** How many instances a resource of several has (LwM2M Core 1.2 §7.3.2, `dim`). */
function dimension(objects: DeviceObjects, path: Path): { dim?: string } {
  if (levelOf(path) !== 'resource' || objects.definition(path)?.multiple !== true) return {};
  return { dim: String(objects.paths(path).length - 1) };
}

function write(device: Operated, path: Path, request: Request, replace: boolean): Operation {
  if (path === rootPath || levelOf(path) === 'object') return answer(ResponseCode.MethodNotAllowed);
  const entries = decoded(device, path, request);
  if (!Array.isArray(entries)) return answer(entries as number);
  const changed = device.objects.write(path, entries as readonly Entry[], replace);
  return typeof changed === 'string' ? refused(changed) : answer(ResponseCode.Changed, changed);
}

function writeAttributes({ objects, attributes }: Operated, path: Path, { options }: Request): Operation {
  const changes = parseAttributes(options.all(UriQuery));
  if (path === rootPath || changes === undefined || Object.keys(changes).length === 0) {
    return answer(ResponseCode.BadRequest);
  }
  if (!objects.has(path)) return answer(ResponseCode.NotFound);
  attributes.write(path, changes);
  return answer(ResponseCode.Changed);
}

function post(device: Operated, path: Path, request: Request): Operation {
  const level = levelOf(path);
  if (level === 'object') return create(device, path, request);
  if (level === 'resource' && !request.options.has(ContentFormat)) return execute(device, path, request);
  if (device.objects.isExecutable(path)) return execute(device, path, request);
  return level === 'instance' || level === 'resource'
    ? write(device, path, request, false)
    : answer(ResponseCode.MethodNotAllowed);
}

function execute({ objects }: Operated, path: Path, { payload }: Request): Operation {
  if (!objects.has(path)) return answer(ResponseCode.NotFound);
  if (!objects.isExecutable(path)) return answer(ResponseCode.MethodNotAllowed);
  const text = textOf(payload);
  if (text === undefined || !executeArguments.test(text)) return answer(ResponseCode.BadRequest);
  return { ...answer(ResponseCode.Changed), executed: { path, arguments: text } };
}

function create(device: Operated, path: Path, request: Request): Operation {
  const [object] = pathIds(path) as [number];
  const free = device.objects.freeInstance(object);
  if (free === undefined) return answer(ResponseCode.BadRequest);
  const format = request.options.get(ContentFormat);
  const isTlv = format === ContentFormats.lwm2mTlv || format === ContentFormats.oldLwm2mTlv;
  // TLV may hold the resources alone; the other formats say which instance they mean.
  const base = isTlv && !namesInstance(request.payload) ? free : path;
  const entries = request.payload.length === 0 ? [] : decoded(device, base, request);
  if (!Array.isArray(entries)) return answer(entries as number);
  const list = entries as readonly Entry[];
  const [, instance] = list.length === 0 ? pathIds(free) : pathIds(list[0]!.path);
  const created = `/${object}/${instance}` as InstancePath;
  if (!list.every(entry => containsPath(created, entry.path))) return answer(ResponseCode.BadRequest);
  const outcome = device.objects.create(created, list);
  if (outcome !== 'created') return refused(outcome);
  const location = Options.empty.with(LocationPath, String(object)).with(LocationPath, String(instance));
  return { reply: reply(ResponseCode.Created, location), changed: [created] };
}

/** All of it, or nothing (LwM2M Core 1.2 §6.3.9). */
function writeComposite(device: Operated, path: Path, request: Request): Operation {
  if (path !== rootPath) return answer(ResponseCode.MethodNotAllowed);
  const entries = decoded(device, rootPath, request);
  if (!Array.isArray(entries)) return answer(entries as number);
  const changed = device.objects.write(rootPath, entries as readonly Entry[], false);
  return typeof changed === 'string' ? refused(changed) : answer(ResponseCode.Changed, changed);
}

function remove({ objects, attributes }: Operated, path: Path): Operation {
  const outcome = objects.delete(path);
  if (outcome !== 'deleted') return refused(outcome);
  attributes.forget(path);
  return answer(ResponseCode.Deleted, [path]);
}

/** The values of a payload, or the code that refuses it. */
function decoded({ objects }: Operated, base: Path, { options, payload }: Request): readonly Entry[] | number {
  const format = options.get(ContentFormat);
  if (format === undefined || !isValueFormat(format)) return ResponseCode.UnsupportedContentFormat;
  const [object] = pathIds(base);
  const version = object === undefined ? undefined : objects.version(object);
  const entries = decodeContent(format, base, payload, objects.definitions, version);
  if (!isContentFault(entries)) return entries;
  return isValuePath(base) && entries.reason === 'wrong-path' ? ResponseCode.NotFound : ResponseCode.BadRequest;
}

function answer(code: number, changed?: readonly Path[], payload: Bytes = noBytes): Operation {
  return { reply: reply(code, Options.empty, payload), ...(changed !== undefined && { changed }) };
}

function refused(refusal: ObjectRefusal): Operation {
  return answer(refusalCodes[refusal]);
}

/** Whether a request asks to be told of changes, wants to be told no longer, or neither (RFC 7641 §2). */
export function observeOf({ options }: Request): 'register' | 'deregister' | undefined {
  const value = options.get(Observe);
  return value === 0 ? 'register' : value === 1 ? 'deregister' : undefined;
}

const refusalCodes: Readonly<Record<ObjectRefusal, number>> = {
  'bad-request': ResponseCode.BadRequest,
  'not-found': ResponseCode.NotFound,
  'not-allowed': ResponseCode.MethodNotAllowed,
};

/** `0='a',1,2='b'` (LwM2M Core 1.2 §6.3.5): digits, each with or without a value. */
const executeArguments = /^(?:\d(?:='[^']*')?(?:,\d(?:='[^']*')?)*)?$/;
