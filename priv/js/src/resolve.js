// A hook of Node's module loader: where one package is not installed, it stands for this one.

/** @type {{name: string, url: string}} */
let known;

/** @param {{name: string, url: string}} data */
export function initialize(data) {
  known = data;
}

/** @type {import("node:module").ResolveHook} */
export async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (error) {
    if (specifier !== known.name) throw error;
    return { url: known.url, shortCircuit: true };
  }
}
