import { current } from "./call.js";
import { isFinal } from "./final.js";

/** @typedef {import("./call.js").Call} Call */
/** @typedef {import("./wire/values.js").Encoded} Encoded */

/** A generator that is not asked to wait lets others have a turn after so many milliseconds. */
const TURN = 5;

/**
 * Takes chunk after chunk from what a stream handler has given, as fast as there is room for them,
 * and gives the final one; undefined when the call is cancelled. However it ends, so does the
 * generator: by its `return`, which runs its `finally`.
 *
 * @param {Call} call
 * @param {unknown} produced
 * @param {{encode: (chunk: unknown) => Encoded, room: () => boolean | Promise<boolean>, put: (chunk: Encoded) => void}} outlet
 *   `room` is false when the peer has gone
 * @returns {Promise<unknown>}
 */
export async function produce(call, produced, { encode, room, put }) {
  const iterator = iteratorOf(produced);
  let over = false;
  /** @type {Promise<void> | undefined} */
  let closing;
  // At once, for a generator that waits; one at work returns at its next `yield`.
  const close = () => {
    if (!over) closing ??= current.run(call, end, iterator);
    return closing;
  };
  call.onCancel(close);
  const next = () => iterator.next();
  let turn = performance.now();
  try {
    while (!call.cancelled) {
      const { done, value } = await current.run(call, next);
      if (call.cancelled) break;
      over = done === true;
      if (over) return value;
      if (isFinal(value)) return value.chunk;
      const chunk = encode(value);
      const free = room();
      if (free !== true && !(await free)) break;
      put(chunk);
      if (performance.now() - turn > TURN) {
        await new Promise((resolve) => setImmediate(resolve));
        turn = performance.now();
      }
    }
  } finally {
    await close();
  }
  return undefined;
}

/**
 * @param {unknown} produced
 * @returns {Iterator<unknown> | AsyncIterator<unknown>}
 */
function iteratorOf(produced) {
  if (typeof produced === "object" && produced !== null) {
    const make = Reflect.get(produced, Symbol.asyncIterator) ?? Reflect.get(produced, Symbol.iterator);
    if (typeof make === "function") return make.call(produced);
  }
  throw new TypeError(`a stream must give an iterable of chunks, got ${nameOf(produced)}`);
}

/** @param {Iterator<unknown> | AsyncIterator<unknown>} iterator */
async function end(iterator) {
  await iterator.return?.();
}

/** @param {unknown} value */
function nameOf(value) {
  if (value === null) return "null";
  return typeof value === "object" ? (value.constructor?.name ?? "an object") : typeof value;
}
