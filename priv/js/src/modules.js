// The user's modules, and how they find this package.

import { existsSync, statSync } from "node:fs";
import { createRequire, register } from "node:module";
import { isAbsolute, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const SELF = "snakepit-bridge";

/**
 * Imports modules, each the name of a file, with or without its ending, seen from one of the
 * directories or from the current one, or else of an installed package.
 *
 * @param {string[]} names
 * @param {string[]} directories
 */
export async function importModules(names, directories) {
  const places = names.map((name) => locate(name, directories));
  if (places.some((place) => !findsUs(place))) {
    // Whoever writes a handler need not install the package that comes with the Elixir one.
    const index = new URL("index.js", import.meta.url).href;
    register("./resolve.js", import.meta.url, { data: { name: SELF, url: index } });
  }
  for (const [index, place] of places.entries()) {
    try {
      await import(place);
    } catch (error) {
      throw new Error(`cannot import the module ${names[index]}`, { cause: error });
    }
  }
}

/** @param {string} name @param {string[]} directories @returns {string} its URL */
function locate(name, directories) {
  const roots = isAbsolute(name) ? ["/"] : [...directories, "."];
  for (const root of roots) {
    const path = resolve(root, name);
    for (const file of [path, `${path}.js`, `${path}.mjs`, `${path}.cjs`, join(path, "index.js")]) {
      if (existsSync(file) && statSync(file).isFile()) return pathToFileURL(file).href;
    }
  }
  try {
    return pathToFileURL(createRequire(join(process.cwd(), "x.js")).resolve(name)).href;
  } catch {
    const places = roots.map((root) => resolve(root)).join(", ");
    throw new Error(`cannot find the module ${name}: it is no file in ${places}, and no package`);
  }
}

/** @param {string} place */
function findsUs(place) {
  try {
    createRequire(place).resolve(SELF);
    return true;
  } catch {
    return false;
  }
}
