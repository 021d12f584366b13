// The main program of a worker process.

import { Readable } from "node:stream";
import { inspect } from "node:util";
import { Worker } from "node:worker_threads";

import { Calls } from "./calls.js";
import { stackOf } from "./describe.js";
import { Dispatcher } from "./dispatcher.js";
import { Link } from "./link.js";
import { forwardConsole, setLevel } from "./logs.js";
import { importModules } from "./modules.js";
import { HELP, UsageError, parse } from "./options.js";
import { complain, endGroup } from "./parent.js";
import { version } from "./version.js";

/** @typedef {import("./options.js").Options} Options */
/** @typedef {{dispatcher: Dispatcher, link: Link, maxMessageSize: number}} Shared what the parts of a worker share */

/** After the parent has gone, the handlers have so long to clean up. */
const ORPHAN_FAREWELL = 500;

/** @param {string[]} argv */
export async function main(argv) {
  if (argv.includes("-h") || argv.includes("--help")) return void process.stdout.write(HELP);
  if (argv.includes("--version")) return void process.stdout.write(`${version}\n`);
  try {
    await serve(parse(argv));
  } catch (error) {
    if (error instanceof UsageError) {
      complain(`grpc_bridge.js: ${error.message}\nTry --help.`);
      process.exit(2);
    }
    complain(describe(error));
    process.exit(1);
  }
}

/** @param {Options} options */
async function serve(options) {
  claimProcess();
  const server = startServer(options);
  const dispatcher = new Dispatcher(options);
  const { maxMessageSize } = options;
  const calls = new Calls({ dispatcher, link: new Link(server), maxMessageSize }, options);
  forwardConsole();
  surviveRejections();

  await importModules(options.module, options.path);
  try {
    await dispatcher.start();
  } catch (error) {
    throw new Error("an onStart hook failed", { cause: error });
  }
  server.on("message", (message) => {
    switch (message.type) {
      case "unable":
        complain(message.message);
        return process.exit(1);
      case "orphaned":
        return farewell(calls, dispatcher);
      case "log_level":
        return setLevel(message.level);
      case "drained":
        return dispatcher.stop().then(() => process.exit(0));
      default:
        return calls.receive(message);
    }
  });
  process.once("SIGTERM", () => {
    calls.drain();
    server.postMessage({ type: "drain" });
  });
  server.postMessage({ type: "listen", commands: dispatcher.commands() });
}

/** @param {Options} options */
function startServer(options) {
  const { socket, port, workerId, maxMessageSize, cancelGraceMs, shutdownTimeoutMs } = options;
  const token = process.env.SNAKEPIT_TOKEN;
  // Out of sight of the handlers and of what they start.
  delete process.env.SNAKEPIT_TOKEN;
  const server = new Worker(new URL("io/thread.js", import.meta.url), {
    workerData: { socket, port, token, workerId, maxMessageSize, cancelGraceMs, shutdownTimeoutMs },
    execArgv: [],
  });
  server.on("error", (error) => {
    complain(describe(error));
    endGroup();
  });
  return server;
}

/** Standard input is for the parent alone, and Ctrl-C in its terminal is the parent's to act on. */
function claimProcess() {
  const empty = Readable.from([]);
  Object.defineProperty(process, "stdin", { value: empty, configurable: true });
  process.on("SIGINT", () => {});
}

/**
 * A promise that nobody waited for has failed on its own: that is told, and the worker goes on. An
 * exception that nobody caught may have left anything half done, so the worker ends with it, as
 * every Node process does, unless the user's modules have a listener of their own.
 */
function surviveRejections() {
  process.on("unhandledRejection", (reason) => {
    if (process.listenerCount("unhandledRejection") > 1) return;
    console.error(`a promise was rejected, and nobody waited for it:\n${stackOf(reason)}`);
  });
  process.on("uncaughtException", (error) => {
    if (process.listenerCount("uncaughtException") > 1) return;
    complain(`the worker ends, for an exception that nobody caught:\n${stackOf(error)}`);
    process.exit(1);
  });
}

/**
 * Without its parent the worker stops what runs and ends; the server's thread sees to it that it does.
 *
 * @param {Calls} calls
 * @param {Dispatcher} dispatcher
 */
async function farewell(calls, dispatcher) {
  calls.drain();
  calls.cancelAll();
  await Promise.race([calls.idle(), new Promise((resolve) => setTimeout(resolve, ORPHAN_FAREWELL))]);
  await dispatcher.stop();
  endGroup();
}

/** @param {unknown} error */
function describe(error) {
  return error instanceof Error ? inspect(error) : stackOf(error);
}
