import { XMLParser, XMLValidator } from 'fast-xml-parser';
import type { ObjectJson } from '../lwm2m/objectJson.generated.ts';
import { OperatorError } from './operatorError.ts';

/**
 * Reads object definitions in OMA's XML (schema LWM2M.xsd of the OMA registry) into our form, whose schema checks them
 * afterwards. A file with a document type declaration is refused, so that there are no entities but the five of XML.
 */
export function parseObjectXml(text: string, origin: string): readonly unknown[] {
  if (/<!(?:DOCTYPE|ENTITY)/i.test(text)) {
    throw new OperatorError(`${origin}: a document type declaration is not allowed`);
  }
  const valid = XMLValidator.validate(text);
  if (valid !== true) throw new OperatorError(`${origin}:${valid.err.line}:${valid.err.col}: ${valid.err.msg}`);
  const root = parsed(text, origin)?.LWM2M;
  const objects = isElement(root) ? list(root.Object) : [];
  if (objects.length === 0) throw new OperatorError(`${origin}: no Object in LWM2M`);
  return objects.map(object => objectJson(object, origin));
}

/** The parser throws on what goes deeper than any definition does. */
function parsed(text: string, origin: string): Element | undefined {
  try {
    return parser.parse(text) as Element | undefined;
  } catch (error) {
    throw new OperatorError(`${origin}: ${(error as Error).message}`);
  }
}

function objectJson(object: Element, origin: string): Partial<Record<keyof ObjectJson, unknown>> {
  const read = new Fields(object, `${origin}: object ${text(object.ObjectID) ?? 'without ObjectID'}`);
  const version = text(object.ObjectVersion);
  const urn = text(object.ObjectURN);
  const items = isElement(object.Resources) ? list(object.Resources.Item) : [];
  return {
    id: read.number('ObjectID'),
    name: read.required('Name'),
    ...(version !== undefined && { version }),
    ...(urn !== undefined && { urn }),
    multiple: read.oneOf('MultipleInstances', instances),
    mandatory: read.oneOf('Mandatory', obligations),
    resources: items.map(item => resourceJson(item, read.where)),
  };
}

function resourceJson(item: Element, where: string): object {
  const read = new Fields(item, `${where}, resource ${text(item['@ID']) ?? 'without ID'}`);
  const range = text(item.RangeEnumeration);
  const unit = text(item.Units);
  return {
    id: read.number('@ID'),
    name: read.required('Name'),
    operations: text(item.Operations) ?? '',
    type: (text(item.Type) ?? 'none').toLowerCase(),
    multiple: read.oneOf('MultipleInstances', instances),
    mandatory: read.oneOf('Mandatory', obligations),
    ...(range !== undefined && { range: range.slice(0, 255) }),
    ...(unit !== undefined && { unit: unit.slice(0, 31) }),
  };
}

/** The elements of one object or resource; what is missing or says something else is told with its name. */
class Fields {
  readonly where: string;
  readonly #element: Element;

  constructor(element: Element, where: string) {
    this.#element = element;
    this.where = where;
  }

  required(name: string): string {
    const value = text(this.#element[name]);
    if (value === undefined) throw new OperatorError(`${this.where}: ${name.replace('@', '')} is missing`);
    return value;
  }

  number(name: string): number {
    const value = this.required(name);
    if (!/^\d{1,5}$/.test(value)) throw new OperatorError(`${this.where}: ${name} ${value} is no identifier`);
    return Number(value);
  }

  oneOf(name: string, words: ReadonlyMap<string, boolean>): boolean {
    const value = this.required(name);
    const meant = words.get(value.toLowerCase());
    if (meant !== undefined) return meant;
    throw new OperatorError(`${this.where}: ${name} is ${value}, neither ${[...words.keys()].join(' nor ')}`);
  }
}

type Element = { readonly [name: string]: unknown };

function isElement(value: unknown): value is Element {
  return typeof value === 'object' && value !== null;
}

function list(value: unknown): readonly Element[] {
  return (Array.isArray(value) ? value : [value]).filter(isElement);
}

/** The text of an element, without the space around it; `undefined` if there is none. */
function text(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined;
  const plain = value.replace(/&(lt|gt|quot|apos|amp);/g, (_, name: string) => entities[name]!).trim();
  return plain === '' ? undefined : plain;
}

const instances: ReadonlyMap<string, boolean> = new Map([
  ['multiple', true],
  ['single', false],
]);
const obligations: ReadonlyMap<string, boolean> = new Map([
  ['mandatory', true],
  ['optional', false],
]);
const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  parseAttributeValue: false,
  processEntities: false,
  ignoreDeclaration: true,
  ignorePiTags: true,
  maxNestedTags: 16,
});
