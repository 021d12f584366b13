import protobuf from "protobufjs/minimal.js";

/** The fields of StreamRequest and StreamStart in proto/snakepit.proto. */
const START = 1;
const WINDOW = 8;

/**
 * Whether the caller that sends this as its first message keeps credit. The server's thread has to know,
 * and the start is read on the other: so one field of it is looked up here.
 *
 * @param {Uint8Array} bytes
 */
export function keepsCredit(bytes) {
  try {
    const reader = protobuf.Reader.create(bytes);
    const message = reader.uint32();
    if (message >>> 3 !== START) return false;
    const end = reader.uint32() + reader.pos;
    while (reader.pos < end) {
      const tag = reader.uint32();
      if (tag >>> 3 === WINDOW) return reader.uint32() > 0;
      reader.skipType(tag & 7);
    }
  } catch {
    // Malformed, as the other side will say.
  }
  return false;
}
