// The values of a plain peer, by the rule it knows: text and bytes as they are, everything else as
// JSON; on the way in what parses as JSON is decoded.

import { EncodingError } from "../errors.js";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** @param {Uint8Array} bytes @returns {unknown} */
export function decode(bytes) {
  let text;
  try {
    text = utf8.decode(bytes);
  } catch {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** @param {unknown} value @param {string} root what errors call it @returns {Uint8Array} */
export function encode(value, root) {
  if (typeof value === "string") return encoder.encode(value);
  if (value instanceof Uint8Array) return value;
  let text;
  try {
    text = JSON.stringify(value === undefined ? null : value);
  } catch (error) {
    throw new EncodingError(`${root} cannot be sent as JSON: ${/** @type {Error} */ (error).message}`);
  }
  if (text === undefined) throw new EncodingError(`${root}: a ${typeof value} cannot be sent to Elixir`);
  return encoder.encode(text);
}
