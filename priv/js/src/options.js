// The command line of a worker: the same as that of the Python worker.

import { closest } from "./suggest.js";

export const HELP = `\
usage: node grpc_bridge.js (--socket PATH | --port PORT) [OPTION]...

Runs a Snakepit worker, which serves the functions of the given modules to an Elixir
application. Snakepit's pools start it; by hand it is of use for a look with grpcurl.

where to listen:
  --socket PATH              unix socket to make
  --port PORT                TCP port on 127.0.0.1 (50051 if neither is given);
                             callers need the token in the environment's SNAKEPIT_TOKEN, if set

what to serve:
  --path DIR                 directory to look for modules in; may be repeated
  --module NAME              module to import, whose handlers are served: a file, or a
                             package; may be repeated

how:
  --worker-id ID             name in logs and errors (worker)
  --capacity N               calls and streams that run at once (10)
  --max-message-size BYTES   largest request or reply (268435456)
  --cancel-grace-ms MS       how long a cancelled handler may go on (2000)
  --shutdown-timeout-ms MS   how long running calls may go on after SIGTERM (5000)
  --max-sessions N           sessions whose state is kept (10000)
  --session-ttl-ms MS        how long the state of an unused session is kept (3600000)
  -h, --help                 show this and exit
  --version                  show the version and exit

Once it listens, it writes one line to standard output: the byte 0x1e and the JSON object
{"event": "ready", "os_pid": ..., "address": ...}. It ends when its standard input is closed.
`;

/** The command line cannot be understood. */
export class UsageError extends Error {}

/**
 * @typedef {object} Options
 * @property {string} [socket]
 * @property {number} [port]
 * @property {string} workerId
 * @property {number} capacity
 * @property {number} maxMessageSize
 * @property {number} cancelGraceMs
 * @property {number} shutdownTimeoutMs
 * @property {number} maxSessions
 * @property {number} sessionTtlMs
 * @property {string[]} path
 * @property {string[]} module
 */

/** @type {Record<string, (options: Options, value: string) => void>} */
const READERS = {
  "--socket": (options, value) => void (options.socket = value),
  "--port": (options, value) => void (options.port = between(value, 0, 65_535)),
  "--worker-id": (options, value) => void (options.workerId = value),
  "--capacity": (options, value) => void (options.capacity = between(value, 1, 10_000)),
  "--max-message-size": (options, value) => void (options.maxMessageSize = between(value, 1024, 2 ** 31 - 1)),
  "--cancel-grace-ms": (options, value) => void (options.cancelGraceMs = between(value, 0, 2 ** 31 - 1)),
  "--shutdown-timeout-ms": (options, value) => void (options.shutdownTimeoutMs = between(value, 0, 2 ** 31 - 1)),
  "--max-sessions": (options, value) => void (options.maxSessions = between(value, 1, 2 ** 31 - 1)),
  "--session-ttl-ms": (options, value) => void (options.sessionTtlMs = between(value, 1, 2 ** 53)),
  "--path": (options, value) => void options.path.push(value),
  "--module": (options, value) => void options.module.push(value),
};

/**
 * Reads `--name value` and `--name=value`. Throws UsageError.
 *
 * @param {string[]} argv
 * @returns {Options}
 */
export function parse(argv) {
  /** @type {Options} */
  const options = {
    workerId: "worker",
    capacity: 10,
    maxMessageSize: 256 * 1024 * 1024,
    cancelGraceMs: 2_000,
    shutdownTimeoutMs: 5_000,
    maxSessions: 10_000,
    sessionTtlMs: 3_600_000,
    path: [],
    module: [],
  };
  for (let index = 0; index < argv.length; index++) {
    const [, name, given] = /^([^=]*)(?:=(.*))?$/s.exec(argv[index]) ?? ["", "", ""];
    if (!Object.hasOwn(READERS, name)) throw new UsageError(unknown(name));
    const value = given ?? argv[++index] ?? "";
    if (value === "") throw new UsageError(`${name} needs a value`);
    try {
      READERS[name](options, value);
    } catch (error) {
      throw new UsageError(`${name} ${/** @type {Error} */ (error).message}, got '${value}'`);
    }
  }
  if (options.socket !== undefined && options.port !== undefined) {
    throw new UsageError("--socket and --port exclude each other");
  }
  if (options.socket === undefined) options.port ??= 50_051;
  return options;
}

/** @param {string} value @param {number} least @param {number} most */
function between(value, least, most) {
  const number = /^\d+$/.test(value) ? Number(value) : NaN;
  if (number >= least && number <= most) return number;
  throw new Error(`takes an integer from ${least} to ${most}`);
}

/** @param {string} name */
function unknown(name) {
  if (!name.startsWith("--")) return `takes no arguments besides options, got '${name}'`;
  const alike = closest(name, Object.keys(READERS));
  return `unknown option ${name}${alike === undefined ? "" : `, did you mean ${alike}?`}`;
}
