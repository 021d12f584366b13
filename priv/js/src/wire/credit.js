/**
 * How far one side of a stream may run ahead of the other, in chunks and in bytes.
 *
 * A chunk may be sent while fewer than `window` chunks and fewer than `maxBuffer` bytes are
 * unacknowledged; so the bytes exceed `maxBuffer` by less than one chunk, and a chunk larger than all
 * of it still passes, alone. 0 means no limit.
 */
export class Credit {
  #window;
  #maxBuffer;
  /** @type {number[]} */
  #sizes = [];
  #first = 0;
  #bytes = 0;

  /**
   * @param {number} window
   * @param {number} maxBuffer
   */
  constructor(window, maxBuffer) {
    this.#window = window || Infinity;
    this.#maxBuffer = maxBuffer || Infinity;
  }

  get limited() {
    return this.#window !== Infinity || this.#maxBuffer !== Infinity;
  }

  /** Whether one more chunk may be sent now. */
  get available() {
    return this.#sizes.length - this.#first < this.#window && this.#bytes < this.#maxBuffer;
  }

  /** Bytes that are sent and not acknowledged. */
  get bytes() {
    return this.#bytes;
  }

  /** Chunks that are sent and not acknowledged. */
  get chunks() {
    return this.#sizes.length - this.#first;
  }

  /** @param {number} bytes of a chunk that is sent */
  spend(bytes) {
    if (!this.limited) return;
    this.#sizes.push(bytes);
    this.#bytes += bytes;
  }

  /** @param {number} chunks that are done, the oldest; more than are out is taken as all */
  acknowledge(chunks) {
    const end = Math.min(this.#first + chunks, this.#sizes.length);
    while (this.#first < end) this.#bytes -= this.#sizes[this.#first++];
    if (this.#first > 1024 && this.#first * 2 > this.#sizes.length) {
      this.#sizes = this.#sizes.slice(this.#first);
      this.#first = 0;
    }
  }
}
