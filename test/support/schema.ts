/** JSON Schema, as the documentation and the server's own description have it (2020-12). */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';

/** What is compiled says whether a value fits, and in `errors` why not. */
export function validatorOf(schema: object): ValidateFunction {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  // The package's types speak of a namespace, its file is the function.
  (formats as unknown as { default: (ajv: Ajv2020) => void }).default(ajv);
  return ajv.compile(schema);
}
