// Streams in every direction, their credit and their cancellation.

import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { connect } from "node:net";
import { after, before, test } from "node:test";

import { collect, pack, startWorker, unpack } from "./support/worker.js";

const METHOD = "/snakepit.SnakepitBridge/ExecuteStream";

/** @type {import("./support/worker.js").TestWorker} */
let worker;
/** @type {import("./support/worker.js").TestClient} */
let client;

before(async () => {
  worker = await startWorker();
  client = worker.client();
});
after(async () => {
  client.close();
  await worker.stop();
});

const state = async () => (await client.execute("state")).result;
/** @param {any} call */
const ended = (call) => new Promise((resolve) => call.on("error", resolve).on("end", resolve));
/** @param {string} text */
const times = (text) => worker.lines.filter((line) => line.includes(text)).length;

/** The producer comes to `count` and no further, however often the worker is asked. @param {number} count */
async function standsStillAt(count) {
  while ((await state()).made < count);
  for (let turn = 0; turn < 20; turn++) assert.equal((await state()).made, count);
}

/** Resolves when a line with `text` has come once more than `before`. @param {string} text @param {number} before */
async function onceMore(text, before) {
  while (times(text) <= before) await client.execute("ping");
}

test("chunks come in order, the last of them is final", async () => {
  const chunks = await collect(client.stream("numbers", { count: 1000 }));
  const all = chunks.map(({ chunk, isFinal }) => ({ ...chunk, isFinal }));
  const numbers = Array.from({ length: 1000 }, (_, index) => ({ n: index + 1, isFinal: false }));
  assert.deepEqual(all, [...numbers, { total: 1000, isFinal: true }]);
  const pings = await collect(client.stream("ping_stream", { count: 3, interval: 1 }));
  assert.deepEqual(pings.map(({ chunk, isFinal }) => [chunk.index, isFinal]), [[1, false], [2, false], [3, true]]);
  assert.deepEqual((await collect(client.stream("ping_stream", { count: 0 }))).map((one) => one.chunk), [{}]);
});

test("any iterable is a stream, and Final is its end", async () => {
  const chunks = await collect(client.stream("final"));
  assert.deepEqual(chunks.map(({ chunk, isFinal }) => [chunk.n, isFinal]), [[1, false], [2, true]]);
  const [chunk] = await collect(client.stream("not_a_stream"));
  assert.match(chunk.error, /a stream must give an iterable of chunks, got number/);
});

test("an error midway is the last chunk", async () => {
  const [first, last] = await collect(client.stream("break"));
  assert.deepEqual(first.chunk, { n: 1 });
  const { isFinal, error, detail } = last;
  assert.deepEqual([isFinal, error, detail.type, detail.kind], [true, "broken", "RangeError", "python"]);
  assert.match(detail.traceback, /^RangeError: broken\n {4}at .*handlers\.js/);
  const [unknown] = await collect(client.stream("nubmers"));
  assert.equal(unknown.detail.kind, "unknown_command");
  const [command] = await collect(client.stream("ping"));
  assert.match(command.error, /^ping is a command: call it with execute$/);
});

for (const window of [1, 3, 10, 64, 100]) {
  test(`the producer is never more than a window of ${window} ahead`, async () => {
    const call = client.exchange("produce", {}, { window, shape: "STREAM_SHAPE_SERVER" });
    call.on("error", () => {});
    // All of them were read here, and none acknowledged; one more waits at the yield.
    let got = 0;
    call.on("data", () => (got += 1));
    await standsStillAt(window + 1);
    assert.equal(got, window);
    call.write({ ack: 1 });
    await standsStillAt(window + 2);
    const before = times("produce closed");
    call.cancel();
    await onceMore("produce closed", before);
    assert.equal((await state()).closed, true);
  });
}

test("bytes count as chunks do", async () => {
  const call = client.exchange("produce", { size: 100_000 }, { window: 100, maxBuffer: 250_000 });
  call.on("error", () => {}).on("data", () => {});
  await standsStillAt(4);
  call.write({ ack: 2 });
  await standsStillAt(6);
  call.cancel();
});

test("a peer without credit holds the producer up by what HTTP/2 takes", async () => {
  // No client of grpc-js, which reads whether somebody takes it or not.
  const session = http2.connect("http://worker", { createConnection: () => connect(worker.socket) });
  const request = session.request({ ":method": "POST", ":path": METHOD, "content-type": "application/grpc" });
  request.end(framed(client.raw.ExecuteStream, { command: "produce", args: pack({ size: 50_000 }), codec: 1 }));
  let made = -1;
  for (let now = 0, same = 0; same < 50; made = now) {
    now = (await state()).made;
    same = now > 0 && now === made ? same + 1 : 0;
  }
  assert.ok(made <= 10, `${made} chunks of 50 KB were made and not read`);
  const before = times("produce closed");
  request.close();
  await onceMore("produce closed", before);
  session.destroy();
});

