// The pipes to the parent process, and the end of this one.

import { fstatSync, openSync, rmdirSync, unlinkSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { dirname } from "node:path";

/** So many bytes at a time are written to a pipe without anything of another writer in between. */
const FRAME = 4096 - 3;

const CONTROL = 0x1e;
const MORE = 0x2b;
const NEWLINE = 0x0a;

/** @type {number | undefined} */
let toParent;

/**
 * Tells the parent something: a control line, which begins with the byte 0x1e. One that is too long
 * to be written at once goes in pieces, all but the last marked by a `+`: whatever else is printed
 * meanwhile comes before or after a piece.
 *
 * @param {Record<string, unknown>} event
 */
export function tellParent(event) {
  const json = Buffer.from(JSON.stringify(event));
  for (let start = 0; start < json.length; start += FRAME) {
    const piece = json.subarray(start, start + FRAME);
    const last = start + FRAME >= json.length;
    writeAll(Buffer.from([CONTROL, ...(last ? [] : [MORE]), ...piece, NEWLINE]));
  }
}

/** Writes a line to standard error, at once. @param {string} text */
export function complain(text) {
  try {
    writeSync(2, `${text}\n`);
  } catch {
    // Nobody reads it.
  }
}

/** @param {Buffer} line */
function writeAll(line) {
  toParent ??= openParent();
  for (let written = 0; written < line.length; ) {
    try {
      written += writeSync(toParent, line, written);
    } catch (error) {
      // A pipe that others have made non-blocking, and a reader that is slow.
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EAGAIN") return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

/** Opened anew, standard output blocks, and stays whatever becomes of descriptor 1. */
function openParent() {
  try {
    if (fstatSync(1).isFIFO()) return openSync("/dev/fd/1", "a");
  } catch {
    // No such file: not everywhere.
  }
  return 1;
}

/** A longer line of the parent is none of ours. */
const LONGEST_ORDER = 256;

/**
 * Calls `gone` when the parent has closed its end of standard input, which its death does too, and
 * `obey` with what it asks until then, a line each. Not when this process was started by hand, from
 * a terminal.
 *
 * @param {() => void} gone
 * @param {(order: string) => void} obey
 */
export function watchParent(gone, obey) {
  const kind = fstatSync(0);
  if (!kind.isFIFO() && !kind.isSocket()) return;
  const pipe = new Socket({ fd: 0, readable: true, writable: false });
  pipe.on("error", () => {});
  pipe.on("close", gone);
  pipe.on("end", () => pipe.destroy());
  let rest = "";
  pipe.setEncoding("latin1");
  pipe.on("data", (/** @type {string} */ text) => {
    const orders = (rest + text).split("\n");
    rest = (orders.pop() ?? "").slice(0, LONGEST_ORDER);
    for (const order of orders) obey(order);
  });
}

/** What the parent would have cleared away: the socket, and with the last one its directory. @param {string} path */
export function removeSocket(path) {
  for (const remove of [() => unlinkSync(path), () => rmdirSync(dirname(path))]) {
    try {
      remove();
    } catch {
      // Gone already, or not empty.
    }
  }
}

/** Kills this process and all that it has started. */
export function endGroup() {
  try {
    // There is no group of this name unless this process leads one.
    process.kill(-process.pid, "SIGKILL");
  } catch {
    // Started by hand, as one of a shell's job.
  }
  process.kill(process.pid, "SIGKILL");
}
