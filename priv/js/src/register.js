// The functions by which handlers are registered. Each returns the function as it is, so that it
// can be called and tested like any other.

import { CALLERS, registry } from "./registry.js";

/** @typedef {import("./context.js").Context} Context */
/** @typedef {Record<string, any>} Values */
/** @typedef {AsyncIterableIterator<Values>} Chunks */
/** @typedef {Iterable<any> | AsyncIterable<any>} Output */

/**
 * Makes a function callable with `Snakepit.execute`, under the given name or its own. An object
 * that it returns, or promises, is the result; any other value `v` gives `{result: v}`.
 *
 * @template {(args: any, ctx: Context) => any} F
 * @overload @param {string} name @param {F} handler @returns {F}
 */
/**
 * @template {(args: any, ctx: Context) => any} F
 * @overload @param {F} handler @returns {F}
 */
/**
 * @param {string | Function} first
 * @param {Function} [second]
 */
export function command(first, second) {
  return add("command", first, second);
}

/**
 * Makes a generator function, async or not, callable with `Snakepit.execute_stream`. What it yields
 * are the chunks, and what it returns is the final chunk. It is asked for the next chunk only when
 * the caller has room for it, and returns at its `yield` when the caller wants no more. Any
 * function does that returns an iterable, async or not, or a promise of one.
 *
 * @template {(args: any, ctx: Context) => Output | Promise<Output>} F
 * @overload @param {string} name @param {F} handler @returns {F}
 */
/**
 * @template {(args: any, ctx: Context) => Output | Promise<Output>} F
 * @overload @param {F} handler @returns {F}
 */
/**
 * @param {string | Function} first
 * @param {Function} [second]
 */
export function stream(first, second) {
  return add("stream", first, second);
}

/**
 * Makes a function callable with `Snakepit.execute_client_stream`. Its second parameter is an async
 * iterator of the chunks that the caller sends. It returns like a command.
 *
 * @template {(args: any, chunks: Chunks, ctx: Context) => any} F
 * @overload @param {string} name @param {F} handler @returns {F}
 */
/**
 * @template {(args: any, chunks: Chunks, ctx: Context) => any} F
 * @overload @param {F} handler @returns {F}
 */
/**
 * @param {string | Function} first
 * @param {Function} [second]
 */
export function clientStream(first, second) {
  return add("client_stream", first, second);
}

/**
 * Makes a generator function callable with `Snakepit.execute_bidi_stream`. It takes chunks like a
 * client stream and yields chunks like a stream.
 *
 * @template {(args: any, chunks: Chunks, ctx: Context) => Output | Promise<Output>} F
 * @overload @param {string} name @param {F} handler @returns {F}
 */
/**
 * @template {(args: any, chunks: Chunks, ctx: Context) => Output | Promise<Output>} F
 * @overload @param {F} handler @returns {F}
 */
/**
 * @param {string | Function} first
 * @param {Function} [second]
 */
export function bidiStream(first, second) {
  return add("bidi_stream", first, second);
}

/**
 * Has the worker call the function, which may be async, before it takes calls: hooks run in the
 * order of their registration, and one that throws makes the start of the worker fail.
 *
 * @template {() => any} F
 * @param {F} hook
 * @returns {F}
 */
export function onStart(hook) {
  registry.startHooks.push(checked("onStart", hook));
  return hook;
}

/**
 * Has the worker call the function, which may be async, after its last call: hooks run in the
 * reverse order of their registration, each whatever the others throw. Not when the worker is
 * killed.
 *
 * @template {() => any} F
 * @param {F} hook
 * @returns {F}
 */
export function onStop(hook) {
  registry.stopHooks.push(checked("onStop", hook));
  return hook;
}

/**
 * Has the worker call `hook(sessionId, session)` when a session has ended: deleted, unused for long
 * enough, or with its worker. Not for a session that no handler asked for.
 *
 * @template {(sessionId: string, session: Values) => any} F
 * @param {F} hook
 * @returns {F}
 */
export function onSessionEnd(hook) {
  registry.sessionEndHooks.push(checked("onSessionEnd", hook));
  return hook;
}

/**
 * @param {import("./registry.js").Kind} kind
 * @param {string | Function} first
 * @param {Function | undefined} second
 * @returns {any}
 */
function add(kind, first, second) {
  const { register } = CALLERS[kind];
  const handler = typeof first === "function" ? first : checked(register, second);
  const name = typeof first === "function" ? first.name : first;
  if (typeof name !== "string") throw new TypeError(`${register} takes a name and a function`);
  if (name === "") throw new TypeError(`a handler needs a name, as in ${register}("name", …)`);
  registry.add({ name, kind, handler: /** @type {import("./registry.js").Handler} */ (handler) });
  return handler;
}

/**
 * @template F
 * @param {string} what
 * @param {F} hook
 * @returns {any}
 */
function checked(what, hook) {
  if (typeof hook !== "function") throw new TypeError(`${what} takes a function, got ${typeof hook}`);
  return hook;
}
