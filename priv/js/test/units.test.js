import assert from "node:assert/strict";
import { test } from "node:test";

import { describeError } from "../src/describe.js";
import { Dispatcher } from "../src/dispatcher.js";
import { InvalidArguments, UnknownCommand } from "../src/errors.js";
import { UsageError, parse } from "../src/options.js";
import { Outbox } from "../src/outbox.js";
import { Registry } from "../src/registry.js";
import { command, stream } from "../src/register.js";
import { Sessions } from "../src/sessions.js";
import { Credit } from "../src/wire/credit.js";

test("a function is registered under its own name or another, and given back", () => {
  const function_ = command(function ownName() {});
  assert.equal(command("otherName", function_), function_);
  const { commands, find } = { commands: new Dispatcher().commands(), find: new Dispatcher() };
  assert.ok(commands.includes("ownName") && commands.includes("otherName") && commands.includes("ping"));
  assert.equal(find.find("ownName").handler, function_);
});

test("what makes no sense is refused where it is registered", () => {
  assert.throws(() => command(() => 1), /a handler needs a name, as in command\("name", …\)/);
  assert.throws(() => command("x", /** @type {any} */ (5)), /command takes a function, got number/);
  assert.throws(() => command("x", function* () {}), /'x' yields chunks: register it with stream\(\)/);
  assert.throws(() => command("x", async function* () {}), /register it with stream\(\)/);
  command("twice", () => 1);
  assert.throws(() => stream("twice", () => []), /there is already a command 'twice'/);
});

test("an unknown command is told with what it may have meant", () => {
  const dispatcher = new Dispatcher({ registry: new Registry() });
  assert.throws(() => dispatcher.find("pign"), new UnknownCommand("unknown command 'pign', did you mean 'ping'?"));
  assert.throws(
    () => dispatcher.find("summarize"),
    new UnknownCommand("unknown command 'summarize'; commands: compute, echo, ping, ping_stream"),
  );
});

test("hooks run in their order, and backwards at the end, whatever they throw", async () => {
  /** @type {string[]} */
  const ran = [];
  const registry = new Registry();
  registry.startHooks.push(() => ran.push("start 1"), async () => ran.push("start 2"));
  registry.stopHooks.push(() => ran.push("stop 1"), () => {
    throw new Error("stop 2");
  });
  registry.sessionEndHooks.push((id, session) => ran.push(`${id} ${session.n}`));
  const dispatcher = new Dispatcher({ registry });
  await dispatcher.start();
  dispatcher.sessions.get("a").n = 1;
  dispatcher.sessions.get("b").n = 2;
  const { handler } = dispatcher.find("snakepit.end_sessions");
  assert.deepEqual(await handler({ sessions: ["a", "none"] }), { ended: 1 });
  const { error } = console;
  console.error = (text) => void ran.push(text.split("\n")[0]);
  await dispatcher.stop();
  console.error = error;
  const stops = ["onStop hook (anonymous) failed:", "stop 1"];
  assert.deepEqual(ran, ["start 1", "start 2", "a 1", "b 2", ...stops]);
});

test("sessions are forgotten by number and by age, but never under a call that holds one", () => {
  const sessions = new Sessions(2, 60_000);
  const held = sessions.get("a");
  held.n = 1;
  sessions.get("b");
  sessions.get("c");
  assert.deepEqual(sessions.ids(), ["b", "c"]);
  assert.equal(sessions.get("a"), held);
  assert.equal(sessions.end("a"), held);
  assert.equal(sessions.end("a"), undefined);
  const old = new Sessions(10, -1);
  old.get("x");
  assert.deepEqual(old.ids(), []);
});

test("errors are described by class, message and the stack of the handler, with their causes", () => {
  class Rejected extends Error {
    retryable = true;
  }
  const { traceback, ...rest } = describeError(new Rejected("no", { cause: new TypeError("inner") }));
  assert.deepEqual(rest, { kind: "python", type: "Rejected", message: "no", retryable: true });
  assert.match(traceback, /^Rejected: no\n {4}at .*units\.test\.js:\d+:\d+\)?\n?/);
  assert.match(traceback, /\nCaused by: TypeError: inner\n/);
  assert.doesNotMatch(traceback, /node:internal/);
  assert.deepEqual(describeError("text"), {
    ...{ kind: "python", type: "string", message: "text", traceback: "string: text", retryable: false },
  });
  assert.equal(describeError(new InvalidArguments("which")).kind, "invalid_arguments");
  assert.equal(describeError(undefined).message, "undefined");
  assert.equal(describeError(Object.create(null)).kind, "python");
  assert.ok(describeError(new Error("x".repeat(100_000))).traceback.length < 33_000);
});

test("the command line is that of every worker", () => {
  const { socket, port, module } = parse(["--module", "a.js", "--module=b", "--socket=/tmp/s"]);
  assert.deepEqual({ socket, port, module }, { socket: "/tmp/s", port: undefined, module: ["a.js", "b"] });
  assert.equal(parse([]).port, 50_051);
  for (const [argv, message] of /** @type {[string[], string][]} */ ([
    [["--sokcet", "x"], "unknown option --sokcet, did you mean --socket?"],
    [["x"], "takes no arguments besides options, got 'x'"],
    [["--port"], "--port needs a value"],
    [["--port", "-1"], "--port takes an integer from 0 to 65535, got '-1'"],
    [["--capacity", "1e3"], "--capacity takes an integer from 1 to 10000, got '1e3'"],
    [["--socket", "x", "--port", "1"], "--socket and --port exclude each other"],
  ])) {
    assert.throws(() => parse(argv), new UsageError(message));
  }
});

test("credit is in chunks and bytes, and a chunk above all of it passes alone", () => {
  const credit = new Credit(2, 10);
  credit.spend(100);
  assert.equal(credit.available, false);
  credit.acknowledge(5);
  assert.equal(credit.available, true);
  credit.spend(1);
  credit.spend(1);
  assert.equal(credit.available, false);
  const unlimited = new Credit(0, 0);
  for (let n = 0; n < 10_000; n++) unlimited.spend(1_000_000);
  assert.equal(unlimited.available, true);
  const long = new Credit(5000, 0);
  for (let n = 0; n < 50_000; n++) {
    long.spend(1);
    if (n >= 100) long.acknowledge(1);
  }
  assert.equal(long.chunks, 100);
});

test("an outbox wakes its producer when half the room is free, or the peer has gone", async () => {
  const outbox = new Outbox(new Credit(0, 0), () => {});
  for (let n = 0; n < 64; n++) {
    assert.equal(outbox.room(), true);
    outbox.put(new Uint8Array(), 1);
  }
  const room = outbox.room();
  let woken = false;
  void Promise.resolve(room).then(() => (woken = true));
  outbox.taken(31);
  await Promise.resolve();
  assert.equal(woken, false);
  outbox.taken(1);
  assert.equal(await room, true);
  outbox.abandon();
  assert.equal(outbox.room(), false);
});
