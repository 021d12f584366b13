// The thread of the server. It has no code of the user's, so it always answers, hears of every
// cancellation, and sees the parent go.

import { parentPort, workerData } from "node:worker_threads";

import { complain, endGroup, removeSocket, tellParent, watchParent } from "../parent.js";
import { Server } from "./server.js";

/** @typedef {import("../link.js").FromHandlers | import("../link.js").Order} Message */

/** After the parent has gone, a worker may take so long to end. */
const ORPHAN_GRACE = 1000;

const port = /** @type {import("node:worker_threads").MessagePort} */ (parentPort);
const options = /** @type {import("./server.js").ServerOptions} */ (workerData);
const server = new Server(options, port);
let serving = false;

watchParent(
  () => {
    if (options.socket !== undefined) removeSocket(options.socket);
    if (!serving) return endGroup();
    setTimeout(endGroup, ORPHAN_GRACE);
    server.cancelAll();
    port.postMessage({ type: "orphaned" });
  },
  (order) => {
    const [kind, level] = order.split(" ");
    if (kind === "log_level") port.postMessage({ type: "log_level", level });
  },
);

port.on("message", (/** @type {Message} */ message) => {
  switch (message.type) {
    case "listen":
      return void listen(message.commands);
    case "drain":
      return void server.drain().then(() => port.postMessage({ type: "drained" }));
    default:
      return server.calls.receive(message);
  }
});

/** @param {string[]} commands */
async function listen(commands) {
  try {
    const address = await server.listen(commands);
    serving = true;
    tellParent({ event: "ready", os_pid: process.pid, address });
  } catch (error) {
    port.postMessage({ type: "unable", message: error instanceof Error ? error.message : String(error) });
  }
}

process.on("uncaughtException", (error) => {
  complain(`the server's thread failed: ${error.stack}`);
  endGroup();
});
