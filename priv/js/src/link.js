// What the two threads of a worker tell each other: the main thread, where the handlers run, and the
// server's thread, which always answers, however busy a handler keeps the main thread.

/** @typedef {import("./calls.js").Method} Method */
/**
 * What the server tells of calls.
 *
 * @typedef {{type: "open", id: number, method: Method, bytes: Uint8Array}
 *   | {type: "message", id: number, bytes: Uint8Array}
 *   | {type: "taken", id: number, messages: number}
 *   | {type: "ended", id: number}
 *   | {type: "cancel", id: number}} FromServer
 */
/**
 * What the server tells of itself.
 *
 * @typedef {{type: "unable", message: string} | {type: "drained"} | {type: "orphaned"}
 *   | {type: "log_level", level: string}} News
 */
/**
 * What the handlers' side tells.
 *
 * @typedef {{type: "begin", id: number, command: string}
 *   | {type: "message", id: number, bytes: Uint8Array}
 *   | {type: "end", id: number, bytes: Uint8Array | undefined}
 *   | {type: "took", id: number, messages: number}
 *   | {type: "stop", id: number}
 *   | {type: "fail", id: number, code: number, message: string}} FromHandlers
 */
/**
 * @typedef {{type: "listen", commands: string[]} | {type: "drain"}} Order
 */
/** @typedef {{postMessage(message: any, transfer: readonly ArrayBuffer[]): void}} Port */

/** Smaller messages are copied sooner than handed over. */
const LARGE = 16_384;

/**
 * Posts a message with bytes, which are not to be used any more.
 *
 * @param {Port} port
 * @param {{bytes: Uint8Array | undefined}} message
 */
export function post(port, message) {
  const { bytes } = message;
  if (bytes === undefined) return port.postMessage(message, []);
  // A part of a larger buffer would take all of that along.
  const whole = bytes.byteLength === bytes.buffer.byteLength;
  const own = whole ? bytes : Uint8Array.prototype.slice.call(bytes);
  const large = own.byteLength >= LARGE && own.buffer instanceof ArrayBuffer;
  port.postMessage({ ...message, bytes: plain(own) }, large ? [/** @type {ArrayBuffer} */ (own.buffer)] : []);
}

/** The way from the handlers to the server. */
export class Link {
  #port;

  /** @param {Port} port */
  constructor(port) {
    this.#port = port;
  }

  /** A handler begins. @param {number} id @param {string} command */
  begin(id, command) {
    this.#post({ type: "begin", id, command });
  }

  /** One message of several. @param {number} id @param {Uint8Array} bytes */
  message(id, bytes) {
    post(this.#port, /** @type {any} */ ({ type: "message", id, bytes }));
  }

  /** The handler has ended, and this is the last message, if there is one. @param {number} id @param {Uint8Array | undefined} bytes */
  end(id, bytes) {
    post(this.#port, /** @type {any} */ ({ type: "end", id, bytes }));
  }

  /** So many more messages may be read. @param {number} id @param {number} messages */
  took(id, messages) {
    this.#post({ type: "took", id, messages });
  }

  /** The caller has gone, as the handlers' side has seen: the handler has the grace time to end. @param {number} id */
  stop(id) {
    this.#post({ type: "stop", id });
  }

  /** The call is refused. @param {number} id @param {number} code @param {string} message */
  fail(id, code, message) {
    this.#post({ type: "fail", id, code, message });
  }

  /** @param {FromHandlers} message */
  #post(message) {
    this.#port.postMessage(message, []);
  }
}

/** A Buffer arrives as what it is below. @param {Uint8Array} bytes */
function plain(bytes) {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
