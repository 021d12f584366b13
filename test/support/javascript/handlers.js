// Handlers for test/adapters/javascript_test.exs.

import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

import {
  bidiStream,
  clientStream,
  command,
  InvalidArguments,
  onSessionEnd,
  stream,
} from "snakepit-bridge";

const socket = createSocket("udp4");
socket.unref();

// Resolves when the text is on its way to the beacon of the test.
const tell = (port, text) => new Promise((resolve) => socket.send(text, port, "127.0.0.1", resolve));

const made = {};

onSessionEnd((id, { port, calls }) => (port === undefined ? undefined : tell(port, `${id} ended after ${calls}`)));

command("describe", ({ value }) => ({ type: typeOf(value), text: textOf(value) }));
command("values", () => ({
  none: null,
  missing: undefined,
  big: 2n ** 70n,
  safe: 2 ** 53 - 1,
  whole: 2.0,
  nan: NaN,
  inf: Infinity,
  neg_inf: -Infinity,
  str: "grüße",
  bytes: Buffer.from([0, 255]),
  typed: new Float64Array([0.5]),
  map: new Map([[1, "one"]]),
  date: new Date(0),
}));
command("unsendable", () => ({ layers: [1, { weights: () => 1 }] }));
command(function plain() {
  return 7;
});
command("about", (_args, ctx) => ({
  request: ctx.requestId,
  metadata: ctx.metadata,
  worker: ctx.workerId,
  remaining: ctx.timeRemaining(),
}));

class Rejected extends Error {
  retryable = true;
}

command("reject", ({ reason }) => {
  if (reason === "argument") throw new InvalidArguments("argument 'reason' is of no use");
  throw new Rejected(reason, { cause: new TypeError("the cause") });
});
command("count", ({ port }, ctx) => {
  ctx.session.calls = (ctx.session.calls ?? 0) + 1;
  ctx.session.port = port;
  return { calls: ctx.session.calls };
});
command("leave", () => process.exit(3));
command("kill", () => process.kill(process.pid, "SIGKILL"));
command("throw_outside", () => void setImmediate(() => {
  throw new Error("outside of any call");
}));
command("leave_grandchild", async () => {
  const child = spawn("sh", ["-c", "sleep 1000 & echo $!; wait"], { stdio: ["ignore", "pipe", "inherit"] });
  const [grandchild] = await once(child.stdout, "data");
  return { os_pids: [process.pid, child.pid, Number(grandchild)] };
});
command("made", ({ key }) => ({ made: made[key] ?? 0 }));
command("say", () => {
  console.error("an error on the console");
  process.stdout.write("plain text\n");
});
command("talk", ({ level, text }) => void console[level](text));
command("spin", async ({ port }) => {
  await tell(port, "spinning");
  for (;;);
});
command("wait", async ({ port }, ctx) => {
  await tell(port, "waiting");
  try {
    await sleep(60_000, undefined, { signal: ctx.signal });
  } finally {
    await tell(port, `ended, cancelled: ${ctx.cancelled}`);
  }
});

stream("numbers", function* ({ count }) {
  for (let n = 1; n < count; n++) yield { n };
  return { n: count };
});
stream("producer", async function* ({ key, size = 0, port }) {
  try {
    for (let n = 0; ; n++) {
      made[key] = n + 1;
      yield { n, data: Buffer.alloc(size) };
    }
  } finally {
    if (port !== undefined) await tell(port, "closed");
  }
});
stream("sync_producer", function* ({ key, port }) {
  try {
    for (let n = 0; ; n++) {
      made[key] = n + 1;
      yield { n };
    }
  } finally {
    tell(port, "closed");
  }
});
stream("naps", async function* ({ port }, ctx) {
  try {
    yield { n: 0 };
    await sleep(60_000, undefined, { signal: ctx.signal });
  } finally {
    await tell(port, "closed");
  }
});
stream("breaks", async function* () {
  yield { n: 1 };
  throw new RangeError("no more");
});
// With a window of one the second chunk is taken when the caller is done with the first.
stream("dies", async function* () {
  yield { n: 1 };
  yield { n: 2 };
  process.kill(process.pid, "SIGKILL");
});

command("steps", ({ n }, ctx) => {
  for (let step = 1; step <= n; step += 1) ctx.progress(step / n, `step ${step}`);
  return { steps: n };
});
stream("steps_stream", async function* ({ n }, ctx) {
  for (let step = 1; step <= n; step += 1) {
    ctx.progress(step / n);
    yield { step };
  }
});
command("raises", ({ message }) => {
  throw new RangeError(message);
});
command("busy", async ({ beacon }, ctx) => {
  await tell(beacon, "begun");
  await sleep(60_000, undefined, { signal: ctx.signal });
});

clientStream("sum", async ({ start = 0 }, chunks) => {
  let sum = start;
  for await (const { n } of chunks) sum += n;
  return { sum };
});
clientStream("holds", async ({ port }, chunks, ctx) => {
  await chunks.next();
  await tell(port, "holding");
  await sleep(60_000, undefined, { signal: ctx.signal });
});
bidiStream("double", async function* (_args, chunks, ctx) {
  for await (const { n } of chunks) yield { n: n * 2, session: ctx.sessionId };
  return { done: true };
});

const typeOf = (value) => (value === null ? "null" : typeof value === "object" ? value.constructor.name : typeof value);
const textOf = (value) =>
  value instanceof Map ? JSON.stringify([...value]) : typeof value === "object" ? JSON.stringify(value) : String(value);
