/**
 * Kubernetes' own description of its objects, as far as the examples use it, and strict: a field
 * that it does not name is an error, where the API would only warn. The description is what a real
 * server said (`npm run kubernetes`), without its prose.
 */
import { Ajv } from 'ajv';

type Schema = {
  [key: string]: unknown;
  properties?: Record<string, Schema>;
  'x-kubernetes-group-version-kind'?: { group: string; version: string; kind: string }[];
};
export type Description = { definitions: Record<string, Schema> };
export type Manifest = {
  apiVersion: string;
  kind: string;
  metadata: { name: string };
  // biome-ignore lint/suspicious/noExplicitAny: checked by the description
  spec?: any;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  [key: string]: any;
};

const REFERENCE = '#/definitions/';

/** What is needed for these kinds, without descriptions. */
export function reduced(whole: Description, kinds: readonly string[]): Description {
  const definitions: Record<string, Schema> = {};
  const add = (name: string): void => {
    if (definitions[name] !== undefined) return;
    const schema = withoutProse(whole.definitions[name] ?? {}) as Schema;
    definitions[name] = schema;
    for (const [, next = ''] of JSON.stringify(schema).matchAll(/"#\/definitions\/([^"]+)"/g))
      add(next);
  };
  for (const kind of kinds) add(nameOf(whole, ...(kind.split(' ') as [string, string])));
  const sorted = Object.entries(definitions).sort(([a], [b]) => (a < b ? -1 : 1));
  return { definitions: Object.fromEntries(sorted) };
}

function withoutProse(value: unknown, isNames = false): unknown {
  if (Array.isArray(value)) return value.map((one) => withoutProse(one));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(
        ([key]) =>
          isNames ||
          key === 'x-kubernetes-group-version-kind' ||
          !/^(?:description|default|format|x-.*)$/.test(key) ||
          (key === 'format' && (value as Schema)['format'] === 'int-or-string'),
      )
      .map(([key, one]) => [key, withoutProse(one, key === 'properties')]),
  );
}

function nameOf({ definitions }: Description, apiVersion: string, kind: string): string {
  const found = Object.entries(definitions).find(([, schema]) =>
    schema['x-kubernetes-group-version-kind']?.some(
      ({ group, version, kind: its }) =>
        (group === '' ? version : `${group}/${version}`) === apiVersion && its === kind,
    ),
  );
  if (found === undefined) throw new Error(`${apiVersion} has no ${kind}`);
  return found[0];
}

/** Says what is wrong with a manifest; nothing when it is as described. */
export function checker(description: Description): (manifest: Manifest) => string[] {
  const definitions = Object.fromEntries(
    Object.entries(description.definitions).map(([name, schema]) => [name, strict(name, schema)]),
  );
  const ajv = new Ajv({ strict: false, allErrors: true });
  return (manifest) => {
    const name = nameOf(description, manifest.apiVersion, manifest.kind);
    const validate = ajv.compile({ $ref: `${REFERENCE}${name}`, definitions });
    validate(manifest);
    return (validate.errors ?? []).map(
      ({ instancePath, message, params }) =>
        `${manifest.kind} ${manifest.metadata.name}: ${instancePath} ${message} ${JSON.stringify(params)}`,
    );
  };
}

function strict(name: string, schema: Schema): Schema {
  // Both are written as a string or a number.
  if (/\.(?:IntOrString|Quantity)$/.test(name)) return { type: ['string', 'number'] };
  return schema.properties === undefined ? schema : { ...schema, additionalProperties: false };
}
