const FINAL = Symbol.for("snakepit-bridge.final");

/**
 * The final chunk of a stream, for what cannot return a value, a Node stream say. A generator
 * simply returns its final chunk.
 *
 *     stream("rows", async function* () {
 *       yield { row: 1 };
 *       return { rows: 1 };        // or: yield new Final({ rows: 1 });
 *     });
 *
 * Nothing is taken from the handler after it.
 */
export class Final {
  /** @param {unknown} [chunk] */
  constructor(chunk) {
    this.chunk = chunk;
  }

  get [FINAL]() {
    return true;
  }
}

/**
 * Also one of another copy of this package.
 *
 * @param {unknown} value
 * @returns {value is Final}
 */
export function isFinal(value) {
  return typeof value === "object" && value !== null && FINAL in value;
}
