// The commands that every worker has, unless the user's modules define their own of that name.

import { setTimeout as sleep } from "node:timers/promises";

import { InvalidArguments } from "./errors.js";
import { Registry } from "./registry.js";

export const builtins = new Registry();

/** @type {Record<string, (a: any, b: any) => any>} */
const OPERATIONS = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divide: (a, b) => a / b,
};

/** Tells that the worker answers. */
function ping() {
  return { status: "ok", message: "pong" };
}

/** Returns its arguments. @param {Record<string, any>} args */
function echo(args) {
  return args;
}

/** `{result: a op b}`. @param {Record<string, any>} args */
function compute({ operation, a, b }) {
  if (!Object.hasOwn(OPERATIONS, operation)) {
    throw new InvalidArguments(
      `argument 'operation' must be add, subtract, multiply or divide, got '${operation}'`,
    );
  }
  for (const [name, value] of Object.entries({ a, b })) {
    if (typeof value !== "number" && typeof value !== "bigint") {
      throw new InvalidArguments(`argument '${name}' must be a number, got ${typeof value}`);
    }
  }
  // JavaScript has infinities for it, and the caller of a calculator an error to expect.
  if (operation === "divide" && Number(b) === 0) throw new RangeError("division by zero");
  return { result: OPERATIONS[operation](a, b) };
}

/**
 * `count` chunks, `interval` milliseconds apart; the last of them is the final chunk.
 *
 * @param {{count?: number, interval?: number}} args
 * @param {import("./context.js").Context} ctx
 */
async function* pingStream({ count = 5, interval = 0 }, ctx) {
  for (let index = 1; index < count; index++) {
    yield { message: `ping ${index}`, index };
    if (interval > 0) await sleep(interval, undefined, { signal: ctx.signal });
  }
  return count > 0 ? { message: `ping ${count}`, index: count } : undefined;
}

builtins.add({ name: "ping", kind: "command", handler: ping });
builtins.add({ name: "echo", kind: "command", handler: echo });
builtins.add({ name: "compute", kind: "command", handler: compute });
builtins.add({ name: "ping_stream", kind: "stream", handler: pingStream });
