import { noBytes } from '../base/bytes.ts';
import { Method } from '../coap/codec/code.ts';
import { ContentFormats } from '../coap/codec/contentFormat.ts';
import { Accept, ContentFormat, Options, UriPath, UriQuery } from '../coap/codec/option.ts';
import type { RequestDraft } from '../coap/exchange.ts';
import type { Operation, OperationKind } from '../fleet/command.ts';
import type { NotificationAttributes } from '../fleet/observation.ts';
import { type ContentFault, isContentFault } from '../lwm2m/content/fault.ts';
import { encodePaths } from '../lwm2m/content/select.ts';
import type { Path } from '../lwm2m/path.ts';

/** The CoAP request of a device management operation (LwM2M Core 1.2 §6.3; Transport 1.2, table of methods). */
export function draftOf({ kind, paths, query, contentFormat, accept, payload }: Operation, root: string): RequestDraft {
  const path = composite.has(kind) ? '/' : paths[0]!;
  let options = pathOptions(root, path);
  if (contentFormat !== undefined) options = options.with(ContentFormat, contentFormat);
  for (const parameter of query ?? []) options = options.with(UriQuery, parameter);
  const accepted = kind === 'discover' ? ContentFormats.linkFormat : accept;
  if (accepted !== undefined) options = options.with(Accept, accepted);
  return { code: methods[kind], options, payload: payload ?? noBytes };
}

/** Observe of one path; or Observe-Composite of several, which carries them, and its attributes, itself. */
export function observeDraft(
  paths: readonly string[],
  attributes: NotificationAttributes,
  root: string,
  accept: number | undefined,
): RequestDraft | ContentFault {
  if (paths.length === 1) {
    return draftOf({ kind: 'read', paths, accept }, root);
  }
  const contentFormat = accept ?? ContentFormats.senmlCbor;
  const payload = encodePaths(contentFormat, paths as readonly Path[]);
  if (isContentFault(payload)) return payload;
  const query = attributeQuery(attributes);
  return draftOf({ kind: 'read-composite', paths, query, contentFormat, accept: contentFormat, payload }, root);
}

/** `pmin=10`, `gt=25.5` (LwM2M Core 1.2 §7.3). */
export function attributeQuery(attributes: NotificationAttributes): string[] {
  return (['pmin', 'pmax', 'gt', 'lt', 'st'] as const).flatMap(name =>
    attributes[name] === undefined ? [] : [`${name}=${attributes[name]}`],
  );
}

/** Of the formats a device says it can produce, the one that says most in the fewest bytes; its own choice if it said none. */
export function preferredFormat(formats: readonly number[]): number | undefined {
  return preference.find(format => formats.includes(format));
}

/** What a device can be asked to accept at all: composite operations need a format that has paths in it. */
export function compositeFormat(formats: readonly number[]): number {
  return composites.find(format => formats.includes(format)) ?? ContentFormats.senmlCbor;
}

function pathOptions(root: string, path: string): Options {
  const segments = `${root === '/' ? '' : root}${path}`.split('/').filter(segment => segment !== '');
  return segments.reduce((options, segment) => options.with(UriPath, segment), Options.empty);
}

const methods: Readonly<Record<OperationKind, number>> = {
  read: Method.GET,
  write: Method.PUT,
  update: Method.POST,
  execute: Method.POST,
  create: Method.POST,
  delete: Method.DELETE,
  discover: Method.GET,
  'write-attributes': Method.PUT,
  'read-composite': Method.FETCH,
  'write-composite': Method.iPATCH,
};
const composite: ReadonlySet<OperationKind> = new Set<OperationKind>(['read-composite', 'write-composite']);
const preference = [
  ContentFormats.lwm2mCbor,
  ContentFormats.senmlCbor,
  ContentFormats.lwm2mTlv,
  ContentFormats.senmlJson,
  ContentFormats.lwm2mJson,
];
const composites = [ContentFormats.senmlCbor, ContentFormats.lwm2mCbor, ContentFormats.senmlJson];
