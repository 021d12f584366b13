// The errors of snakepit-bridge.
//
//   SnakepitError
//     UnknownCommand      no command or stream of that name
//     InvalidArguments    an argument is missing or of no use
//     EncodingError       a value has no form on the wire
//     SessionNotFound     ctx.session was used in a call that has no session
//     InputFailed         the caller's own stream of chunks ended with an error
//     Cancelled           the caller no longer wants the result
//
// Whatever else a handler throws reaches the caller with its class, message and stack. A true
// property `retryable` tells the caller that the same call may succeed when it is made again.

/** Found on the errors of every copy of this package that a process may have loaded. */
const KIND = Symbol.for("snakepit-bridge.kind");

/** Base class of the errors that the bridge itself throws. */
export class SnakepitError extends Error {
  /** @type {string} The kind of the `Snakepit.Error` that the caller gets. */
  get [KIND]() {
    return "python";
  }

  /** @override */
  get name() {
    return this.constructor.name;
  }
}

/** There is no handler of that name. */
export class UnknownCommand extends SnakepitError {
  /** @override */
  get [KIND]() {
    return "unknown_command";
  }
}

/** An argument cannot be used. For handlers to throw; the message should name the argument. */
export class InvalidArguments extends SnakepitError {
  /** @override */
  get [KIND]() {
    return "invalid_arguments";
  }
}

/** A value cannot be sent; the message names its path, as in `result.layers[3]`. */
export class EncodingError extends SnakepitError {
  /** @override */
  get [KIND]() {
    return "encoding";
  }
}

/** `ctx.session` was used in a call that was made without a session. */
export class SessionNotFound extends SnakepitError {
  /** @override */
  get [KIND]() {
    return "session_not_found";
  }
}

/** What the caller sends could not be produced to its end. Thrown where a handler waits for it. */
export class InputFailed extends SnakepitError {}

/** The caller has halted, timed out or gone, so the handler should end. */
export class Cancelled extends SnakepitError {
  /** @param {string} [message] */
  constructor(message = "the caller no longer wants the result") {
    super(message);
  }

  /** @override */
  get [KIND]() {
    return "cancelled";
  }
}

/** A refusal by the bridge, before or after the handler ran. */
export class Refusal extends SnakepitError {
  /**
   * @param {string} kind
   * @param {string} message
   */
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }

  /** @override */
  get [KIND]() {
    return this.kind;
  }
}

/**
 * The kind of anything that was thrown.
 *
 * @param {unknown} error
 * @returns {string}
 */
export function kindOf(error) {
  const kind = typeof error === "object" && error !== null ? Reflect.get(error, KIND) : undefined;
  return typeof kind === "string" ? kind : "python";
}
