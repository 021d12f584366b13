// Arrays of numbers: typed arrays with the properties `shape` and `dtype`. On the wire they are
// `{"__array__": [shape, dtype, data]}`, the items little-endian, the last dimension running fastest.

/**
 * @typedef {Int8Array | Uint8Array | Uint8ClampedArray | Int16Array | Uint16Array | Int32Array | Uint32Array
 *   | Float32Array | Float64Array | BigInt64Array | BigUint64Array} Typed
 */
/** @typedef {{shape: number[], dtype: string, data: Uint8Array}} Parts */

export const KEY = "__array__";

/** Since Node.js 24. @type {any} */
const Float16 = /** @type {any} */ (globalThis).Float16Array;

/**
 * The bytes of an item, and the class that holds items: for what has none of its own, one that holds
 * their bits, or twice as many numbers.
 *
 * @type {Record<string, [bytes: number, holder: any]>}
 */
const DTYPES = {
  s8: [1, Int8Array],
  u8: [1, Uint8Array],
  s16: [2, Int16Array],
  u16: [2, Uint16Array],
  s32: [4, Int32Array],
  u32: [4, Uint32Array],
  s64: [8, BigInt64Array],
  u64: [8, BigUint64Array],
  f32: [4, Float32Array],
  f64: [8, Float64Array],
  f16: [2, Float16 ?? Uint16Array],
  bf16: [2, Uint16Array],
  bool: [1, Uint8Array],
  c64: [8, Float32Array],
  c128: [16, Float64Array],
};

/**
 * What makes a typed array one that leaves as an array. Bytes are a binary, unless they have a shape or a
 * type.
 *
 * @param {object} value
 * @returns {value is Typed}
 */
export function isArray(value) {
  if (!ArrayBuffer.isView(value) || value instanceof DataView) return false;
  const bytes = value instanceof Uint8Array || value instanceof Uint8ClampedArray;
  return !bytes || Object.hasOwn(value, "shape") || Object.hasOwn(value, "dtype");
}

/**
 * Throws what `fail` makes of a text.
 *
 * @param {Typed & {shape?: unknown, dtype?: unknown}} array
 * @param {(problem: string) => Error} fail
 * @returns {Parts}
 */
export function partsOf(array, fail) {
  const dtype = Object.hasOwn(array, "dtype") ? array.dtype : dtypeOf(array);
  if (typeof dtype !== "string" || !Object.hasOwn(DTYPES, dtype)) {
    throw fail(`the dtype of an array is ${String(dtype)}, not one of ${Object.keys(DTYPES).join(" ")}`);
  }
  const [bytes] = DTYPES[dtype];
  const shape = Object.hasOwn(array, "shape") ? array.shape : [array.byteLength / bytes];
  if (!isShape(shape)) throw fail("the shape of an array must be a list of integers from 0 on");
  const needed = sizeOf(shape, bytes);
  if (needed !== array.byteLength) {
    throw fail(`an array of ${dtype} with the shape [${shape.join(", ")}] takes ${needed} bytes, not ${array.byteLength}`);
  }
  return { shape, dtype, data: new Uint8Array(array.buffer, array.byteOffset, array.byteLength) };
}

/**
 * The array that a map with the one key stands for; undefined if it says something else.
 *
 * @param {unknown} form
 * @returns {Typed | undefined}
 */
export function fromForm(form) {
  if (!Array.isArray(form) || form.length !== 3) return undefined;
  const [shape, dtype, data] = form;
  if (!isShape(shape) || !(data instanceof Uint8Array)) return undefined;
  if (typeof dtype !== "string" || !Object.hasOwn(DTYPES, dtype)) return undefined;
  const [bytes, Holder] = DTYPES[dtype];
  if (sizeOf(shape, bytes) !== data.byteLength) return undefined;
  const step = Holder.BYTES_PER_ELEMENT;
  // A view, where the items happen to lie as the machine wants them.
  const { buffer, byteOffset } = data.byteOffset % step === 0 ? data : new Uint8Array(data);
  return Object.assign(new Holder(buffer, byteOffset, data.byteLength / step), { shape, dtype });
}

/** @param {Typed} array */
function dtypeOf(array) {
  if (array instanceof Uint8ClampedArray) return "u8";
  return Object.keys(DTYPES).find((dtype) => array instanceof DTYPES[dtype][1]);
}

/** @param {unknown} shape @returns {shape is number[]} */
function isShape(shape) {
  return Array.isArray(shape) && shape.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** @param {number[]} shape @param {number} bytes */
function sizeOf(shape, bytes) {
  return shape.reduce((product, size) => product * size, bytes);
}
