import { chmodSync } from "node:fs";
import { timingSafeEqual } from "node:crypto";
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation } from "grpc-health-check";

import { version } from "../version.js";
import { CODEC_JSON, CODEC_MSGPACK } from "../wire/values.js";
import * as response from "../wire/response.js";
import { Calls } from "./calls.js";
import { tuneServers } from "./http2.js";
import { methods } from "./service.js";

/**
 * @typedef {object} ServerOptions
 * @property {string | undefined} socket
 * @property {number | undefined} port
 * @property {string | undefined} token
 * @property {string} workerId
 * @property {number} maxMessageSize
 * @property {number} cancelGraceMs
 * @property {number} shutdownTimeoutMs
 */

const SERVICE = "snakepit.SnakepitBridge";
const PROTO = fileURLToPath(new URL("../../proto/snakepit.proto", import.meta.url));

/** The limit users set is on values; the framing comes on top. */
const MESSAGE_OVERHEAD = 64 * 1024;

/** What is answered has so long to be sent before the process ends. */
const LAST_BYTES = 250;

export class Server {
  #options;
  #server;
  #health = new HealthImplementation({ "": "SERVING", [SERVICE]: "SERVING" });
  #started = performance.now();
  /** @type {string[]} */
  #commands = [];
  #draining = false;

  /**
   * @param {ServerOptions} options
   * @param {import("node:worker_threads").MessagePort} port to the handlers' side
   */
  constructor(options, port) {
    tuneServers();
    const limit = options.maxMessageSize + MESSAGE_OVERHEAD;
    this.#options = options;
    this.calls = new Calls(port, options);
    this.#server = new grpc.Server({
      "grpc.max_receive_message_length": limit,
      "grpc.max_send_message_length": limit,
      interceptors: options.token === undefined ? [] : [guard(options.token)],
    });
    const { definition, implementation } = methods(this.calls, () => this.#describe());
    this.#server.addService(definition, implementation);
    this.#health.addToServer(this.#server);
    new ReflectionService(loadSync(PROTO)).addToServer(this.#server);
  }

  /**
   * Listens on the socket or the port. Gives the address.
   *
   * @param {string[]} commands
   * @returns {Promise<string>}
   */
  listen(commands) {
    this.#commands = commands;
    const { socket, port } = this.#options;
    const target = socket === undefined ? `127.0.0.1:${port}` : `unix:${socket}`;
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(target, grpc.ServerCredentials.createInsecure(), (error, bound) => {
        if (error) return reject(new Error(`cannot listen on ${target}: ${error.message}`));
        if (socket === undefined) return resolve(`http://127.0.0.1:${bound}`);
        // Its directory keeps other users out; this does so where somebody opened that.
        chmodSync(socket, 0o600);
        resolve(target);
      });
    });
  }

  /** Resolves when the calls have ended and their answers are sent, or the time for that is over. */
  async drain() {
    this.#draining = true;
    this.#health.setStatus(SERVICE, "NOT_SERVING");
    await within(this.#options.shutdownTimeoutMs, this.calls.idle());
    await within(LAST_BYTES, new Promise((resolve) => this.#server.tryShutdown(resolve)));
  }

  cancelAll() {
    this.#draining = true;
    this.calls.cancelAll();
  }

  #describe() {
    return response.health({
      healthy: !this.#draining,
      workerId: this.#options.workerId,
      uptimeMs: Math.round(performance.now() - this.#started),
      activeRequests: this.calls.active,
      totalRequests: this.calls.total,
      runtimeVersion: `Node.js ${process.versions.node}`,
      bridgeVersion: version,
      transport: "javascript",
      codecs: [CODEC_JSON, CODEC_MSGPACK],
      rssBytes: process.memoryUsage.rss(),
      commands: this.#commands,
    });
  }
}

/** Lets nobody in without the token. @param {string} token @returns {grpc.ServerInterceptor} */
function guard(token) {
  const expected = Buffer.from(`Bearer ${token}`);
  return (_method, call) =>
    new grpc.ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, proceed) {
            const given = Buffer.from(String(metadata.get("authorization")[0] ?? ""));
            if (given.length === expected.length && timingSafeEqual(given, expected)) {
              return proceed(metadata);
            }
            call.sendStatus({
              code: grpc.status.UNAUTHENTICATED,
              details: "the worker's token is missing or wrong",
            });
          },
        });
      },
    });
}

/** @param {number} ms @param {Promise<unknown>} promise */
function within(ms, promise) {
  return Promise.race([promise, new Promise((resolve) => setTimeout(resolve, ms))]);
}
