// MessagePack, written: each object in its shortest form, and integers beyond 64 bits as extension 1,
// big-endian two's complement.
//
// The libraries do not fit the contract: an integer above 32 bits is a float to them, or every one
// of them a BigInt, and no error says where in a result a value stands that cannot be sent.

import { EncodingError } from "../errors.js";
import { KEY, isArray, partsOf } from "./arrays.js";

/** The extension type of an integer beyond 64 bits. */
export const BIG_INTEGER = 1;

/** Values nested deeper are refused: a list may contain itself. */
export const MAX_DEPTH = 256;

const LEAST_64 = -(2n ** 63n);
const MOST_64 = 2n ** 64n - 1n;

const utf8 = new TextEncoder();

/** Why a value cannot be sent; the path grows while the error passes through the containers. */
class ValueError extends Error {
  path = "";
}

/** Appends MessagePack objects to a buffer. */
export class Writer {
  #bytes = Buffer.allocUnsafeSlow(1024);
  #view = viewOf(this.#bytes);
  #length = 0;

  /**
   * One value as an object of its own.
   *
   * @param {unknown} value
   * @param {string} root what errors call it
   * @returns {Uint8Array}
   */
  encode(value, root) {
    this.#length = 0;
    try {
      this.#value(value, 0);
    } catch (error) {
      if (error instanceof ValueError) throw new EncodingError(`${root}${error.path}: ${error.message}`);
      throw error;
    }
    const encoded = this.#bytes.subarray(0, this.#length);
    if (this.#length <= 16_384) return new Uint8Array(encoded);
    // Given away rather than copied.
    this.#bytes = Buffer.allocUnsafeSlow(1024);
    this.#view = viewOf(this.#bytes);
    return encoded;
  }

  /** @param {unknown} value @param {number} depth */
  #value(value, depth) {
    switch (typeof value) {
      case "string":
        return this.#string(value);
      case "number":
        return this.#number(value);
      case "boolean":
        return this.#byte(value ? 0xc3 : 0xc2);
      case "bigint":
        return this.#bigint(value);
      case "undefined":
        return this.#byte(0xc0);
      case "object":
        return value === null ? this.#byte(0xc0) : this.#object(value, depth);
      default:
        throw new ValueError(`a ${typeof value} cannot be sent to Elixir`);
    }
  }