/** @param {any} method @param {any} message */
function framed(method, message) {
  const body = method.requestSerialize(message);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

test("a cancelled generator that waits is told by its signal, and cleans up", async () => {
  const call = client.stream("stuck");
  call.on("error", () => {});
  await once(call, "data");
  const before = times("stuck closed");
  call.cancel();
  await onceMore("stuck closed", before);
});

test("a generator without a pause leaves room for other calls", async () => {
  const call = client.stream("produce");
  call.on("error", () => {}).resume();
  const began = performance.now();
  for (let n = 0; n < 20; n++) await client.execute("ping");
  assert.ok(performance.now() - began < 5000);
  call.cancel();
});

test("chunks in, one result out", async () => {
  const response = await new Promise((resolve, reject) => {
    const call = client.raw.ExecuteClientStream((/** @type {any} */ error, /** @type {any} */ result) =>
      error ? reject(error) : resolve(result),
    );
    call.write({ start: { command: "sum", codec: "CODEC_MSGPACK" } });
    for (let n = 1; n <= 1000; n++) call.write({ chunk: { chunk: pack({ n }) } });
    call.end();
  });
  assert.deepEqual(unpack(response.result), { sum: 500_500 });
});

test("with credit the caller hears what was consumed, and says when its input is complete", async () => {
  const call = client.exchange("sum", {}, { window: 4, shape: "STREAM_SHAPE_CLIENT" });
  let acknowledged = 0;
  let sent = 0;
  const final = new Promise((resolve) =>
    call.on("data", (/** @type {any} */ message) => {
      if (message.isFinal) return resolve(message);
      acknowledged += message.ack;
      send();
    }),
  );
  const send = () => {
    while (sent < 100 && sent - acknowledged < 4) call.write({ chunk: { chunk: pack({ n: ++sent }) } });
    if (sent === 100 && acknowledged === 100) call.write({ halfClose: {} });
  };
  send();
  assert.deepEqual(unpack((await final).chunk), { sum: 5050 });
  call.end();
});

test("chunks in both directions", async () => {
  const call = client.exchange("double", {}, { window: 10, shape: "STREAM_SHAPE_BIDI" });
  const got = [];
  for (let n = 1; n <= 5; n++) call.write({ chunk: { chunk: pack({ n }) } });
  call.write({ halfClose: {} });
  for await (const message of call) {
    if (message.isFinal) {
      got.push(unpack(message.chunk));
      call.end();
    } else if (message.ack === 0) got.push(unpack(message.chunk).n);
  }
  assert.deepEqual(got, [2, 4, 6, 8, 10, { done: true }]);
});

test("an input that fails is an error where the handler waits for it", async () => {
  const call = client.exchange("double", {}, { window: 10 });
  call.write({ abort: "the source broke" });
  const chunks = await collect(call);
  assert.match(chunks.at(-1).error, /^the source broke$/);
  assert.equal(chunks.at(-1).detail.type, "InputFailed");
});

test("the end of the request alone is no end of the input of a peer that keeps credit", async () => {
  const before = times("double closed");
  const call = client.exchange("double", {}, { window: 10 });
  call.resume();
  call.end();
  assert.equal((await ended(call)).code, 1);
  await onceMore("double closed", before);
});

test("more than the window is refused, and costs only its call", async () => {
  const call = client.exchange("hold", {}, { window: 2 });
  call.resume();
  for (let n = 0; n < 10; n++) call.write({ chunk: { chunk: pack({ n }) } });
  const error = /** @type {any} */ (await ended(call));
  assert.deepEqual([error.code, error.details], [8, "more chunks than the window"]);
  assert.equal((await client.execute("ping")).success, true);
});

test("without credit a caller is held up by a handler that does not read", async () => {
  const call = client.raw.ExecuteBidiStream();
  call.on("error", () => {}).resume();
  call.write({ start: { command: "hold", codec: "CODEC_MSGPACK" } });
  let taken = 0;
  for (let n = 0; n < 200; n++) call.write({ chunk: { chunk: pack({ n, data: Buffer.alloc(50_000) }) } }, () => (taken += 1));
  for (let turn = 0; turn < 100; turn++) await client.execute("ping");
  assert.ok(taken < 100, `${taken} chunks of 50 KB were taken and not read`);
  call.cancel();
});

test("what is no message of the contract is refused", async () => {
  const empty = client.raw.ExecuteBidiStream();
  empty.resume();
  empty.end();
  assert.equal(/** @type {any} */ (await ended(empty)).code, 3);
  const early = client.raw.ExecuteBidiStream();
  early.resume();
  early.write({ ack: 1 });
  assert.match(/** @type {any} */ (await ended(early)).details, /the first message of a stream is its start/);
  const second = client.exchange("double");
  second.resume();
  second.write({ start: { command: "double" } });
  assert.match(/** @type {any} */ (await ended(second)).details, /a second start/);
});
