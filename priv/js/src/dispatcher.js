import { builtins } from "./builtins.js";
import { stackOf } from "./describe.js";
import { UnknownCommand } from "./errors.js";
import { registry as registered } from "./registry.js";
import { Sessions } from "./sessions.js";
import { hint } from "./suggest.js";

/** @typedef {import("./registry.js").Entry} Entry */
/** @typedef {import("./registry.js").Handler} Handler */

/** The command by which a pool says that sessions are over. */
const END_SESSIONS = "snakepit.end_sessions";

/** The handlers of one worker, its hooks and its sessions. Knows no transport. */
export class Dispatcher {
  #registry;
  #started = false;
  /** @type {Entry} */
  #endSessions;

  /**
   * @param {{registry?: import("./registry.js").Registry, maxSessions?: number, sessionTtlMs?: number}} [options]
   */
  constructor({ registry = registered, maxSessions, sessionTtlMs } = {}) {
    this.#registry = registry;
    this.sessions = new Sessions(maxSessions, sessionTtlMs);
    this.#endSessions = {
      name: END_SESSIONS,
      kind: "command",
      handler: (/** @type {{sessions: string[]}} */ { sessions }) => this.#end(sessions),
    };
  }

  /**
   * The handler of that name. Throws UnknownCommand, which names one that looks like it.
   *
   * @param {string} command
   * @returns {Entry}
   */
  find(command) {
    const entry = this.#registry.get(command) ?? builtins.get(command);
    if (entry !== undefined) return entry;
    if (command === END_SESSIONS) return this.#endSessions;
    throw new UnknownCommand(
      `unknown command '${command}'${hint(command, this.commands(), "commands")}`,
    );
  }

  /** The names of all handlers, sorted. */
  commands() {
    return [...new Set([...this.#registry.names(), ...builtins.names()])].sort();
  }

  /** Runs the start hooks. What one throws is passed on, and the later ones do not run. */
  async start() {
    this.#started = true;
    for (const hook of this.#registry.startHooks) await hook();
  }

  /** Ends the sessions and runs the stop hooks. What a hook throws is printed. */
  async stop() {
    if (!this.#started) return;
    this.#started = false;
    await this.#end(this.sessions.ids());
    await runHooks("onStop", this.#registry.stopHooks);
  }

  /** @param {string[]} ids */
  async #end(ids) {
    let ended = 0;
    for (const id of ids) {
      const session = this.sessions.end(id);
      if (session === undefined) continue;
      ended += 1;
      await runHooks("onSessionEnd", this.#registry.sessionEndHooks, id, session);
    }
    return { ended };
  }
}

/**
 * @param {string} kind
 * @param {Handler[]} hooks
 * @param {any[]} args
 */
async function runHooks(kind, hooks, ...args) {
  for (const hook of [...hooks].reverse()) {
    try {
      await hook(...args);
    } catch (error) {
      console.error(`${kind} hook ${hook.name || "(anonymous)"} failed:\n${stackOf(error)}`);
    }
  }
}
