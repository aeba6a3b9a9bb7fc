/**
 * When an observed path is to be reported (LwM2M Core 1.2 §7.3). What is absent is not set there; a more general path
 * may have it.
 */
export interface NotificationAttributes {
  /** Not more often than once in so many seconds. */
  readonly pmin?: number;
  /** Not less often. */
  readonly pmax?: number;
  /** When the value crosses this one, upwards or downwards. */
  readonly gt?: number;
  readonly lt?: number;
  /** When the value is as far as this from the one reported last. */
  readonly st?: number;
  /** How often the device measures, in seconds. */
  readonly epmin?: number;
  readonly epmax?: number;
  /** Of a Boolean: 0 for when it turns false, 1 for when it turns true. */
  readonly edge?: 0 | 1;
  /** Whether notifications are to be Confirmable. */
  readonly con?: 0 | 1;
}

/** What Write-Attributes changes: `null` takes an attribute away (LwM2M Core 1.2 §6.3.4). */
export type AttributeChanges = {
  readonly [Name in keyof NotificationAttributes]?: NotificationAttributes[Name] | null;
};

/** As Uri-Query options: `['pmin=10', 'gt']`, where a name alone takes the attribute away. */
export function formatAttributes(changes: AttributeChanges): string[] {
  return Object.entries(changes)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => (value === null ? name : `${name}=${value}`));
}

/** `undefined` if a parameter is none of these, stands there twice or has a value that it cannot have. */
export function parseAttributes(query: readonly string[]): AttributeChanges | undefined {
  const changes: Record<string, number | null> = {};
  for (const parameter of query) {
    const [name = '', text] = parameter.split(/=(.*)/s);
    const form = forms.get(name);
    if (form === undefined || name in changes) return undefined;
    if (text !== undefined && !form.test(text)) return undefined;
    changes[name] = text === undefined ? null : Number(text);
  }
  return changes;
}

const seconds = /^\d{1,9}$/;
const decimal = /^-?\d{1,15}(?:\.\d{1,15})?$/;
const flag = /^[01]$/;
const forms: ReadonlyMap<string, RegExp> = new Map([
  ['pmin', seconds],
  ['pmax', seconds],
  ['gt', decimal],
  ['lt', decimal],
  ['st', /^\d{1,15}(?:\.\d{1,15})?$/],
  ['epmin', seconds],
  ['epmax', seconds],
  ['edge', flag],
  ['con', flag],
]);
