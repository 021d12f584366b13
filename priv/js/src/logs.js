// What handlers say on the console, as events of Elixir's Logger with their level and their call.

import { formatWithOptions } from "node:util";

import { current } from "./call.js";
import { tellParent } from "./parent.js";

/** A longer message is cut. Elixir cuts plain lines at the same length. */
const MOST = 65_536;

/** So many lines a second are passed on in the long run, and so many at once; of those below warnings, and of the others. */
const RATE = 1000;

/** So many characters of a message count as much as a line. */
const CHARACTERS = 1000;

/** @type {Record<"debug" | "log" | "info" | "warn" | "error", string>} */
const LEVELS = { debug: "debug", log: "info", info: "info", warn: "warning", error: "error" };

/** How much is told at each level that the application may want. */
const WANTED = ["off", "error", "warning", "info", "debug", "trace"];

let wanted = WANTED.indexOf("trace");
let dropped = 0;
const budgets = { details: { left: RATE, filled: 0 }, warnings: { left: RATE, filled: 0 } };

/** Has the console's methods tell the parent. What is written to process.stdout stays plain text. */
export function forwardConsole() {
  const level = process.env.SNAKEPIT_LOG_LEVEL;
  delete process.env.SNAKEPIT_LOG_LEVEL;
  if (level !== undefined) setLevel(level);
  for (const [method, level] of Object.entries(LEVELS)) {
    Reflect.set(console, method, (/** @type {unknown[]} */ ...args) => log(level, args));
  }
  console.trace = (...args) => {
    const { stack = "" } = new Error();
    log("debug", [formatWithOptions({}, ...args), stack.replace(/^.*\n.*\n/, "\n")]);
  };
}

/** The application wants what is said from this level on. @param {string} level */
export function setLevel(level) {
  if (WANTED.includes(level)) wanted = WANTED.indexOf(level);
}

/** @param {string} level @param {unknown[]} args */
function log(level, args) {
  if (WANTED.indexOf(level) > wanted) return;
  const budget = level === "error" || level === "warning" ? budgets.warnings : budgets.details;
  if (!take(budget)) return drop();
  let message = formatWithOptions({ colors: false }, ...args);
  if (message.length > MOST) {
    message = `${message.slice(0, MOST)} [cut: the message has ${message.length} characters]`;
  }
  budget.left -= message.length / CHARACTERS;
  const call = current.getStore();
  const names = { ...(call?.requestId && { request_id: call.requestId }), ...(call && { command: call.command }) };
  tellParent({ event: "log", level, logger: "console", message, ...names });
}

/** @param {{left: number, filled: number}} budget */
function take(budget) {
  const now = performance.now();
  budget.left = Math.min(RATE, budget.left + ((now - budget.filled) * RATE) / 1000);
  budget.filled = now;
  if (budget.left < 1) return false;
  budget.left -= 1;
  return true;
}

function drop() {
  dropped += 1;
  if (dropped > 1) return;
  const tell = () => {
    tellParent({ event: "log_dropped", count: dropped });
    dropped = 0;
  };
  setTimeout(tell, 1000).unref();
}
