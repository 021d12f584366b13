// What handlers say of their progress, written to the parent process with the id of the call.

import { tellParent } from "./parent.js";

/** @typedef {import("./call.js").Call} Call */

/** So many reports a second of one call are passed on in the long run, and so many at once. */
const RATE = 1_000;

/** The metadata that a job has. */
const JOB = "snakepit-job";

/** A longer message is cut. */
const MOST = 1_000;

/** What one call says of its progress. */
export class Reports {
  #call;
  #budget = RATE;
  #filled = performance.now();
  #done = false;

  /** @param {Call} call */
  constructor(call) {
    this.#call = call;
  }

  /** @param {number} fraction @param {string | undefined} message */
  report(fraction, message) {
    if (typeof fraction !== "number" || !(fraction >= 0 && fraction <= 1)) {
      throw new RangeError(`progress is a number from 0 to 1, not ${String(fraction)}`);
    }
    // Nobody listens to a call that is no job.
    if (!isJob(this.#call) || !this.#mayTell(fraction)) return;
    const text = message === undefined || message === null ? null : String(message).slice(0, MOST);
    tellParent({ event: "progress", request_id: this.#call.requestId, fraction, message: text });
  }

  /** Takes one report from the budget, which fills with time. @param {number} fraction */
  #mayTell(fraction) {
    const now = performance.now();
    this.#budget = Math.min(RATE, this.#budget + ((now - this.#filled) * RATE) / 1000);
    this.#filled = now;
    if (this.#budget >= 1) this.#budget -= 1;
    else if (this.#done || fraction < 1) return false;
    // The end of the way is told in any case, once.
    this.#done ||= fraction === 1;
    return true;
  }
}

/** Tells that no more reports of this call come, if somebody waits for that. @param {Call} call */
export function endReports(call) {
  if (isJob(call)) tellParent({ event: "progress", request_id: call.requestId, over: true });
}

/** @param {Call} call */
function isJob({ metadata }) {
  return JOB in metadata;
}
