// Objects as the entries of a message, and back. An entry is a name and an encoded value.

import * as json from "./json.js";
import { decode, setOwn } from "./read.js";
import { Writer } from "./write.js";

/** @typedef {[key: string, value: Uint8Array]} Entry */
/** @typedef {{entries: Entry[], size: number}} Encoded */

export const CODEC_JSON = 0;
export const CODEC_MSGPACK = 1;

/** Two tags and two lengths stand around each key and value. */
const ENTRY_OVERHEAD = 8;

const writer = new Writer();

/**
 * The entries of what a handler gives, and the bytes that they take, as both sides count them for
 * credit. Any value but a plain object is that of the key `result`.
 *
 * @param {unknown} value
 * @param {number} codec
 * @param {string} root what errors call the whole
 * @returns {Encoded}
 */
export function encodeEntries(value, codec, root) {
  const encoded = { entries: /** @type {Entry[]} */ ([]), size: 0 };
  for (const [key, item] of pairsOf(value)) {
    const place = `${root}.${key}`;
    const bytes = codec === CODEC_MSGPACK ? writer.encode(item, place) : json.encode(item, place);
    encoded.entries.push([key, bytes]);
    encoded.size += Buffer.byteLength(key) + bytes.length + ENTRY_OVERHEAD;
  }
  return encoded;
}

/**
 * @param {Entry[]} entries
 * @param {number} codec
 * @returns {Record<string, any>}
 */
export function decodeEntries(entries, codec) {
  /** @type {Record<string, unknown>} */
  const object = {};
  for (const [key, bytes] of entries) {
    const value = codec === CODEC_MSGPACK ? decode(bytes, `args.${key}`) : json.decode(bytes);
    setOwn(object, key, value);
  }
  return object;
}

/**
 * The bytes of entries that came in.
 *
 * @param {Entry[]} entries
 */
export function sizeOf(entries) {
  let size = 0;
  for (const [key, bytes] of entries) size += Buffer.byteLength(key) + bytes.length + ENTRY_OVERHEAD;
  return size;
}

/** @param {unknown} value @returns {[string, unknown][]} */
function pairsOf(value) {
  if (typeof value === "object" && value !== null) {
    const prototype = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) {
      return Object.entries(value).filter((entry) => entry[1] !== undefined);
    }
    if (value instanceof Map && [...value.keys()].every((key) => typeof key === "string")) {
      return [...value];
    }
  }
  return [["result", value]];
}
