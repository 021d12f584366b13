#!/usr/bin/env node
// Starts a Snakepit worker. Pools run this file; `--help` tells what it takes.

let main;
try {
  ({ main } = await import("./src/worker.js"));
} catch (error) {
  if (/** @type {NodeJS.ErrnoException} */ (error).code !== "ERR_MODULE_NOT_FOUND") throw error;
  const directory = new URL(".", import.meta.url).pathname;
  process.stderr.write(
    `${/** @type {Error} */ (error).message}\n` +
      `The packages that Snakepit's JavaScript workers need are missing: run npm ci --omit=dev in ${directory}\n`,
  );
  process.exit(1);
}
await main(process.argv.slice(2));
