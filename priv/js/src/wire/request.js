// The messages that a caller sends, read by their field numbers in proto/snakepit.proto.

import protobuf from "protobufjs/minimal.js";

/** @typedef {import("./values.js").Entry} Entry */
/** @typedef {import("protobufjs").Reader} Reader */

/**
 * What a request says of its call.
 *
 * @typedef {object} Head
 * @property {string} command
 * @property {string} sessionId
 * @property {string} requestId
 * @property {Record<string, string>} metadata
 * @property {number} codec
 * @property {number} timeoutMs
 */
/** @typedef {Head & {args: Entry[]}} Request */
/** @typedef {Request & {window: number, maxBuffer: number, shape: number}} Start */
/**
 * @typedef {{start: Start} | {chunk: Entry[]} | {abort: string} | {halfClose: true} | {ack: number}} Message
 */

/** @typedef {(target: any, reader: Reader) => void} Field */

/** @type {(name: string) => Field} */
const string = (name) => (target, reader) => void (target[name] = reader.string());
/** @type {(name: string) => Field} */
const int32 = (name) => (target, reader) => void (target[name] = reader.int32());
/** @type {(name: string) => Field} */
const uint = (name) => (target, reader) => void (target[name] = Number(reader.uint64().toString()));
/** @type {(name: string) => Field} */
const entries = (name) => (target, reader) => void target[name].push(entry(reader));
/** @type {Field} */
const metadata = (target, reader) => {
  const [key, value] = entry(reader);
  target.metadata[key] = Buffer.from(value).toString();
};

/** @type {Field[]} */
const EXECUTE = [];
EXECUTE[1] = string("command");
EXECUTE[2] = entries("args");
EXECUTE[3] = int32("timeoutMs");
EXECUTE[4] = string("requestId");
EXECUTE[5] = int32("codec");
EXECUTE[6] = metadata;

/** @type {Field[]} */
const SESSION = [];
SESSION[1] = string("sessionId");
SESSION[2] = string("command");
SESSION[3] = entries("args");
SESSION[4] = int32("timeoutMs");
SESSION[5] = string("requestId");
SESSION[6] = int32("codec");
SESSION[7] = metadata;

/** @type {Field[]} */
const START = [];
START[1] = string("command");
START[2] = string("sessionId");
START[3] = entries("args");
START[4] = int32("timeoutMs");
START[5] = string("requestId");
START[6] = int32("codec");
START[7] = metadata;
START[8] = uint("window");
START[9] = uint("maxBuffer");
START[10] = int32("shape");

/** @type {Field[]} */
const CHUNK = [];
CHUNK[1] = entries("chunk");

/** @type {Field[]} */
const NOTHING = [];

/** @type {Field[]} */
const MESSAGE = [];
MESSAGE[1] = (target, reader) => {
  target.start = fill(newStart(), START, reader, reader.uint32());
};
MESSAGE[2] = (target, reader) => {
  target.chunk = fill({ chunk: [] }, CHUNK, reader, reader.uint32()).chunk;
};
MESSAGE[3] = string("abort");
MESSAGE[4] = (target, reader) => {
  fill({}, NOTHING, reader, reader.uint32());
  target.halfClose = true;
};
MESSAGE[5] = uint("ack");

/** @param {Uint8Array} bytes @returns {Request} */
export function executeRequest(bytes) {
  return fill(newRequest(), EXECUTE, protobuf.Reader.create(bytes), bytes.length);
}

/** @param {Uint8Array} bytes @returns {Request} */
export function sessionRequest(bytes) {
  return fill(newRequest(), SESSION, protobuf.Reader.create(bytes), bytes.length);
}

/** @param {Uint8Array} bytes @returns {Message} */
export function streamMessage(bytes) {
  return fill(/** @type {any} */ ({}), MESSAGE, protobuf.Reader.create(bytes), bytes.length);
}

/** @returns {Request} */
function newRequest() {
  return { command: "", sessionId: "", requestId: "", metadata: {}, codec: 0, timeoutMs: 0, args: [] };
}

/** @returns {Start} */
function newStart() {
  return { ...newRequest(), window: 0, maxBuffer: 0, shape: 0 };
}

/**
 * @template T
 * @param {T} target
 * @param {Field[]} fields
 * @param {Reader} reader
 * @param {number} length
 * @returns {T}
 */
function fill(target, fields, reader, length) {
  const end = reader.pos + length;
  if (end > reader.len) throw new RangeError("a message ends in the middle of a field");
  while (reader.pos < end) {
    const tag = reader.uint32();
    const field = fields[tag >>> 3];
    if (field === undefined) reader.skipType(tag & 7);
    else field(target, reader);
  }
  return target;
}

/** @param {Reader} reader @returns {Entry} */
function entry(reader) {
  const end = reader.uint32() + reader.pos;
  let key = "";
  /** @type {Uint8Array} */
  let value = new Uint8Array();
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag >>> 3 === 1) key = reader.string();
    else if (tag >>> 3 === 2) value = reader.bytes();
    else reader.skipType(tag & 7);
  }
  return [key, value];
}
