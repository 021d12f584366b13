// What handlers say on the console, as events of Elixir's Logger with their level and their call.

import { formatWithOptions } from "node:util";

import { current } from "./call.js";
import { tellParent } from "./parent.js";

/** A longer message is cut. Elixir cuts plain lines at the same length. */
const MOST = 65_536;

/** @type {Record<"debug" | "log" | "info" | "warn" | "error", string>} */
const LEVELS = { debug: "debug", log: "info", info: "info", warn: "warning", error: "error" };

/** Has the console's methods tell the parent. What is written to process.stdout stays plain text. */
export function forwardConsole() {
  for (const [method, level] of Object.entries(LEVELS)) {
    Reflect.set(console, method, (/** @type {unknown[]} */ ...args) => log(level, args));
  }
  console.trace = (...args) => {
    const { stack = "" } = new Error();
    log("debug", [formatWithOptions({}, ...args), stack.replace(/^.*\n.*\n/, "\n")]);
  };
}

/** @param {string} level @param {unknown[]} args */
function log(level, args) {
  let message = formatWithOptions({ colors: false }, ...args);
  if (message.length > MOST) {
    message = `${message.slice(0, MOST)} [cut: the message has ${message.length} characters]`;
  }
  const requestId = current.getStore()?.requestId;
  tellParent({ event: "log", level, logger: "console", message, ...(requestId && { request_id: requestId }) });
}
