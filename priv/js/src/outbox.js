import { Credit } from "./wire/credit.js";

/** So many messages may wait for HTTP/2 to take them ... */
const MAX_MESSAGES = 64;
/** ... and so many bytes, or one message. */
const MAX_BYTES = 256 * 1024;

/**
 * Messages on their way from a handler to one gRPC stream: what makes a fast generator wait for a
 * slow consumer. The producer is woken when half the room is free again.
 */
export class Outbox {
  #credit;
  #send;
  #waiting = new Credit(MAX_MESSAGES, MAX_BYTES);
  #gone = false;
  /** @type {((room: boolean) => void) | undefined} */
  #wake;

  /**
   * @param {Credit} credit what the peer has granted
   * @param {(message: Uint8Array) => void} send
   */
  constructor(credit, send) {
    this.#credit = credit;
    this.#send = send;
  }

  /**
   * True when there is room, false when the peer has gone; a promise of either meanwhile.
   *
   * @returns {boolean | Promise<boolean>}
   */
  room() {
    if (this.#gone) return false;
    if (this.#waiting.available && this.#credit.available) return true;
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Sends a chunk of `bytes` on credit. @param {Uint8Array} chunk @param {number} bytes */
  put(chunk, bytes) {
    this.#credit.spend(bytes);
    this.#pass(chunk, bytes);
  }

  /** Sends a message that needs no credit and no room. @param {Uint8Array} message */
  putAside(message) {
    this.#pass(message, 0);
  }

  /** The peer is done with so many more chunks. @param {number} chunks */
  acknowledge(chunks) {
    this.#credit.acknowledge(chunks);
    this.#tellProducer();
  }

  /** HTTP/2 has taken so many more messages. @param {number} messages */
  taken(messages) {
    this.#waiting.acknowledge(messages);
    this.#tellProducer();
  }

  /** The peer reads no more. */
  abandon() {
    this.#gone = true;
    this.#resolve(false);
  }

  /** @param {Uint8Array} message @param {number} bytes */
  #pass(message, bytes) {
    if (this.#gone) return;
    this.#waiting.spend(bytes);
    this.#send(message);
  }

  #tellProducer() {
    const half = this.#waiting.chunks <= MAX_MESSAGES / 2 && this.#waiting.bytes <= MAX_BYTES / 2;
    if (half && this.#credit.available) this.#resolve(true);
  }

  /** @param {boolean} room */
  #resolve(room) {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.(room);
  }
}
