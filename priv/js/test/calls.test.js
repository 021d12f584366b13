// Calls of a worker process, by a client that knows the proto file and nothing of ours.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";

import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { service as healthService } from "grpc-health-check";

import { startWorker } from "./support/worker.js";

/** @type {import("./support/worker.js").TestWorker} */
let worker;
/** @type {import("./support/worker.js").TestClient} */
let client;

before(async () => {
  worker = await startWorker({ args: ["--worker-id", "w7", "--max-message-size", "100000"] });
  client = worker.client();
});
after(async () => {
  client.close();
  await worker.stop();
});

test("results and values", async () => {
  assert.deepEqual((await client.execute("ping")).result, { status: "ok", message: "pong" });
  assert.deepEqual((await client.execute("add", { a: 1, b: 2 })).result, { result: 3 });
  const values = { n: 2n ** 80n, f: 1.5, s: "ü", b: Buffer.from([0, 255]), l: [1, [null]], m: { k: true } };
  assert.deepEqual((await client.execute("echo", values)).result, values);
});

test("a peer that knows no codec speaks JSON", async () => {
  const args = { a: Buffer.from("1"), b: Buffer.from("2") };
  const raw = await new Promise((resolve) => {
    client.raw.Execute({ command: "compute", args: { operation: Buffer.from("add"), ...args } }, (
      /** @type {any} */ _error,
      /** @type {any} */ response,
    ) => resolve(response));
  });
  assert.equal(raw.result.result.toString(), "3");
});

test("what a handler can know", async () => {
  const more = { requestId: "r1", metadata: { user: "ü" }, timeoutMs: 5000 };
  const { result } = await client.execute("about", {}, more);
  assert.ok(result.remaining > 4000 && result.remaining <= 5000);
  assert.deepEqual(
    { ...result, remaining: 0 },
    {
      ...{ command: "about", requestId: "r1", sessionId: "", workerId: "w7", metadata: { user: "ü" } },
      remaining: 0,
    },
  );
});

test("progress of a job is told to the parent, in range and not endlessly", async () => {
  const told = () => worker.events.filter((event) => event.event === "progress");
  const metadata = { "snakepit-job": "1" };
  assert.deepEqual((await client.execute("steps", { n: 2 }, { requestId: "r2" })).result, { steps: 2 });
  assert.deepEqual(told(), []);

  await client.execute("steps", { n: 2 }, { requestId: "j1", metadata });
  await worker.line((line) => line.includes("j1") && line.includes('"over":true'));
  assert.deepEqual(told(), [
    { event: "progress", request_id: "j1", fraction: 0.5, message: "step 1" },
    { event: "progress", request_id: "j1", fraction: 1, message: "step 2" },
    { event: "progress", request_id: "j1", over: true },
  ]);

  await client.execute("steps", { n: 20_000 }, { requestId: "j2", metadata });
  await worker.line((line) => line.includes("j2") && line.includes('"over":true'));
  const many = told().filter((event) => event.request_id === "j2");
  assert.ok(many.length < 10_000, `${many.length} reports`);
  assert.equal(many.at(-2).fraction, 1);

  for (const fraction of [-0.1, 1.1, NaN, "0.5", null]) {
    const { detail } = await client.execute("progress", { fraction }, { requestId: "j3" });
    assert.match(detail.message, /^progress is a number from 0 to 1, not/);
  }
});

