// MessagePack, read: exactly one object that fills the input.

import { EncodingError } from "../errors.js";
import { KEY, fromForm } from "./arrays.js";
import { BIG_INTEGER, MAX_DEPTH } from "./write.js";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

class Malformed extends Error {}

/**
 * Integers are numbers while they are exact as such, and BigInts beyond. Binaries are Buffers, parts
 * of `bytes`. Maps are plain objects if all their keys are strings, and otherwise Maps. Arrays of numbers
 * are typed arrays.
 *
 * @param {Uint8Array} bytes
 * @param {string} root what errors call the value
 * @returns {unknown}
 */
export function decode(bytes, root) {
  const cursor = new Cursor(bytes);
  try {
    const value = cursor.value(0);
    if (cursor.left > 0) throw new Malformed(`${cursor.left} bytes stand behind the value`);
    return value;
  } catch (error) {
    if (error instanceof Malformed) throw new EncodingError(`${root}: ${error.message}`);
    throw error;
  }
}

/**
 * Sets a property, also one by the name `__proto__`.
 *
 * @param {Record<string, unknown>} object
 * @param {string} key
 * @param {unknown} value
 */
export function setOwn(object, key, value) {
  if (key !== "__proto__") object[key] = value;
  else Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
}

class Cursor {
  #bytes;
  #view;
  #at = 0;

  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left() {
    return this.#bytes.length - this.#at;
  }

  /** @param {number} depth @returns {unknown} */
  value(depth) {
    const marker = this.#bytes[this.#skip(1)];
    if (marker < 0x80) return marker;
    if (marker < 0x90) return this.#map(marker & 0x0f, depth);
    if (marker < 0xa0) return this.#array(marker & 0x0f, depth);
    if (marker < 0xc0) return this.#string(marker & 0x1f);
    if (marker >= 0xe0) return marker - 0x100;
    switch (marker) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#binary(this.#length(marker - 0xc4));
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.#extension(this.#length(marker - 0xc7));
      case 0xca:
        return this.#view.getFloat32(this.#skip(4));
      case 0xcb:
        return this.#view.getFloat64(this.#skip(8));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#length(marker - 0xcc);
      case 0xcf:
        return narrow(this.#view.getBigUint64(this.#skip(8)));
      case 0xd0:
        return this.#view.getInt8(this.#skip(1));
      case 0xd1:
        return this.#view.getInt16(this.#skip(2));
      case 0xd2:
        return this.#view.getInt32(this.#skip(4));
      case 0xd3:
        return narrow(this.#view.getBigInt64(this.#skip(8)));
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#extension(1 << (marker - 0xd4));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#string(this.#length(marker - 0xd9));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#length(marker - 0xdb), depth);
      case 0xde:
      case 0xdf:
        return this.#map(this.#length(marker - 0xdd), depth);
      default:
        throw new Malformed("not MessagePack: the reserved marker 0xc1");
    }
  }

  /** @param {number} length @param {number} depth */
  #array(length, depth) {
    this.#open(length, depth);
    const list = new Array(length);
    for (let index = 0; index < length; index++) list[index] = this.value(depth + 1);
    return list;
  }

  /** @param {number} length @param {number} depth */
  #map(length, depth) {
    this.#open(length, depth);
    /** @type {[unknown, unknown][]} */
    const entries = new Array(length);
    let plain = true;
    for (let index = 0; index < length; index++) {
      const key = this.value(depth + 1);
      plain &&= typeof key === "string";
      entries[index] = [key, this.value(depth + 1)];
    }
    if (!plain) return new Map(entries);
    const array = length === 1 && entries[0][0] === KEY ? fromForm(entries[0][1]) : undefined;
    if (array !== undefined) return array;
    /** @type {Record<string, unknown>} */
    const object = {};
    for (const [key, value] of entries) setOwn(object, /** @type {string} */ (key), value);
    return object;
  }

  /** @param {number} length @param {number} depth */
  #open(length, depth) {
    if (depth >= MAX_DEPTH) throw new Malformed(`values are nested more than ${MAX_DEPTH} deep`);
    // Every element takes a byte at least: a length beyond that is a lie, and not worth memory.
    if (length > this.left) throw truncated();
  }

  /** @param {number} length */
  #string(length) {
    const start = this.#skip(length);
    try {
      return utf8.decode(this.#bytes.subarray(start, start + length));
    } catch {
      throw new Malformed("a string that is not UTF-8");
    }
  }

  /** @param {number} length */
  #binary(length) {
    const start = this.#skip(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** @param {number} length */
  #extension(length) {
    const kind = this.#view.getInt8(this.#skip(1));
    const data = this.#binary(length);
    if (kind !== BIG_INTEGER) throw new Malformed(`MessagePack extension type ${kind} is unknown here`);
    return length === 0 ? 0 : narrow(BigInt.asIntN(length * 8, BigInt(`0x${data.toString("hex")}`)));
  }

  /** @param {number} power of two: the bytes of the length */
  #length(power) {
    const size = 1 << power;
    return this.#bytes.readUIntBE(this.#skip(size), size);
  }

  /** @param {number} length */
  #skip(length) {
    const start = this.#at;
    if (length > this.#bytes.length - start) throw truncated();
    this.#at = start + length;
    return start;
  }
}

function truncated() {
  return new Malformed("not MessagePack: the data ends in the middle of a value");
}

/** @param {bigint} value */
function narrow(value) {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
