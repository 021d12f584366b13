// What a worker of every kind must be able to do. contract_handlers.py has the same.

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

import { bidiStream, clientStream, command, onSessionEnd, onStop, stream } from "snakepit-bridge";

// Tells the test over UDP what happens here; resolves when it is sent.
export async function tell(port, text) {
  const socket = createSocket("udp4");
  socket.send(text, port, "127.0.0.1", () => socket.close());
  await once(socket, "close");
}

command("same", ({ value }) => ({ value }));

command("odd_floats", () => ({ nan: NaN, infinity: Infinity, neg_infinity: -Infinity }));

command("twice", ({ array }) => {
  const twice = Object.assign(array.map((x) => 2 * x), { shape: array.shape });
  return { sum: array.reduce((sum, x) => sum + x, 0), twice };
});

command("same_later", async ({ value }) => ({ value }));

command("fail", ({ message }) => {
  throw new Error(message);
});

command("unencodable", () => ({ layers: [{ weights: () => 0 }] }));

command("sized", ({ size }) => ({ data: Buffer.alloc(Number(size), "x") }));

command("linger", async ({ beacon }, ctx) => {
  try {
    await tell(beacon, "lingers");
    await sleep(3_600_000, undefined, { signal: ctx.signal });
  } finally {
    await tell(beacon, "ended");
  }
});

command("wait_ms", async ({ ms }, ctx) => {
  await sleep(ms, undefined, { signal: ctx.signal });
  return { waited: ms };
});

command("block", async ({ ms }) => {
  await sleep(ms);
  return { blocked: ms };
});

command("leave", ({ status }) => {
  process.exit(status);
});

command("process", () => ({ os_pid: process.pid }));

command("tally", (_args, ctx) => {
  ctx.session.tally = (ctx.session.tally ?? 0) + 1;
  return { tally: ctx.session.tally };
});

command("remember_beacon", ({ beacon }, ctx) => {
  ctx.session.beacon = beacon;
});

onSessionEnd(async (sessionId, session) => {
  if (session.beacon) await tell(session.beacon, `ended ${sessionId}`);
});

command("about", (_args, ctx) => {
  const remaining = ctx.timeRemaining();
  return {
    request_id: ctx.requestId,
    session_id: ctx.sessionId,
    metadata: ctx.metadata,
    command: ctx.command,
    in_time: remaining !== null && remaining > 0 && remaining <= 30_000,
  };
});

command("say", ({ text }) => {
  console.log(text);
  console.error(`${text}, aside`);
});

const farewell = [];

command("on_farewell", ({ beacon }) => {
  farewell.push(beacon);
});

onStop(async () => {
  for (const beacon of farewell) await tell(beacon, "farewell");
});

stream("count_up", function* ({ n }) {
  for (let i = 0; i < n; i++) yield { i };
  return { n };
});

stream("count_up_later", async function* ({ n }) {
  for (let i = 0; i < n; i++) yield { i };
});

stream("fail_after", function* ({ n }) {
  for (let i = 0; i < n; i++) yield { i };
  throw new Error("midway");
});

stream("produce", async function* ({ beacon }) {
  try {
    for (let i = 0; ; i++) {
      await tell(beacon, `chunk ${i}`);
      yield { i };
    }
  } finally {
    await tell(beacon, "closed");
  }
});

clientStream("add_up", async (_args, chunks) => {
  let sum = 0;
  for await (const chunk of chunks) sum += chunk.n;
  return { sum };
});

bidiStream("double", async function* (_args, chunks) {
  for await (const chunk of chunks) yield { n: 2 * chunk.n };
});