test("errors say their kind, class, message and stack", async () => {
  const { success, error, detail } = await client.execute("fail", { how: "class" });
  assert.deepEqual({ success, error }, { success: false, error: "no" });
  assert.deepEqual({ ...detail, traceback: "" }, {
    ...{ kind: "python", type: "Rejected", message: "no", traceback: "", retryable: true },
  });
  assert.match(detail.traceback, /^Rejected: no\n {4}at .*handlers\.js:\d+/);
  assert.doesNotMatch(detail.traceback, /src\//);
  const kinds = [
    ["nope", {}, "unknown_command", /^unknown command 'nope'/],
    ["fail", { how: "arguments" }, "invalid_arguments", /of no use/],
    ["give", {}, "encoding", /^result\.nested\.list\[1\]: an object of class WeakMap/],
    ["numbers", {}, "invalid_arguments", /^numbers is a stream: call it with execute_stream$/],
    ["echo", { data: Buffer.alloc(100_001) }, "too_large", /over max_message_size, 100000 bytes/],
    ["count", {}, "session_not_found", /called without a session/],
    ["fail", { how: "string" }, "python", /^plain$/],
  ];
  for (const [command, args, kind, message] of /** @type {any[]} */ (kinds)) {
    const response = await client.execute(command, args);
    assert.equal(response.success, false);
    assert.equal(response.detail.kind, kind);
    assert.match(response.error, message);
  }
});

test("sessions keep an object each, until they are ended", async () => {
  /** @param {string} sessionId */
  const count = async (sessionId) => (await client.execute("count", {}, { sessionId })).result.count;
  assert.deepEqual([await count("a"), await count("a"), await count("b")], [1, 2, 1]);
  const { result } = await client.execute("snakepit.end_sessions", { sessions: ["a", "z"] });
  assert.deepEqual(result, { ended: 1 });
  await worker.line((line) => line.includes("session a ended with 2"));
  assert.equal(await count("a"), 1);
});

test("what is said on the console is told with its level and its call", async () => {
  await client.execute("say", { text: "x".repeat(10_000) }, { requestId: "r9" });
  await worker.line((line) => line.includes("a part without end"));
  assert.deepEqual(
    worker.events.find((event) => event.level === "warning") ?? joined(worker.lines),
    { event: "log", level: "warning", logger: "console", message: `warned: ${"x".repeat(10_000)}`, request_id: "r9", command: "say" },
  );
});

/** The first control line that came in pieces. @param {string[]} lines */
function joined(lines) {
  const pieces = lines.filter((line) => line.startsWith("\x1e"));
  const from = pieces.findIndex((line) => line.startsWith("\x1e+"));
  const to = pieces.findIndex((line, index) => index >= from && !line.startsWith("\x1e+"));
  return JSON.parse(pieces.slice(from, to + 1).map((line) => line.replace(/^\x1e\+?/, "")).join(""));
}

test("a cancelled handler hears it by its signal, and is not answered", async () => {
  const call = client.raw.Execute({ command: "wait" }, () => {});
  while (!(await client.execute("state")).result.waiting);
  call.cancel();
  await worker.line((line) => line.includes("wait ended: true Cancelled"));
  assert.equal((await client.execute("state")).result.waiting, false);
});

test("a deadline of gRPC cancels too", async () => {
  const before = worker.lines.filter((line) => line.includes("wait ended")).length;
  const error = await new Promise((resolve) => {
    client.raw.Execute({ command: "wait" }, { deadline: Date.now() + 50 }, resolve);
  });
  assert.equal(error.code, 4);
  while (worker.lines.filter((line) => line.includes("wait ended")).length === before) {
    await client.execute("ping");
  }
});

test("a rejection that nobody waits for is told, and costs nothing", async () => {
  await client.execute("reject_behind");
  await worker.line((line) => line.includes("a promise was rejected, and nobody waited for it"));
  assert.equal((await client.execute("ping")).success, true);
});

test("health answers, also the standard one, and reflection lists the service", async () => {
  const health = await client.unary("Health", {});
  assert.equal(health.healthy, true);
  assert.equal(health.workerId, "w7");
  assert.equal(health.transport, "javascript");
  assert.deepEqual(health.codecs, [0, 1]);
  assert.equal(health.credit, true);
  assert.equal(health.lane, false);
  assert.ok(health.rssBytes > 10_000_000 && health.totalRequests > 5);
  assert.ok(health.commands.includes("add") && health.commands.includes("ping_stream"));
  const target = worker.address;
  const Standard = /** @type {any} */ (grpc.makeGenericClientConstructor(healthService, "Health"));
  const standard = new Standard(target, grpc.credentials.createInsecure());
  const status = await new Promise((resolve, reject) => {
    standard.check({ service: "snakepit.SnakepitBridge" }, (/** @type {any} */ error, /** @type {any} */ answer) =>
      error ? reject(error) : resolve(answer.status),
    );
  });
  assert.equal(status, "SERVING");
  standard.close();
  const proto = createRequire(import.meta.url).resolve("@grpc/reflection");
  const file = join(dirname(proto), "../proto/grpc/reflection/v1/reflection.proto");
  const { grpc: packages } = /** @type {any} */ (grpc.loadPackageDefinition(loadSync(file)));
  const reflection = new packages.reflection.v1.ServerReflection(target, grpc.credentials.createInsecure());
  const call = reflection.serverReflectionInfo();
  call.write({ listServices: "" });
  const [{ listServicesResponse }] = await once(call, "data");
  call.end();
  // One that still ran when the worker stops would fail with nobody to hear it.
  await once(call.resume(), "end");
  const names = listServicesResponse.service.map((/** @type {{name: string}} */ { name }) => name);
  assert.ok(names.includes("snakepit.SnakepitBridge"), names.join());
  reflection.close();
});
