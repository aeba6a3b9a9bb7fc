import type { AttributeChanges, NotificationAttributes } from '../lwm2m/attributes.ts';
import { containsPath, type Path, parentOf } from '../lwm2m/path.ts';

/** The notification attributes that a server has written, where it wrote them. */
export class Attributes {
  readonly #written = new Map<Path, NotificationAttributes>();

  write(path: Path, changes: AttributeChanges): void {
    const merged = Object.entries({ ...this.#written.get(path), ...changes }).filter(([, value]) => value !== null);
    if (merged.length === 0) this.#written.delete(path);
    else this.#written.set(path, Object.fromEntries(merged) as NotificationAttributes);
  }

  /** What holds for a path: its own, and what stands above it where it has none (LwM2M Core 1.2 §7.3.1). */
  effective(path: Path): NotificationAttributes {
    const own = this.#written.get(path);
    const above = parentOf(path);
    return above === undefined ? { ...own } : { ...this.effective(above), ...own };
  }

  /** Those written at a path itself, as Discover shows them. */
  linked(path: Path): Readonly<Record<string, string>> {
    return Object.fromEntries(
      Object.entries(this.#written.get(path) ?? {}).map(([name, value]) => [name, String(value)]),
    );
  }

  /** What stood at or below a path that is gone. */
  forget(path: Path): void {
    for (const written of this.#written.keys()) if (containsPath(path, written)) this.#written.delete(written);
  }
}