  /** @param {object} value @param {number} depth */
  #object(value, depth) {
    if (depth >= MAX_DEPTH) throw tooDeep();
    if (Array.isArray(value)) return this.#array(value, depth);
    if (isArray(value)) return this.#typed(value, depth);
    if (value instanceof Uint8Array || value instanceof Uint8ClampedArray) return this.#binary(value);
    const prototype = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) return this.#plain(value, depth);
    if (value instanceof Map) return this.#map(value, depth);
    if (value instanceof Date) return this.#date(value);
    if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) {
      return this.#binary(new Uint8Array(value));
    }
    if (value instanceof DataView) {
      return this.#binary(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    }
    // What another realm made, of the vm module say, has another Object.
    if (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, "hasOwnProperty")) {
      return this.#plain(value, depth);
    }
    const name = prototype?.constructor?.name || "unknown class";
    throw new ValueError(`an object of class ${name} cannot be sent to Elixir`);
  }

  /** @param {unknown[]} list @param {number} depth */
  #array(list, depth) {
    this.#head(list.length, 0x90, 16, 0, 0xdc, 0xdd);
    for (let index = 0; index < list.length; index++) {
      try {
        this.#value(list[index], depth + 1);
      } catch (error) {
        throw within(error, `[${index}]`);
      }
    }
  }

  /** @param {import("./arrays.js").Typed} array @param {number} depth */
  #typed(array, depth) {
    // A map with a list with the list of its sizes.
    if (depth + 3 > MAX_DEPTH) throw tooDeep();
    const { shape, dtype, data } = partsOf(array, (problem) => new ValueError(problem));
    this.#byte(0x81);
    this.#string(KEY);
    this.#byte(0x93);
    this.#array(shape, depth);
    this.#string(dtype);
    this.#binary(data);
  }

  /** @param {object} object @param {number} depth */
  #plain(object, depth) {
    // As in JSON: what is undefined is not there.
    const entries = Object.entries(object).filter((entry) => entry[1] !== undefined);
    this.#head(entries.length, 0x80, 16, 0, 0xde, 0xdf);
    for (const [key, value] of entries) this.#entry(key, value, depth);
  }

  /** @param {Map<unknown, unknown>} map @param {number} depth */
  #map(map, depth) {
    this.#head(map.size, 0x80, 16, 0, 0xde, 0xdf);
    for (const [key, value] of map) this.#entry(key, value, depth);
  }

  /** @param {unknown} key @param {unknown} value @param {number} depth */
  #entry(key, value, depth) {
    try {
      this.#value(key, depth + 1);
    } catch (error) {
      throw within(error, ".(key)");
    }
    try {
      this.#value(value, depth + 1);
    } catch (error) {
      throw within(error, `.${String(key)}`);
    }
  }

  /** @param {Date} date */
  #date(date) {
    if (Number.isNaN(date.getTime())) throw new ValueError("an invalid Date cannot be sent to Elixir");
    this.#string(date.toISOString());
  }

  /** @param {string} text */
  #string(text) {
    // Up to three bytes for each of its units.
    this.#room(text.length * 3 + 5);
    const head = text.length < 11 ? 1 : text.length < 86 ? 2 : text.length < 21_846 ? 3 : 5;
    const { written } = utf8.encodeInto(text, this.#bytes.subarray(this.#length + head));
    // As many bytes as units: all of it is ASCII.
    if (written !== text.length && lacksForm(text)) throw new ValueError("a string with lone surrogates cannot be sent as UTF-8");
    const start = this.#length;
    this.#head(written, 0xa0, 32, 0xd9, 0xda, 0xdb);
    const used = this.#length - start;
    if (used !== head) this.#bytes.copyWithin(this.#length, start + head, start + head + written);
    this.#length += written;
  }

  /** @param {Uint8Array | Uint8ClampedArray} data */
  #binary(data) {
    this.#room(data.length + 5);
    this.#head(data.length, 0, 0, 0xc4, 0xc5, 0xc6);
    this.#bytes.set(data, this.#length);
    this.#length += data.length;
  }

  /** @param {number} value */
  #number(value) {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      this.#room(9);
      this.#bytes[this.#length] = 0xcb;
      this.#view.setFloat64(this.#length + 1, value);
      this.#length += 9;
    } else if (value >= 0) {
      if (value < 0x80) this.#byte(value);
      else if (value < 0x1_00) this.#sized(0xcc, 1, value);
      else if (value < 0x1_0000) this.#sized(0xcd, 2, value);
      else if (value < 0x1_0000_0000) this.#sized(0xce, 4, value);
      else this.#bigint(BigInt(value));
    } else if (value >= -0x20) this.#byte(value & 0xff);
    else if (value >= -0x80) this.#sized(0xd0, 1, value & 0xff);
    else if (value >= -0x8000) this.#sized(0xd1, 2, value & 0xffff);
    else if (value >= -0x8000_0000) this.#sized(0xd2, 4, value >>> 0);
    else this.#bigint(BigInt(value));
  }

  /** @param {bigint} value */
  #bigint(value) {
    if (value >= -0x8000_0000n && value < 0x1_0000_0000n) return this.#number(Number(value));
    if (value < LEAST_64 || value > MOST_64) return this.#huge(value);
    this.#room(9);
    this.#bytes[this.#length] = value < 0n ? 0xd3 : 0xcf;
    if (value < 0n) this.#view.setBigInt64(this.#length + 1, value);
    else this.#view.setBigUint64(this.#length + 1, value);
    this.#length += 9;
  }

  /** @param {bigint} value */
  #huge(value) {
    const magnitude = value < 0n ? -value - 1n : value;
    // One bit more, for the sign.
    const size = Math.floor(magnitude.toString(2).length / 8) + 1;
    const twos = BigInt.asUintN(size * 8, value).toString(16).padStart(size * 2, "0");
    this.#room(size + 6);
    this.#head(size, 0, 0, 0xc7, 0xc8, 0xc9);
    this.#byte(BIG_INTEGER);
    this.#bytes.write(twos, this.#length, "hex");
    this.#length += size;
  }

  /**
   * What stands before `length` elements or bytes; 0 for a form that there is not.
   *
   * @param {number} length
   * @param {number} fixed
   * @param {number} below
   * @param {number} one
   * @param {number} two
   * @param {number} four
   */
  #head(length, fixed, below, one, two, four) {
    if (length < below) this.#byte(fixed | length);
    else if (one !== 0 && length < 0x1_00) this.#sized(one, 1, length);
    else if (length < 0x1_0000) this.#sized(two, 2, length);
    else this.#sized(four, 4, length);
  }

  /** @param {number} marker @param {number} size @param {number} value */
  #sized(marker, size, value) {
    this.#room(5);
    this.#bytes[this.#length] = marker;
    this.#bytes.writeUIntBE(value, this.#length + 1, size);
    this.#length += 1 + size;
  }

  /** @param {number} value */
  #byte(value) {
    this.#room(1);
    this.#bytes[this.#length++] = value;
  }

  /** @param {number} size */
  #room(size) {
    const needed = this.#length + size;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
    this.#view = viewOf(larger);
  }
}

function tooDeep() {
  return new ValueError(`values nested more than ${MAX_DEPTH} deep cannot be sent; does it contain itself?`);
}

/** @param {Buffer} bytes */
function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** @param {unknown} error @param {string} step */
function within(error, step) {
  if (error instanceof RangeError && /call stack/.test(error.message)) {
    return new ValueError("values nested too deep cannot be sent");
  }
  if (error instanceof ValueError) error.path = step + error.path;
  return error;
}

/** @param {string} text */
function lacksForm(text) {
  return /\p{Surrogate}/u.test(text);
}
