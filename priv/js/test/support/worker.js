// A worker process, and a client of another make than ours: what proto-loader generates.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

import { decode } from "../../src/wire/read.js";
import { Writer } from "../../src/wire/write.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const HANDLERS = fileURLToPath(new URL("handlers.js", import.meta.url));
const loaded = loadSync(join(ROOT, "proto/snakepit.proto"), { longs: Number, defaults: true, oneofs: true });
const Client = /** @type {any} */ (grpc.loadPackageDefinition(loaded)).snakepit.SnakepitBridge;
const writer = new Writer();

export const MSGPACK = "CODEC_MSGPACK";

/**
 * @param {{args?: string[], env?: Record<string, string>, modules?: string[], where?: string[]}} [options]
 */
export async function startWorker({ args = [], env = {}, modules = [HANDLERS], where } = {}) {
  const directory = mkdtempSync(join(tmpdir(), "snakepit-js-"));
  const socket = join(directory, "w.sock");
  const child = spawn(
    process.execPath,
    [
      join(ROOT, "grpc_bridge.js"),
      ...(where ?? ["--socket", socket]),
      ...modules.flatMap((module) => ["--module", module]),
      ...args,
    ],
    { env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "pipe"], detached: true },
  );
  const worker = new TestWorker(child, directory, socket);
  await worker.started;
  return worker;
}

export class TestWorker {
  /** @type {TestWorker} the last that was started, be it ready or not */
  static latest;

  /** @type {string[]} */
  lines = [];
  /** @type {any[]} */
  events = [];
  /** @type {{matches: (line: string) => boolean, resolve: (line: string) => void}[]} */
  #waiting = [];

  /**
   * @param {import("node:child_process").ChildProcessWithoutNullStreams} child
   * @param {string} directory
   * @param {string} socket
   */
  constructor(child, directory, socket) {
    TestWorker.latest = this;
    this.child = child;
    this.socket = socket;
    this.directory = directory;
    this.exit = once(child, "exit").then(([code, signal]) => ({ code, signal }));
    this.closed = once(child, "close");
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => this.#line(line));
    }
    this.started = Promise.race([this.line((line) => line.includes('"event":"ready"')), this.exit]);
  }

  get address() {
    return this.events.find((event) => event.event === "ready").address;
  }

  /** The first line, come or to come, that matches. @param {(line: string) => boolean} matches @returns {Promise<string>} */
  line(matches) {
    const there = this.lines.find(matches);
    if (there !== undefined) return Promise.resolve(there);
    return new Promise((resolve) => this.#waiting.push({ matches, resolve }));
  }

  /** @param {string} line */
  #line(line) {
    this.lines.push(line);
    if (line.startsWith("\x1e{")) this.events.push(JSON.parse(line.slice(1)));
    for (const { matches, resolve } of this.#waiting) if (matches(line)) resolve(line);
  }

  /** @param {string} [token] */
  client(token) {
    const target = this.address.replace(/^http:\/\//, "");
    const client = new Client(target, grpc.credentials.createInsecure());
    const metadata = new grpc.Metadata();
    if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
    return new TestClient(client, metadata);
  }

  async stop() {
    this.child.stdin.end();
    await this.exit;
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export class TestClient {
  /** @param {any} client @param {grpc.Metadata} metadata */
  constructor(client, metadata) {
    this.raw = client;
    this.metadata = metadata;
  }

  close() {
    this.raw.close();
  }

  /** @param {string} command @param {Record<string, unknown>} [args] @param {Record<string, unknown>} [more] */
  execute(command, args = {}, more = {}) {
    const method = more.sessionId === undefined ? "Execute" : "ExecuteInSession";
    return this.unary(method, { command, args: pack(args), codec: MSGPACK, ...more });
  }

  /** The response with its values read. @param {string} method @param {any} request @returns {Promise<any>} */
  unary(method, request) {
    return new Promise((resolve, reject) => {
      this.raw[method](request, this.metadata, (/** @type {any} */ error, /** @type {any} */ response) => {
        if (error) reject(error);
        else resolve({ ...response, result: unpack(response.result) });
      });
    });
  }

  /** A stream of responses. @param {string} command @param {Record<string, unknown>} [args] @param {Record<string, unknown>} [more] */
  stream(command, args = {}, more = {}) {
    return this.raw.ExecuteStream({ command, args: pack(args), codec: MSGPACK, ...more }, this.metadata);
  }

  /** An exchange, begun. @param {string} command @param {Record<string, unknown>} [args] @param {Record<string, unknown>} [more] */
  exchange(command, args = {}, more = {}) {
    const call = this.raw.ExecuteBidiStream(this.metadata);
    call.write({ start: { command, args: pack(args), codec: MSGPACK, ...more } });
    return call;
  }
}

/** @param {Record<string, unknown>} values */
export function pack(values) {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, writer.encode(value, key)]));
}

/** @param {Record<string, Uint8Array>} [values] */
export function unpack(values = {}) {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, decode(value, key)]));
}

/** All messages of a call, with their values read. @param {any} call */
export async function collect(call) {
  const chunks = [];
  for await (const message of call) chunks.push({ ...message, chunk: unpack(message.chunk) });
  return chunks;
}
