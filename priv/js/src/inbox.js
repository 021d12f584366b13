import { Cancelled, InputFailed } from "./errors.js";
import { decodeEntries, sizeOf } from "./wire/values.js";

/** @typedef {import("./wire/values.js").Entry} Entry */
/** @typedef {Record<string, any>} Chunk */
/** @typedef {{entries: Entry[], bytes: number}} Waiting */

/**
 * Chunks on their way from the caller to a handler, which sees an async iterator of objects.
 *
 * With credit the caller never sends more than the window, and everything it sends is taken at once:
 * acknowledgements for the other direction come by the same stream and must not wait behind chunks.
 * Without credit `onTaken` has the next one read.
 *
 * @implements {AsyncIterableIterator<Chunk>}
 */
export class Inbox {
  #window;
  #maxBuffer;
  #codec;
  #onAck;
  #onTaken;
  /** @type {Waiting[]} */
  #chunks = [];
  /** @type {(() => IteratorResult<Chunk>) | undefined} what the end is told by */
  #end;
  /** @type {{resolve: (result: IteratorResult<Chunk>) => void, reject: (error: unknown) => void}[]} */
  #readers = [];
  #unacknowledged = 0;
  #unacknowledgedBytes = 0;

  /**
   * @param {{window: number, maxBuffer: number, codec: number}} start
   * @param {(chunks: number) => void} onAck
   * @param {(messages: number) => void} onTaken
   */
  constructor(start, onAck, onTaken) {
    this.#window = start.window;
    this.#maxBuffer = start.maxBuffer;
    this.#codec = start.codec;
    this.#onAck = onAck;
    this.#onTaken = onTaken;
  }

  /** Takes a chunk from the caller. False when it exceeds the credit. @param {Entry[]} entries */
  put(entries) {
    if (this.#window > 0 && this.#chunks.length >= this.#window) return false;
    this.#chunks.push({ entries, bytes: sizeOf(entries) });
    this.#serve();
    return true;
  }

  /** The caller's input is complete. */
  complete() {
    this.#finish(() => ({ value: undefined, done: true }));
  }

  /** The caller's input ended with an error. @param {string} reason */
  fail(reason) {
    this.#finish(() => {
      throw new InputFailed(reason);
    });
  }

  /** The caller has gone: what it sent is of no use any more. */
  abandon() {
    this.#chunks = [];
    this.#end = () => {
      throw new Cancelled();
    };
    this.#serve();
  }

  /** @returns {Promise<IteratorResult<Chunk>>} */
  next() {
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
      this.#serve();
    });
  }

  /** The handler wants no more. @returns {Promise<IteratorResult<Chunk>>} */
  async return() {
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  /** @param {() => IteratorResult<Chunk>} end */
  #finish(end) {
    this.#end ??= end;
    this.#serve();
  }

  #serve() {
    while (this.#readers.length > 0 && (this.#chunks.length > 0 || this.#end !== undefined)) {
      const reader = this.#readers.shift();
      try {
        reader?.resolve(this.#take());
      } catch (error) {
        reader?.reject(error);
      }
    }
    // Before waiting, as it may be the other limit that holds the caller up.
    if (this.#readers.length > 0) this.#acknowledge();
  }

  /** @returns {IteratorResult<Chunk>} */
  #take() {
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return /** @type {() => IteratorResult<Chunk>} */ (this.#end)();
    this.#unacknowledged += 1;
    this.#unacknowledgedBytes += chunk.bytes;
    // In halves of the window, so that the caller fills one while the other is consumed.
    const due =
      this.#unacknowledged * 2 >= this.#window ||
      this.#unacknowledgedBytes * 2 >= this.#maxBuffer ||
      this.#chunks.length === 0;
    if (due) this.#acknowledge();
    return { value: decodeEntries(chunk.entries, this.#codec), done: false };
  }

  #acknowledge() {
    const chunks = this.#unacknowledged;
    if (chunks === 0) return;
    this.#unacknowledged = 0;
    this.#unacknowledgedBytes = 0;
    if (this.#window > 0) this.#onAck(chunks);
    else this.#onTaken(chunks);
  }
}
