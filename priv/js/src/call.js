import { AsyncLocalStorage } from "node:async_hooks";

import { Cancelled } from "./errors.js";

/** @typedef {import("./wire/request.js").Head} Head */

/** The call whose handler runs, for what is not passed its context: the log. */
export const current = /** @type {AsyncLocalStorage<Call>} */ (new AsyncLocalStorage());

/** One call in this worker, from its receipt to its last message. */
export class Call {
  cancelled = false;
  /** @type {number | undefined} when it was cancelled, as performance.now() has it */
  cancelledAt;
  /** @type {AbortController | undefined} */
  #controller;
  /** @type {(() => void)[]} */
  #onCancel = [];

  /**
   * @param {number} id
   * @param {Head} head
   * @param {string} workerId
   */
  constructor(id, head, workerId) {
    this.id = id;
    this.workerId = workerId;
    this.command = head.command;
    this.sessionId = head.sessionId;
    this.requestId = head.requestId;
    this.metadata = head.metadata;
    this.codec = head.codec;
    this.deadline = head.timeoutMs > 0 ? performance.now() + head.timeoutMs : null;
  }

  get signal() {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.cancelled) this.#controller.abort(new Cancelled());
    }
    return this.#controller.signal;
  }

  /** @param {() => void} callback called once, when the call is cancelled */
  onCancel(callback) {
    if (this.cancelled) callback();
    else this.#onCancel.push(callback);
  }

  /** The peer waits for nothing any more. */
  cancel() {
    if (this.cancelled) return;
    this.cancelled = true;
    this.cancelledAt = performance.now();
    this.#controller?.abort(new Cancelled());
    for (const callback of this.#onCancel) callback();
  }
}
