// Handlers for the tests of this package.

import { setTimeout as sleep } from "node:timers/promises";

import {
  bidiStream,
  clientStream,
  command,
  Final,
  InvalidArguments,
  onSessionEnd,
  onStart,
  onStop,
  stream,
} from "snakepit-bridge";

/** @type {Record<string, any>} */
const seen = {};

onStart(() => void (seen.started = true));
onStop(() => console.log("stopped"));
onSessionEnd((id, session) => console.log(`session ${id} ended with ${session.count}`));

class Rejected extends Error {
  retryable = true;
}

command("state", () => seen);
command("steps", ({ n }, ctx) => {
  for (let step = 1; step <= n; step += 1) ctx.progress(step / n, `step ${step}`);
  return { steps: n };
});
command("progress", ({ fraction }, ctx) => ctx.progress(fraction));
command(function add({ a, b }) {
  return a + b;
});
command("about", (_args, ctx) => ({
  command: ctx.command,
  requestId: ctx.requestId,
  sessionId: ctx.sessionId,
  workerId: ctx.workerId,
  metadata: ctx.metadata,
  remaining: ctx.timeRemaining(),
  token: process.env.SNAKEPIT_TOKEN,
}));
command("count", (_args, ctx) => {
  ctx.session.count = (ctx.session.count ?? 0) + 1;
  return { count: ctx.session.count };
});
command("give", () => ({ nested: { list: [1, new WeakMap()] } }));
command("fail", async ({ how }) => {
  if (how === "string") throw "plain";
  if (how === "arguments") throw new InvalidArguments("argument 'how' is of no use");
  if (how === "cause") throw new Error("outer", { cause: new TypeError("inner") });
  throw new Rejected("no");
});
command("say", ({ text }) => {
  console.warn("warned: %s", text);
  process.stdout.write("a part without end");
  console.log(text);
  process.stdout.write("\n");
});
command("wait", async (_args, ctx) => {
  console.log("wait begins");
  seen.waiting = true;
  try {
    await sleep(60_000, undefined, { signal: ctx.signal });
  } finally {
    seen.waiting = false;
    console.log(`wait ended: ${ctx.cancelled} ${ctx.signal.reason?.name}`);
  }
});
command("busy", () => {
  console.log("busy begins");
  for (;;);
});
command("busy_for", ({ ms }) => {
  console.log("busy_for begins");
  for (const end = performance.now() + ms; performance.now() < end; );
});
command("deaf", async () => {
  console.log("deaf begins");
  await new Promise(() => {});
});
command("sleep", async ({ ms }) => {
  console.log("sleep begins");
  await sleep(ms);
  return { slept: ms };
});
command("reject_behind", () => void Promise.reject(new Error("nobody waits")));
command("throw_behind", () => void setImmediate(() => {
  throw new Error("nobody catches");
}));

stream("numbers", function* ({ count }) {
  for (let n = 1; n <= count; n++) yield { n };
  return { total: count };
});
stream("produce", async function* ({ size = 0, pause = false }) {
  seen.made = 0;
  seen.closed = false;
  try {
    for (let n = 0; ; n++) {
      seen.made = n + 1;
      if (pause) await sleep(0);
      yield { n, data: Buffer.alloc(size) };
    }
  } finally {
    seen.closed = true;
    console.log("produce closed");
  }
});
stream("stuck", async function* (_args, ctx) {
  try {
    yield { n: 1 };
    await sleep(60_000, undefined, { signal: ctx.signal });
  } finally {
    console.log("stuck closed");
  }
});
stream("break", function* () {
  yield { n: 1 };
  throw new RangeError("broken");
});
stream("final", () => [{ n: 1 }, new Final({ n: 2 }), { n: 3 }]);
stream("not_a_stream", () => /** @type {any} */ (5));

clientStream("sum", async (_args, chunks) => {
  let sum = 0;
  for await (const { n } of chunks) sum += n;
  return { sum };
});
clientStream("hold", async (_args, chunks, ctx) => {
  seen.held = 0;
  await chunks.next();
  seen.held = 1;
  await sleep(60_000, undefined, { signal: ctx.signal });
});
bidiStream("double", async function* (_args, chunks) {
  try {
    for await (const { n } of chunks) yield { n: n * 2 };
    return { done: true };
  } finally {
    console.log("double closed");
  }
});
