// Which handlers there are.

/** @typedef {"command" | "stream" | "client_stream" | "bidi_stream"} Kind */
/** @typedef {(...args: any[]) => any} Handler */
/** @typedef {{name: string, kind: Kind, handler: Handler}} Entry */

/** How each kind is registered, and called from Elixir. */
export const CALLERS = /** @type {const} */ ({
  command: { register: "command", caller: "execute" },
  stream: { register: "stream", caller: "execute_stream" },
  client_stream: { register: "clientStream", caller: "execute_client_stream" },
  bidi_stream: { register: "bidiStream", caller: "execute_bidi_stream" },
});

/** Handlers by name, and the hooks of the worker and its sessions in their order. */
export class Registry {
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  /** @type {Handler[]} */
  startHooks = [];
  /** @type {Handler[]} */
  stopHooks = [];
  /** @type {Handler[]} */
  sessionEndHooks = [];

  /**
   * Throws if the name belongs to another function, or the function is of another kind.
   *
   * @param {Entry} entry
   */
  add(entry) {
    check(entry);
    const there = this.#entries.get(entry.name);
    if (there !== undefined && there.handler !== entry.handler) {
      throw new Error(`there is already a ${there.kind} '${entry.name}': give one of them another name`);
    }
    this.#entries.set(entry.name, entry);
  }

  /** @param {string} name */
  get(name) {
    return this.#entries.get(name);
  }

  names() {
    return [...this.#entries.keys()];
  }
}

/** @param {Entry} entry */
function check({ name, kind, handler }) {
  const one = kind === "command" || kind === "client_stream";
  if (one && /GeneratorFunction$/.test(handler.constructor.name)) {
    const twin = kind === "command" ? "stream" : "bidiStream";
    throw new TypeError(`'${name}' yields chunks: register it with ${twin}()`);
  }
}

// One per process, however many copies of this package the modules of a worker import.
const KEY = Symbol.for("snakepit-bridge.registry");

/** @type {Registry} */
export const registry = Reflect.get(globalThis, KEY) ?? new Registry();
Reflect.set(globalThis, KEY, registry);
