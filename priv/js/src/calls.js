// The calls of this worker, on the thread where the handlers run.

import { Call, current } from "./call.js";
import { Context } from "./context.js";
import { describeError } from "./describe.js";
import { Refusal } from "./errors.js";
import { tellParent } from "./parent.js";
import { endReports } from "./progress.js";
import { Streaming, limited, misused } from "./streaming.js";
import { executeRequest, sessionRequest, streamMessage } from "./wire/request.js";
import * as response from "./wire/response.js";
import { decodeEntries, encodeEntries } from "./wire/values.js";

/** @typedef {import("./wire/request.js").Request} Request */
/** @typedef {import("./worker.js").Shared} Shared */
/** @typedef {import("./link.js").FromServer} FromServer */
/** @typedef {{call: Call, streaming?: Streaming, run: () => Promise<Uint8Array | undefined>, refuse: (detail: import("./describe.js").Detail) => Uint8Array}} Job */

/** Calls that wait for others to end; beyond that the worker says that it is busy. */
const MAX_QUEUE = 4096;

const INVALID_ARGUMENT = 3;

/** Which requests begin a call with their first message, and which with that of a stream. */
const METHODS = /** @type {const} */ ({
  Execute: { read: executeRequest, streams: false, hasInput: false },
  ExecuteInSession: { read: sessionRequest, streams: false, hasInput: false },
  ExecuteStream: { read: executeRequest, streams: true, hasInput: false },
  ExecuteInSessionStream: { read: sessionRequest, streams: true, hasInput: false },
  ExecuteClientStream: { read: startOf, streams: false, hasInput: true },
  ExecuteBidiStream: { read: startOf, streams: true, hasInput: true },
});

/** @typedef {keyof typeof METHODS} Method */

export class Calls {
  #shared;
  #workerId;
  #capacity;
  /** @type {Map<number, Job>} from receipt to the last message */
  #jobs = new Map();
  /** @type {Job[]} */
  #queue = [];
  /** Handlers that run and are not cancelled. */
  #running = 0;
  #draining = false;
  /** @type {(() => void)[]} */
  #whenIdle = [];

  /**
   * @param {Shared} shared
   * @param {{workerId: string, capacity: number}} options
   */
  constructor(shared, { workerId, capacity }) {
    this.#shared = shared;
    this.#workerId = workerId;
    this.#capacity = capacity;
  }

  /** Something the server has read. @param {FromServer} message */
  receive(message) {
    const { id } = message;
    if (message.type === "open") return this.#open(id, message.method, message.bytes);
    const job = this.#jobs.get(id);
    if (job === undefined) return;
    switch (message.type) {
      case "message":
        return this.#guard(id, () => job.streaming?.receive(message.bytes));
      case "taken":
        return job.streaming?.taken(message.messages);
      case "ended":
        return job.streaming?.ended();
      case "cancel":
        return job.call.cancel();
    }
  }

  /** No call is taken any more. */
  drain() {
    this.#draining = true;
  }

  cancelAll() {
    for (const { call } of this.#jobs.values()) call.cancel();
  }

  /** Resolves once no handler runs. */
  idle() {
    if (this.#jobs.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(() => resolve(undefined)));
  }

  /** @param {number} id @param {Method} method @param {Uint8Array} bytes */
  #open(id, method, bytes) {
    this.#guard(id, () => {
      const { read, streams, hasInput } = METHODS[method];
      const request = read(bytes);
      const call = new Call(id, request, this.#workerId);
      const job =
        streams || hasInput
          ? this.#stream(call, request, { hasInput, resultOnly: !streams })
          : this.#unary(call, request);
      this.#jobs.set(id, job);
      call.onCancel(() => this.#cancelled(job));
      this.#submit(job);
    });
  }

  /** What is not as in the contract ends the call that it belongs to. @param {number} id @param {() => void} read */
  #guard(id, read) {
    try {
      read();
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.#shared.link.fail(id, INVALID_ARGUMENT, `a message that cannot be read: ${text}`);
      this.#jobs.get(id)?.call.cancel();
    }
  }

  /** @param {Call} call @param {Request} request @returns {Job} */
  #unary(call, request) {
    return { call, run: () => this.#execute(call, request), refuse: response.failure };
  }

  /** @param {Call} call @param {Request} request @param {{hasInput: boolean, resultOnly: boolean}} options @returns {Job} */
  #stream(call, request, options) {
    const streaming = new Streaming(this.#shared, call, request, options);
    const refuse = options.resultOnly ? response.failure : response.errorChunk;
    return { call, streaming, run: () => streaming.run(), refuse };
  }

  /** @param {Job} job */
  #submit(job) {
    if (this.#draining) return this.#refuse(job, "draining", "the worker is stopping");
    if (this.#running < this.#capacity) return this.#begin(job);
    if (this.#queue.length < MAX_QUEUE) return void this.#queue.push(job);
    this.#refuse(job, "busy", "too many calls wait for this worker");
  }

  /** @param {Job} job @param {string} kind @param {string} message */
  #refuse(job, kind, message) {
    this.#over(job, job.refuse(describeError(new Refusal(kind, message))));
  }

  /** @param {Job} job */
  #begin(job) {
    this.#running += 1;
    this.#shared.link.begin(job.call.id, job.call.command);
    job.run().then((last) => {
      if (!job.call.cancelled) this.#running -= 1;
      this.#over(job, last);
      tellCancelled(job);
      this.#next();
    });
  }

  /** @param {Job} job */
  #cancelled(job) {
    const waiting = this.#queue.indexOf(job);
    if (waiting >= 0) {
      this.#queue.splice(waiting, 1);
      this.#over(job, undefined);
    } else {
      // It no longer counts: its place is for another, however long it takes to end.
      this.#running -= 1;
      this.#next();
    }
  }

  #next() {
    while (this.#running < this.#capacity) {
      const job = this.#queue.shift();
      if (job === undefined) return;
      this.#begin(job);
    }
  }

  /** @param {Job} job @param {Uint8Array | undefined} last */
  #over({ call }, last) {
    this.#jobs.delete(call.id);
    endReports(call);
    this.#shared.link.end(call.id, last);
    if (this.#jobs.size === 0) for (const tell of this.#whenIdle.splice(0)) tell();
  }

  /** @param {Call} call @param {Request} request @returns {Promise<Uint8Array | undefined>} */
  async #execute(call, request) {
    const { dispatcher, maxMessageSize } = this.#shared;
    try {
      const entry = dispatcher.find(call.command);
      if (entry.kind !== "command") throw misused(entry);
      const args = decodeEntries(request.args, call.codec);
      const context = new Context(call, dispatcher.sessions);
      const value = await current.run(call, entry.handler, args, context);
      if (call.cancelled) return undefined;
      const result = encodeEntries(value, call.codec, "result");
      return response.success(limited(result, maxMessageSize, "result").entries, call.codec);
    } catch (error) {
      return call.cancelled ? undefined : response.failure(describeError(error));
    }
  }
}

/** Of a cancelled call the parent hears how long its handler took to end. @param {Job} job */
function tellCancelled({ call, streaming }) {
  const { command, requestId, cancelledAt } = call;
  if (cancelledAt === undefined) return;
  const us = Math.round((performance.now() - cancelledAt) * 1000);
  tellParent({ event: "cancelled", request_id: requestId, command, us, how: streaming ? "yield" : "finished" });
}

/** @param {Uint8Array} bytes */
function startOf(bytes) {
  const message = streamMessage(bytes);
  if ("start" in message) return message.start;
  throw new Error("the first message of a stream is its start");
}
