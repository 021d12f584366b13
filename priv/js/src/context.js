import { Cancelled, SessionNotFound } from "./errors.js";
import { Reports } from "./progress.js";

/** @typedef {import("./call.js").Call} Call */
/** @typedef {import("./sessions.js").Sessions} Sessions */

/** The call that a handler serves: its last parameter. */
export class Context {
  #call;
  #sessions;
  /** @type {Reports | undefined} */
  #reports;

  /**
   * @param {Call} call
   * @param {Sessions} sessions
   */
  constructor(call, sessions) {
    this.#call = call;
    this.#sessions = sessions;
  }

  /**
   * The object that this worker keeps for the session of the call, for values of any kind. All calls
   * of one session see the same object.
   *
   * @returns {Record<string, any>}
   */
  get session() {
    const { sessionId, command } = this.#call;
    if (sessionId === "") {
      throw new SessionNotFound(
        `'${command}' uses ctx.session and was called without a session: ` +
          "call it with Snakepit.execute_in_session",
      );
    }
    return this.#sessions.get(sessionId);
  }

  /** The id of the session; empty if the call has none. */
  get sessionId() {
    return this.#call.sessionId;
  }

  /** The name under which the handler was called. */
  get command() {
    return this.#call.command;
  }

  /** The id that the caller gave to the call, for logs. */
  get requestId() {
    return this.#call.requestId;
  }

  /** What the caller sent along with the call besides the arguments. */
  get metadata() {
    return this.#call.metadata;
  }

  /** The name of this worker process in its pool. */
  get workerId() {
    return this.#call.workerId;
  }

  /**
   * Milliseconds until the caller gives up, at least 0; null if it waits for ever.
   *
   * @returns {number | null}
   */
  timeRemaining() {
    const { deadline } = this.#call;
    return deadline === null ? null : Math.max(0, deadline - performance.now());
  }

  /**
   * Says how far the handler is, from 0 to 1: who watches the job sees it.
   *
   * Free to be called often: of more than a thousand calls a second some are not passed on. Without a
   * job nobody listens. Throws RangeError if `fraction` is no number from 0 to 1.
   *
   * @param {number} fraction
   * @param {string} [message]
   */
  progress(fraction, message) {
    this.#reports ??= new Reports(this.#call);
    this.#reports.report(fraction, message);
  }

  /** Whether the caller no longer wants the result. */
  get cancelled() {
    return this.#call.cancelled;
  }

  /**
   * Aborted, with Cancelled as its reason, when the caller no longer wants the result. Nothing else
   * ends what a handler waits for: give it to fetch, to timers and to whatever else takes one.
   */
  get signal() {
    return this.#call.signal;
  }

  /** Throws Cancelled if the caller no longer wants the result. */
  checkCancelled() {
    if (this.#call.cancelled) throw new Cancelled();
  }
}
