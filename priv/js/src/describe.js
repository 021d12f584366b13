// What the caller is told of an error.

import { fileURLToPath } from "node:url";

import { kindOf } from "./errors.js";

/** Longer stacks lose their middle, so that an error stays a small message. In characters. */
const LONGEST = 32_768;

const OURS = [new URL(".", import.meta.url).href, fileURLToPath(new URL(".", import.meta.url))];

/** @typedef {{kind: string, type: string, message: string, traceback: string, retryable: boolean}} Detail */

/**
 * @param {unknown} error anything that was thrown
 * @returns {Detail}
 */
export function describeError(error) {
  try {
    const kind = kindOf(error);
    // Where the bridge refused, its own frames say nothing.
    const traceback = kind === "python" ? stackOf(error) : "";
    return { kind, type: typeOf(error), message: messageOf(error), traceback, retryable: isRetryable(error) };
  } catch (second) {
    const message = `an error that cannot be described: ${String(second)}`;
    return { kind: "python", type: "Error", message, traceback: "", retryable: false };
  }
}

/**
 * The stack from the handler on, with the causes.
 *
 * @param {unknown} error
 * @returns {string}
 */
export function stackOf(error) {
  const seen = new Set();
  const parts = [];
  for (let current = error; current !== undefined && !seen.has(current); current = causeOf(current)) {
    seen.add(current);
    parts.push(ownStack(current));
  }
  const text = parts.join("\nCaused by: ");
  if (text.length <= LONGEST) return text;
  const half = LONGEST / 2;
  const missing = text.length - LONGEST;
  return `${text.slice(0, half)}\n    ... ${missing} characters left out ...\n${text.slice(-half)}`;
}

/** @param {unknown} error */
function ownStack(error) {
  const stack = error instanceof Error || hasStack(error) ? String(error.stack) : "";
  if (stack === "") return `${typeOf(error)}: ${messageOf(error)}`;
  const lines = stack.split("\n");
  // From the bottom up: what called the handler is of no interest to who wrote it.
  let end = lines.length;
  while (end > 1 && isOurs(lines[end - 1])) end -= 1;
  const kept = lines.slice(0, end);
  // A class that has not set `name` is printed by the name of its parent.
  if (kept[0].startsWith("Error") && typeOf(error) !== "Error") kept[0] = typeOf(error) + kept[0].slice(5);
  return kept.join("\n");
}

/** @param {string} line */
function isOurs(line) {
  return line.includes("(node:") || line.includes("at node:") || OURS.some((place) => line.includes(place));
}

/** @param {unknown} error @returns {error is {stack: unknown}} */
function hasStack(error) {
  return typeof error === "object" && error !== null && typeof Reflect.get(error, "stack") === "string";
}

/** @param {unknown} error */
function causeOf(error) {
  return error instanceof Error ? error.cause : undefined;
}

/** @param {unknown} error @returns {string} */
function typeOf(error) {
  if (typeof error !== "object" || error === null) return typeof error;
  const name = Reflect.get(error, "name");
  if (typeof name === "string" && name !== "" && name !== "Error") return name;
  const constructor = Reflect.get(error, "constructor");
  return (typeof constructor === "function" && constructor.name) || "Error";
}

/** @param {unknown} error @returns {string} */
function messageOf(error) {
  const message = typeof error === "object" && error !== null ? Reflect.get(error, "message") : error;
  return (typeof message === "string" ? message : String(error)) || typeOf(error);
}

/** @param {unknown} error */
function isRetryable(error) {
  return typeof error === "object" && error !== null && Reflect.get(error, "retryable") === true;
}
