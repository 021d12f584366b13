// The wire format: MessagePack by the rules of the contract, and the messages of the proto file.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { loadSync } from "@grpc/proto-loader";
import * as library from "@msgpack/msgpack";

import { EncodingError } from "../src/errors.js";
import * as json from "../src/wire/json.js";
import { decode } from "../src/wire/read.js";
import { executeRequest, sessionRequest, streamMessage } from "../src/wire/request.js";
import * as response from "../src/wire/response.js";
import { decodeEntries, encodeEntries } from "../src/wire/values.js";
import { Writer } from "../src/wire/write.js";
import { keepsCredit } from "../src/io/peek.js";

const PROTO = join(fileURLToPath(new URL("..", import.meta.url)), "proto/snakepit.proto");
const loaded = /** @type {any} */ (loadSync(PROTO, { longs: Number, defaults: true, oneofs: true }));
const service = loaded["snakepit.SnakepitBridge"];
const writer = new Writer();

/** @param {unknown} value */
const encode = (value) => new Uint8Array(writer.encode(value, "result"));
/** @param {unknown} value */
const round = (value) => decode(encode(value), "args");

test("what the library for MessagePack writes is read, and what is written is read by it", () => {
  const lengths = [0, 1, 10, 11, 31, 32, 85, 86, 255, 256, 21_845, 21_846, 65_535, 65_536, 100_000];
  const values = [
    null,
    true,
    false,
    ...[0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1],
    ...[-1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31)],
    ...[1.5, -0.1, 5e-324, 1e308],
    ...lengths.map((length) => "x".repeat(length)),
    ...lengths.map((length) => "€".repeat(length)),
    ...["", "\u0000", "\ufeffbom", "𝄞 clef", "é"],
    ...[0, 1, 15, 16, 65_535, 65_536].map((length) => Array.from({ length }, (_, index) => index)),
    ...[0, 15, 16, 70_000].map((n) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, i]))),
    { a: [{ b: { c: [null, [[]], {}] } }] },
  ];
  for (const value of values) {
    assert.deepEqual(encode(value), library.encode(value));
    assert.deepEqual(decode(library.encode(value), "args"), value);
  }
  for (const length of [0, 255, 256, 65_536]) {
    const data = Buffer.alloc(length, 7);
    assert.deepEqual(encode(data), library.encode(data));
    assert.deepEqual(decode(library.encode(data), "args"), data);
  }
});

