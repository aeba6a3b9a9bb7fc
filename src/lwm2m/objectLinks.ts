import type { Link } from '../coap/codec/linkFormat.ts';
import type { CoreLink, Description, EnablerVersion, ObjectEntry } from './registrationRequest.ts';
import { formatVersion, parseVersion } from './version.ts';

/** What a list of object links says (LwM2M Core 1.2 §6.2.1, §7.2). */
export type LinkedObjects = Pick<Description, 'root' | 'contentFormats' | 'objects' | 'links'>;

/** Whether one of the links says that this is an LwM2M client. */
export function namesLwm2m(links: readonly Link[]): boolean {
  return links.some(isRootLink);
}

/**
 * Sorts links into objects, with their versions and instances, and the rest. The root may be another one than `/`, and
 * the link that says so may be missing: then it is `knownRoot`. `undefined` if a version or a Content-Format is
 * malformed, or there are too many objects. Objects 0 and 21 hold secrets and have no business here: they are ignored.
 */
export function readObjectLinks(
  links: readonly Link[],
  knownRoot: () => string = () => '/',
): LinkedObjects | undefined {
  const rootLink = links.find(isRootLink);
  const root = rootLink === undefined ? knownRoot() : withoutTrailingSlash(rootLink.href);
  const prefix = root === '/' ? '' : root;
  const contentFormats = readContentFormats(rootLink?.attributes.ct);
  if (contentFormats === undefined) return undefined;

  const objects = new Map<number, { version: EnablerVersion | undefined; instances: Set<number> }>();
  const others: CoreLink[] = [];
  for (const link of links) {
    if (link === rootLink) continue;
    const path = link.href.startsWith(`${prefix}/`) ? objectPath.exec(link.href.slice(prefix.length)) : null;
    const id = Number(path?.[1]);
    const instance = path?.[2] === undefined ? undefined : Number(path[2]);
    if (path === null || id > maxId || (instance ?? 0) > maxId) {
      others.push({ href: link.href, attributes: { ...link.attributes } });
      continue;
    }
    if (ignoredObjects.has(id)) continue;
    const ver = link.attributes.ver;
    const version = typeof ver === 'string' ? parseVersion(ver) : undefined;
    if (ver !== undefined && version === undefined) return undefined;
    const object = objects.get(id) ?? { version: undefined, instances: new Set<number>() };
    object.version ??= version;
    if (instance !== undefined) object.instances.add(instance);
    objects.set(id, object);
  }
  if (objects.size > maxObjects) return undefined;
  return { root, contentFormats, objects: inOrder(objects), links: others };
}

/** The link-format of a description: what a device sends (the mirror of `readObjectLinks`). */
export function writeObjectLinks({ root, contentFormats, objects, links }: LinkedObjects): Link[] {
  const prefix = root === '/' ? '' : root;
  const written: Link[] = [];
  if (root !== '/' || contentFormats.length > 0) {
    const ct = contentFormats.length === 0 ? {} : { ct: contentFormats.join(' ') };
    written.push({ href: root, attributes: { rt: 'oma.lwm2m', ...ct } });
  }
  for (const { id, version, instances } of objects) {
    const attributes = version === undefined ? {} : { ver: formatVersion(version) };
    if (version !== undefined || instances.length === 0) written.push({ href: `${prefix}/${id}`, attributes });
    for (const instance of instances) written.push({ href: `${prefix}/${id}/${instance}`, attributes: {} });
  }
  return [...written, ...links];
}

function isRootLink({ attributes }: Link): boolean {
  const rt = attributes.rt;
  // A list of relation types, separated by spaces (RFC 6690 §3.1).
  return typeof rt === 'string' && rt.split(' ').includes('oma.lwm2m');
}

function withoutTrailingSlash(href: string): string {
  const path = href.startsWith('/') ? href : `/${href}`;
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}

/** One number, or a list of them in quotes: `ct=60`, `ct="60 112 11542"` (RFC 7252 §7.2.1). */
function readContentFormats(ct: string | true | undefined): number[] | undefined {
  if (ct === undefined) return [];
  if (ct === true) return undefined;
  const formats: number[] = [];
  for (const part of ct.split(' ')) {
    if (part === '') continue;
    if (!/^\d{1,5}$/.test(part) || Number(part) > maxId) return undefined;
    formats.push(Number(part));
  }
  return formats;
}

function inOrder(
  objects: ReadonlyMap<number, { version: EnablerVersion | undefined; instances: Set<number> }>,
): ObjectEntry[] {
  return [...objects]
    .sort(([a], [b]) => a - b)
    .map(([id, { version, instances }]) => ({ id, version, instances: [...instances].sort((a, b) => a - b) }));
}

const objectPath = /^\/(0|[1-9]\d{0,4})(?:\/(0|[1-9]\d{0,4}))?$/;
const maxId = 65_535;
export const maxObjects = 256;
/** Security and OSCORE (LwM2M Core 1.2 §6.2.1). */
export const ignoredObjects: ReadonlySet<number> = new Set([0, 21]);
