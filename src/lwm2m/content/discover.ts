import { type Bytes, textOf, utf8 } from '../../base/bytes.ts';
import { formatLinks, parseLinks } from '../../coap/codec/linkFormat.ts';
import { containsPath, type Path, parsePath } from '../path.ts';
import { type ContentFault, contentFault } from './fault.ts';
import { limits } from './limits.ts';

/** One line of what a device answers to Discover: that something is there, and its attributes. */
export interface DiscoveredPath {
  readonly path: Path;
  /** As they stand there: `pmin`, `dim`, `ver` …; a flag is `true`. */
  readonly attributes: Readonly<Record<string, string | true>>;
}

/**
 * Reads the answer to Discover (Content-Format 40; LwM2M Core 1.2 §6.3.2). `root` is where the device has its objects.
 * Links to what is no path of LwM2M are passed over: a device may have other resources too.
 */
export function decodeDiscover(base: Path, payload: Bytes, root = '/'): readonly DiscoveredPath[] | ContentFault {
  const text = textOf(payload);
  const links = text === undefined ? undefined : parseLinks(text, limits.maxEntries);
  if (links === undefined) return contentFault('malformed', 'no link-format');
  const prefix = root === '/' ? '' : root;
  const found: DiscoveredPath[] = [];
  for (const { href, attributes } of links) {
    const path = href.startsWith(prefix) ? parsePath(href.slice(prefix.length) || '/') : undefined;
    if (path === undefined) continue;
    // A device that is asked for one resource may put its object and instance in front, with their attributes.
    if (!containsPath(base, path) && !containsPath(path, base)) return contentFault('wrong-path', href);
    found.push({ path, attributes });
  }
  return found;
}

export function encodeDiscover(found: readonly DiscoveredPath[]): Bytes {
  return utf8(formatLinks(found.map(({ path, attributes }) => ({ href: path, attributes }))));
}
