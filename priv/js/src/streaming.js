import { current } from "./call.js";
import { Context } from "./context.js";
import { describeError } from "./describe.js";
import { Refusal } from "./errors.js";
import { Inbox } from "./inbox.js";
import { Outbox } from "./outbox.js";
import { produce } from "./produce.js";
import { CALLERS } from "./registry.js";
import { Credit } from "./wire/credit.js";
import { streamMessage } from "./wire/request.js";
import * as response from "./wire/response.js";
import { decodeEntries, encodeEntries } from "./wire/values.js";

/** @typedef {import("./call.js").Call} Call */
/** @typedef {import("./registry.js").Entry} Entry */
/** @typedef {import("./wire/request.js").Request} Request */
/** @typedef {import("./wire/request.js").Start} Start */
/** @typedef {import("./wire/values.js").Encoded} Encoded */
/** @typedef {import("./worker.js").Shared} Shared */

/** What a caller expects: StreamShape of the contract, and the kinds that fit. */
const SHAPES = [["stream", "client_stream", "bidi_stream"], ["stream"], ["client_stream"], ["bidi_stream"]];
const SHAPE_SERVER = 1;

/** gRPC status codes. */
const INVALID_ARGUMENT = 3;
const RESOURCE_EXHAUSTED = 8;

/** One stream: chunks out, and in the shapes that have some, chunks in. */
export class Streaming {
  #shared;
  #call;
  #args;
  #shape;
  #keepsCredit;
  #complete = false;
  #resultOnly;
  #outbox;
  #inbox;

  /**
   * @param {Shared} shared
   * @param {Call} call
   * @param {Request | Start} request
   * @param {{hasInput: boolean, resultOnly: boolean}} options `resultOnly`: the answer is that of a unary call
   */
  constructor(shared, call, request, { hasInput, resultOnly }) {
    const { window, maxBuffer, shape } = { window: 0, maxBuffer: 0, shape: SHAPE_SERVER, ...request };
    const { link } = shared;
    this.#shared = shared;
    this.#call = call;
    this.#args = request.args;
    this.#shape = shape;
    this.#keepsCredit = window > 0;
    this.#resultOnly = resultOnly;
    this.#outbox = new Outbox(new Credit(window, maxBuffer), (message) => link.message(call.id, message));
    this.#inbox = hasInput
      ? new Inbox(
          { window, maxBuffer, codec: call.codec },
          (chunks) => resultOnly || this.#outbox.putAside(response.ack(chunks)),
          (messages) => link.took(call.id, messages),
        )
      : undefined;
    call.onCancel(() => {
      this.#outbox.abandon();
      this.#inbox?.abandon();
    });
  }

  /**
   * Runs the handler to its end. Gives the last message, undefined when there is nobody to read it.
   *
   * @returns {Promise<Uint8Array | undefined>}
   */
  async run() {
    const { codec } = this.#call;
    try {
      const final = await this.#produce(this.#handler());
      const { entries } = final === undefined ? { entries: [] } : this.#encoded(final);
      if (this.#call.cancelled) return undefined;
      return this.#resultOnly ? response.success(entries, codec) : response.chunk(entries, codec, true);
    } catch (error) {
      if (this.#call.cancelled) return undefined;
      const detail = describeError(error);
      return this.#resultOnly ? response.failure(detail) : response.errorChunk(detail);
    }
  }

  /** HTTP/2 has taken so many messages. @param {number} messages */
  taken(messages) {
    this.#outbox.taken(messages);
  }

  /** The caller sends something. @param {Uint8Array} bytes */
  receive(bytes) {
    const message = streamMessage(bytes);
    if ("chunk" in message) {
      if (this.#inbox !== undefined && !this.#inbox.put(message.chunk)) {
        this.#break(RESOURCE_EXHAUSTED, "more chunks than the window");
      }
      return;
    }
    // Only chunks wait to be read.
    this.#shared.link.took(this.#call.id, 1);
    if ("ack" in message) {
      this.#outbox.acknowledge(message.ack);
    } else if ("halfClose" in message) {
      this.#complete = true;
      this.#inbox?.complete();
    } else if ("abort" in message) {
      this.#complete = true;
      this.#inbox?.fail(message.abort);
    } else {
      this.#break(INVALID_ARGUMENT, "a second start, or an empty message");
    }
  }

  /**
   * The caller's side of the stream has ended. One that is killed ends it too, and a handler must
   * not take that for the end of its input: who keeps credit says when the input is complete.
   */
  ended() {
    if (this.#keepsCredit && !this.#complete) {
      this.#shared.link.stop(this.#call.id);
      this.#call.cancel();
    } else {
      this.#inbox?.complete();
    }
  }

  /** @param {number} code @param {string} message */
  #break(code, message) {
    this.#shared.link.fail(this.#call.id, code, message);
    this.#call.cancel();
  }

  /** @returns {Entry} */
  #handler() {
    const entry = this.#shared.dispatcher.find(this.#call.command);
    if (entry.kind === "command" || !SHAPES[this.#shape]?.includes(entry.kind)) throw misused(entry);
    return entry;
  }

  /** @param {Entry} entry */
  async #produce({ kind, handler }) {
    const { dispatcher } = this.#shared;
    const args = decodeEntries(this.#args, this.#call.codec);
    this.#args = [];
    const input = kind === "stream" ? [] : [this.#inbox];
    const context = new Context(this.#call, dispatcher.sessions);
    const result = await current.run(this.#call, handler, args, ...input, context);
    if (kind === "client_stream") return result === undefined ? null : result;
    return produce(this.#call, result, {
      encode: (chunk) => this.#encoded(chunk),
      room: () => this.#outbox.room(),
      put: (chunk) => this.#put(chunk),
    });
  }

  /** @param {Encoded} chunk */
  #put({ entries, size }) {
    this.#outbox.put(response.chunk(entries, this.#call.codec, false), size);
  }

  /** @param {unknown} chunk */
  #encoded(chunk) {
    return limited(encodeEntries(chunk, this.#call.codec, "chunk"), this.#shared.maxMessageSize, "chunk");
  }
}

/**
 * @param {Encoded} encoded
 * @param {number} limit
 * @param {string} what
 */
export function limited(encoded, limit, what) {
  if (encoded.size <= limit) return encoded;
  throw new Refusal(
    "too_large",
    `a ${what} of ${encoded.size} bytes is over max_message_size, ${limit} bytes`,
  );
}

/** @param {Entry} entry */
export function misused({ name, kind }) {
  const { register, caller } = CALLERS[kind];
  return new Refusal("invalid_arguments", `${name} is a ${register}: call it with ${caller}`);
}
