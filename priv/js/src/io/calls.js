// The calls of this worker, on the server's thread: bytes pass through, and who does not heed a
// cancellation costs the process.

import grpc from "@grpc/grpc-js";

import { post } from "../link.js";
import { complain, endGroup } from "../parent.js";
import { keepsCredit } from "./peek.js";

/** @typedef {import("../calls.js").Method} Method */
/** @typedef {import("../link.js").FromHandlers} FromHandlers */
/** @typedef {import("node:worker_threads").MessagePort} MessagePort */
/**
 * What grpc-js gives to its handlers, whichever shape they have.
 *
 * @typedef {{request: Uint8Array, cancelled: boolean} & import("node:stream").Duplex} ServerCall
 */
/** @typedef {grpc.sendUnaryData<Uint8Array>} Answer */

/** Without credit at most so many messages are read ahead of the handler ... */
const READ_AHEAD = 16;
/** ... and so many bytes, or one message. */
const READ_AHEAD_BYTES = 1024 * 1024;

/**
 * One call, until it is answered or gone and its handler has ended.
 *
 * @typedef {object} State
 * @property {ServerCall} call
 * @property {Answer | undefined} answer of a call with one response
 * @property {string | undefined} command when its handler has begun
 * @property {number} begunAt
 * @property {boolean} stopped the handler has the grace time to end
 * @property {boolean} answered
 * @property {boolean} opened
 * @property {boolean} credit
 * @property {number[]} unread sizes of the messages that are read ahead
 * @property {number} written messages that HTTP/2 has taken, and the handlers' side does not know of
 */

export class Calls {
  #port;
  #grace;
  #workerId;
  /** @type {Map<number, State>} */
  #states = new Map();
  /** @type {(() => void)[]} */
  #whenIdle = [];

  total = 0;

  /**
   * @param {MessagePort} port
   * @param {{cancelGraceMs: number, workerId: string}} options
   */
  constructor(port, { cancelGraceMs, workerId }) {
    this.#port = port;
    this.#grace = cancelGraceMs;
    this.#workerId = workerId;
  }

  get active() {
    return this.#states.size;
  }

  idle() {
    if (this.#states.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(() => resolve(undefined)));
  }

  /**
   * @param {Method} method
   * @param {boolean} hasInput
   * @param {ServerCall} call
   * @param {Answer | undefined} answer
   */
  open(method, hasInput, call, answer) {
    const id = ++this.total;
    /** @type {State} */
    const state = {
      call,
      answer,
      command: undefined,
      begunAt: 0,
      stopped: false,
      answered: false,
      opened: false,
      credit: false,
      unread: [],
      written: 0,
    };
    this.#states.set(id, state);
    call.on("cancelled", () => this.#cancel(id, state));
    // Of a peer that is gone; `cancelled` tells as much.
    call.on("error", () => {});
    if (!hasInput) return this.#begin(id, state, method, call.request);
    call.on("data", (bytes) => this.#read(id, state, method, bytes));
    call.on("end", () => {
      if (state.opened) this.#port.postMessage({ type: "ended", id });
      else this.#fail(id, state, grpc.status.INVALID_ARGUMENT, "the first message of a stream is its start");
    });
  }

  /** @param {FromHandlers} message */
  receive(message) {
    const { id } = message;
    const state = this.#states.get(id);
    if (state === undefined) return;
    switch (message.type) {
      case "begin":
        state.command = message.command;
        state.begunAt = performance.now();
        return;
      case "message":
        return this.#write(id, state, message.bytes);
      case "end":
        return this.#end(id, state, message.bytes);
      case "took":
        state.unread.splice(0, message.messages);
        if (!isFull(state)) state.call.resume();
        return;
      case "stop":
        return this.#stop(id, state);
      case "fail":
        return this.#fail(id, state, message.code, message.message);
    }
  }

  cancelAll() {
    for (const [id, state] of this.#states) this.#cancel(id, state);
  }

  /** @param {number} id @param {State} state @param {Method} method @param {Uint8Array} bytes */
  #begin(id, state, method, bytes) {
    state.opened = true;
    post(this.#port, /** @type {any} */ ({ type: "open", id, method, bytes }));
  }

  /** @param {number} id @param {State} state @param {Method} method @param {Uint8Array} bytes */
  #read(id, state, method, bytes) {
    if (!state.opened) {
      state.credit = keepsCredit(bytes);
      return this.#begin(id, state, method, bytes);
    }
    // With credit everything is taken at once, and what is unread is bounded by it.
    if (!state.credit) {
      state.unread.push(bytes.byteLength);
      if (isFull(state)) state.call.pause();
    }
    post(this.#port, /** @type {any} */ ({ type: "message", id, bytes }));
  }

  /** @param {number} id @param {State} state @param {Uint8Array} bytes */
  #write(id, state, bytes) {
    if (state.answered || state.stopped) return;
    state.call.write(bytes, () => {
      // Several of them in one message.
      if (state.written++ > 0) return;
      setImmediate(() => {
        this.#port.postMessage({ type: "taken", id, messages: state.written });
        state.written = 0;
      });
    });
  }

  /** The handler has ended. @param {number} id @param {State} state @param {Uint8Array | undefined} bytes */
  #end(id, state, bytes) {
    if (!state.answered && bytes === undefined) {
      this.#refuse(state, grpc.status.CANCELLED, "the call was cancelled");
    } else if (!state.answered && state.answer !== undefined) {
      state.answer(null, bytes);
    } else if (!state.answered) {
      state.call.write(bytes);
      state.call.end();
    }
    state.answered = true;
    this.#states.delete(id);
    if (this.#states.size === 0) for (const tell of this.#whenIdle.splice(0)) tell();
  }

  /** @param {number} id @param {State} state @param {number} code @param {string} details */
  #fail(id, state, code, details) {
    this.#refuse(state, code, details);
    if (state.command === undefined) this.#end(id, state, undefined);
    else this.#stop(id, state);
  }

  /** @param {State} state @param {number} code @param {string} details */
  #refuse(state, code, details) {
    if (state.answered) return;
    state.answered = true;
    const error = { code, details, message: details, name: "Error", metadata: new grpc.Metadata() };
    if (state.answer !== undefined) state.answer(error);
    else state.call.emit("error", error);
  }

  /** The caller waits for nothing any more. @param {number} id @param {State} state */
  #cancel(id, state) {
    state.answered = true;
    if (!this.#states.has(id)) return;
    if (!state.opened) return this.#end(id, state, undefined);
    this.#port.postMessage({ type: "cancel", id });
    this.#stop(id, state);
  }

  /** The handler has to end now. @param {number} id @param {State} state */
  #stop(id, state) {
    if (state.stopped) return;
    state.stopped = true;
    setTimeout(() => this.#look(id, state), this.#grace);
  }

  /** Whether a handler that had the grace time to end has ended. @param {number} id @param {State} state */
  #look(id, state) {
    if (!this.#states.has(id)) return;
    const rest = state.begunAt + this.#grace - performance.now();
    // While another handler keeps the main thread, one that waits there may still begin.
    if (state.command === undefined || rest > 0) {
      setTimeout(() => this.#look(id, state), Math.max(rest, this.#grace, 1));
      return;
    }
    complain(
      `snakepit: ${state.command} went on for ${this.#grace} ms after its cancellation; ` +
        `worker ${this.#workerId} ends, and is replaced`,
    );
    endGroup();
  }
}

/** @param {State} state */
function isFull({ unread }) {
  return unread.length >= READ_AHEAD || unread.reduce((sum, size) => sum + size, 0) >= READ_AHEAD_BYTES;
}