test("integers stay what they are, at any size", () => {
  const edges = [53n, 62n, 63n, 64n, 65n, 127n, 128n, 1000n].flatMap((bits) =>
    [-1n, 0n, 1n].flatMap((by) => [2n ** bits + by, -(2n ** bits) + by]),
  );
  for (const edge of edges) {
    const exact = Number.isSafeInteger(Number(edge));
    assert.equal(round(edge), exact ? Number(edge) : edge);
  }
  for (const number of [2 ** 32, 2 ** 40, 2 ** 53 - 1, -(2 ** 31) - 1, -(2 ** 53) + 1]) {
    assert.equal(round(number), number);
    assert.equal(encode(number)[0], number < 0 ? 0xd3 : 0xcf);
  }
  assert.deepEqual(encode(2n ** 64n), new Uint8Array([0xc7, 9, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
});

test("floats that are no integers, the odd ones among them, stay floats", () => {
  for (const float of [NaN, Infinity, -Infinity, -0, 0.5, 2 ** 53, 1e300]) {
    assert.equal(encode(float)[0], 0xcb);
    assert.ok(Object.is(round(float), float));
  }
  assert.equal(decode(new Uint8Array([0xca, 0x3f, 0xc0, 0, 0]), "args"), 1.5);
});

test("what has no form of its own travels as what is closest", () => {
  assert.deepEqual(round(undefined), null);
  assert.deepEqual(round({ a: undefined, b: [undefined] }), { b: [null] });
  assert.equal(round(new Date(0)), "1970-01-01T00:00:00.000Z");
  assert.deepEqual(round(new Uint8Array([1]).buffer), Buffer.from([1]));
  assert.deepEqual(round(new DataView(new ArrayBuffer(2))), Buffer.alloc(2));
  assert.deepEqual(round(Object.assign(Object.create(null), { a: 1 })), { a: 1 });
  const map = new Map([[1, "one"], [2, "two"]]);
  assert.deepEqual(round(map), map);
  assert.deepEqual(round(new Map([["a", 1]])), { a: 1 });
});

test("typed arrays are arrays of numbers, with a shape and a type", () => {
  /** @param {any} array @param {number[]} shape @param {string} dtype */
  const like = (array, shape, dtype) => Object.assign(array, { shape, dtype });
  for (const [array, dtype] of /** @type {[any, string][]} */ ([
    [new Int8Array([-1, 2]), "s8"],
    [new Int16Array([-1, 2]), "s16"],
    [new Uint16Array([1, 2]), "u16"],
    [new Int32Array([-1, 2]), "s32"],
    [new Uint32Array([1, 2]), "u32"],
    [new BigInt64Array([-1n, 2n]), "s64"],
    [new BigUint64Array([1n, 2n]), "u64"],
    [new Float32Array([1.5, NaN]), "f32"],
    [new Float64Array([1.5, -0]), "f64"],
  ])) {
    assert.deepEqual(round([array]), [like(array.slice(), [2], dtype)]);
    const column = like(array.slice(), [2, 1], dtype);
    assert.deepEqual(round({ column }), { column });
    assert.deepEqual(round(array.subarray(1)), like(array.slice(1), [1], dtype));
    assert.deepEqual(round(like(array.slice(0, 0), [0, 7], dtype)), like(array.slice(0, 0), [0, 7], dtype));
  }
  // Their items have no class, or may have none.
  for (const array of [
    like(new Uint8Array([0, 1]), [2, 1], "bool"),
    like(new Uint8Array([7]), [], "u8"),
    like(new Uint16Array([0x3f80]), [1], "bf16"),
    like(new Float32Array([1, 2, 3, 4]), [2], "c64"),
    like(new Float64Array([1, 2]), [1], "c128"),
  ]) assert.deepEqual(round(array), array);
  const half = /** @type {any} */ (round(like(new Uint16Array([0x3c00]), [1], "f16")));
  assert.deepEqual([half.dtype, half.byteLength, half.buffer.byteLength > 0], ["f16", 2, true]);
  assert.deepEqual(encode(half), encode(like(new Uint16Array([0x3c00]), [1], "f16")));

  assert.deepEqual(encode(like(new Float32Array([1]), [1], "f32")), library.encode({
    __array__: [[1], "f32", new Uint8Array([0, 0, 0x80, 0x3f])],
  }));
  assert.deepEqual(round(new Uint8ClampedArray([1])), Buffer.from([1]));
  assert.deepEqual(round(Object.assign(new Uint8ClampedArray([1]), { shape: [1] })), like(new Uint8Array([1]), [1], "u8"));
});

test("an array comes in whole wherever it lies", () => {
  for (let before = 0; before < 9; before++) {
    const array = new Float64Array([1.5, 2.5]);
    const read = /** @type {any} */ (round(["x".repeat(before), array]));
    assert.deepEqual([...read[1]], [1.5, 2.5]);
  }
});

test("an object that says something else under the key of arrays is that object", () => {
  const data = Buffer.alloc(8);
  for (const other of [1, [], [[2], "f32"], [[2], "f33", data], [[3], "f32", data], [[-2], "f32", data],
    [[2.5], "f32", data], [2, "f32", data], [[2], "f32", "12345678"], [[2], "toString", data]]) {
    assert.deepEqual(round({ __array__: other }), { __array__: other });
  }
  const more = { __array__: [[2], "f32", data], more: 1 };
  assert.deepEqual(round(more), more);
});

test("a key by the name of __proto__ is a key like any other", () => {
  const read = /** @type {any} */ (decode(encode(new Map([["__proto__", { polluted: true }]])), "args"));
  assert.ok(Object.hasOwn(read, "__proto__"));
  assert.equal(read.polluted, undefined);
});

test("what cannot be sent is an error that names the place", () => {
  /** @type {any[]} */
  const circle = [];
  circle.push(circle);
  class Point {}
  for (const [value, message] of /** @type {[unknown, RegExp][]} */ ([
    [{ a: { layers: [1, 2, 3, () => 1] } }, /^result\.a\.layers\[3\]: a function cannot/],
    [[new Set()], /^result\[0\]: an object of class Set cannot/],
    [new Point(), /^result: an object of class Point cannot/],
    [{ when: new Date(NaN) }, /^result\.when: an invalid Date/],
    [{ s: Symbol("x") }, /^result\.s: a symbol cannot/],
    [["\ud800"], /^result\[0\]: a string with lone surrogates/],
    [new Map([[Symbol("k"), 1]]), /^result\.\(key\): a symbol/],
    [{ a: Object.assign(new Float32Array(2), { shape: [3] }) }, /^result\.a: an array of f32 with the shape \[3\] takes 12 bytes, not 8$/],
    [[Object.assign(new Float32Array(2), { shape: 2 })], /^result\[0\]: the shape of an array must be/],
    [[Object.assign(new Float32Array(2), { dtype: "f31" })], /^result\[0\]: the dtype of an array is f31, not/],
    [Array.from({ length: 254 }).reduce((inner) => [inner], new Float32Array(1)), /nested more than 256 deep/],
    [circle, /: values nested more than 256 deep cannot be sent; does it contain itself\?$/],
  ])) {
    assert.throws(() => encode(value), (error) => error instanceof EncodingError && message.test(error.message));
  }
});

test("what is no MessagePack is an error, whatever it is", () => {
  const good = encode({ a: [1, "text", Buffer.alloc(3), 2n ** 70n, 1.5, null] });
  for (let cut = 0; cut < good.length; cut++) {
    assert.throws(() => decode(good.subarray(0, cut), "args.a"), /^EncodingError: args\.a: not MessagePack/);
  }
  const bad = [[0xc1], [0xdd, 0xff, 0xff, 0xff, 0xff], [0xdf, 0xff, 0xff, 0xff, 0xff], [0xc6, 0xff, 0xff, 0xff, 0xff]];
  for (const bytes of bad) assert.throws(() => decode(new Uint8Array(bytes), "args"), EncodingError);
  assert.throws(() => decode(new Uint8Array([1, 2]), "args"), /1 bytes stand behind/);
  assert.throws(() => decode(new Uint8Array([0xd4, 2, 0]), "args"), /extension type 2/);
  assert.throws(() => decode(new Uint8Array([0xa1, 0xff]), "args"), /not UTF-8/);
  assert.throws(() => decode(new Uint8Array(100_000).fill(0x91), "args"), /256 deep/);
  let seed = 1;
  const random = () => (seed = (seed * 48_271) % 2_147_483_647);
  for (let run = 0; run < 20_000; run++) {
    const bytes = Uint8Array.from({ length: random() % 12 }, () => random() % 256);
    try {
      decode(bytes, "args");
    } catch (error) {
      assert.ok(error instanceof EncodingError, String(error));
    }
  }
});

test("plain peers get what they know: text and bytes as they are, the rest as JSON", () => {
  /** @param {unknown} value */
  const sent = (value) => Buffer.from(json.encode(value, "result")).toString("latin1");
  assert.equal(sent("text"), "text");
  assert.equal(sent(Buffer.from([255])), "\xff");
  assert.equal(sent({ a: [1, null] }), '{"a":[1,null]}');
  assert.equal(sent(undefined), "null");
  assert.throws(() => sent(1n), EncodingError);
  assert.throws(() => sent(() => 1), EncodingError);
  assert.equal(json.decode(Buffer.from("5")), 5);
  assert.equal(json.decode(Buffer.from("five")), "five");
  assert.deepEqual(json.decode(Buffer.from([255])), Buffer.from([255]));
});

test("a result that is no plain object is that of the key result", () => {
  for (const value of [1, null, undefined, [1], "x", new Date(0), Buffer.alloc(1)]) {
    assert.deepEqual(encodeEntries(value, 1, "result").entries.map(([key]) => key), ["result"]);
  }
  const { entries, size } = encodeEntries({ key: "é", none: undefined }, 1, "result");
  assert.equal(size, 3 + 3 + 8);
  assert.deepEqual(decodeEntries(entries, 1), { key: "é" });
  assert.throws(() => encodeEntries({ a: { b: () => 1 } }, 1, "chunk"), /^EncodingError: chunk\.a\.b: /);
  assert.throws(() => decodeEntries([["a", new Uint8Array([0xc1])]], 1), /^EncodingError: args\.a: /);
});

test("requests are read as the proto file says, whatever their fields", () => {
  const common = { command: "c", timeoutMs: 5, requestId: "r", codec: 1, metadata: { m: "ü" } };
  const args = { a: Buffer.from([1]), "ключ": Buffer.from("v"), empty: Buffer.alloc(0) };
  const read = { ...common, sessionId: "", args: Object.entries(args) };
  assert.deepEqual(executeRequest(service.Execute.requestSerialize({ ...common, args })), read);
  assert.deepEqual(
    sessionRequest(service.ExecuteInSession.requestSerialize({ ...common, args, sessionId: "s" })),
    { ...read, sessionId: "s" },
  );
  /** @param {any} message */
  const bytes = (message) => service.ExecuteBidiStream.requestSerialize(message);
  const start = { ...common, args, sessionId: "s", window: 2 ** 32 - 1, maxBuffer: 2 ** 40, shape: 3 };
  assert.deepEqual(streamMessage(bytes({ start })), { start: { ...start, args: Object.entries(args) } });
  assert.deepEqual(streamMessage(bytes({ chunk: { chunk: args } })), { chunk: Object.entries(args) });
  assert.deepEqual(streamMessage(bytes({ abort: "why" })), { abort: "why" });
  assert.deepEqual(streamMessage(bytes({ halfClose: {} })), { halfClose: true });
  assert.deepEqual(streamMessage(bytes({ ack: 7 })), { ack: 7 });
  assert.deepEqual(streamMessage(bytes({})), {});
  assert.equal(keepsCredit(bytes({ start })), true);
  assert.equal(keepsCredit(bytes({ start: { ...start, window: 0 } })), false);
  assert.equal(keepsCredit(bytes({ ack: 1 })), false);
  assert.equal(keepsCredit(new Uint8Array([10, 200])), false);
  const long = bytes({ start });
  for (let cut = 1; cut < long.length; cut++) assert.throws(() => streamMessage(long.subarray(0, cut)), Error);
});

test("responses are what the proto file says", () => {
  /** @type {import("../src/wire/values.js").Entry[]} */
  const entries = [["a", new Uint8Array([1])], ["ключ", new Uint8Array(300)]];
  const detail = { kind: "python", type: "T", message: "m", traceback: "t", retryable: true };
  const plain = (/** @type {any} */ message) => ({ ...message, timestamp: message.timestamp > 1e18 });
  const { responseDeserialize: unary } = service.Execute;
  const { responseDeserialize: stream } = service.ExecuteStream;
  const values = { a: Buffer.from([1]), "ключ": Buffer.alloc(300) };
  const none = { error: "", detail: null, timestamp: true };
  assert.deepEqual(plain(unary(response.success(entries, 1))), { ...none, success: true, result: values, codec: 1 });
  assert.deepEqual(plain(unary(response.failure(detail))), {
    ...{ success: false, result: {}, codec: 0, timestamp: true },
    ...{ error: "m", detail },
  });
  const chunk = { ...none, isFinal: false, chunk: values, codec: 1, ack: 0 };
  assert.deepEqual(plain(stream(response.chunk(entries, 1, false))), chunk);
  assert.deepEqual(plain(stream(response.chunk([], 1, true))), { ...chunk, isFinal: true, chunk: {} });
  assert.deepEqual(plain(stream(response.errorChunk(detail))), {
    ...{ ...chunk, isFinal: true, chunk: {}, codec: 0 },
    ...{ error: "m", detail },
  });
  assert.equal(stream(response.ack(9)).ack, 9);
  const health = {
    ...{ healthy: true, workerId: "w", uptimeMs: 1, activeRequests: 2, totalRequests: 3 },
    ...{ bridgeVersion: "b", transport: "t", codecs: [0, 1], rssBytes: 2 ** 33, commands: ["a", "b"] },
  };
  assert.deepEqual(service.Health.responseDeserialize(response.health({ ...health, runtimeVersion: "n" })), {
    ...{ ...health, pythonVersion: "n", lane: false, credit: true },
  });
});
