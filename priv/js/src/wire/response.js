// The messages that a worker sends, written by their field numbers in proto/snakepit.proto.

import protobuf from "protobufjs/minimal.js";

/** @typedef {import("./values.js").Entry} Entry */
/** @typedef {import("../describe.js").Detail} Detail */
/** @typedef {import("protobufjs").Writer} Writer */

/**
 * @typedef {object} Health
 * @property {boolean} healthy
 * @property {string} workerId
 * @property {number} uptimeMs
 * @property {number} activeRequests
 * @property {number} totalRequests
 * @property {string} runtimeVersion
 * @property {string} bridgeVersion
 * @property {string} transport
 * @property {number[]} codecs
 * @property {number} rssBytes
 * @property {string[]} commands
 */

/** @param {Entry[]} result @param {number} codec */
export function success(result, codec) {
  const writer = new protobuf.BufferWriter();
  writer.uint32(tag(1, 0)).bool(true);
  entries(writer, 2, result);
  writer.uint32(tag(4, 0)).int64(now());
  return writer.uint32(tag(5, 0)).int32(codec).finish();
}

/** @param {Detail} detail */
export function failure(detail) {
  const writer = new protobuf.BufferWriter();
  writer.uint32(tag(3, 2)).string(detail.message);
  writer.uint32(tag(4, 0)).int64(now());
  return detailed(writer, detail).finish();
}

/** @param {Entry[]} chunk @param {number} codec @param {boolean} isFinal */
export function chunk(chunk, codec, isFinal) {
  const writer = new protobuf.BufferWriter();
  if (isFinal) writer.uint32(tag(1, 0)).bool(true);
  entries(writer, 2, chunk);
  writer.uint32(tag(4, 0)).int64(now());
  return writer.uint32(tag(5, 0)).int32(codec).finish();
}

/** @param {Detail} detail */
export function errorChunk(detail) {
  const writer = new protobuf.BufferWriter();
  writer.uint32(tag(1, 0)).bool(true);
  writer.uint32(tag(3, 2)).string(detail.message);
  writer.uint32(tag(4, 0)).int64(now());
  return detailed(writer, detail).finish();
}

/** Tells the caller that so many more of its chunks were consumed. @param {number} chunks */
export function ack(chunks) {
  return new protobuf.BufferWriter().uint32(tag(7, 0)).uint32(chunks).finish();
}

/** @param {Health} health */
export function health(health) {
  const writer = new protobuf.BufferWriter();
  writer.uint32(tag(1, 0)).bool(health.healthy);
  writer.uint32(tag(2, 2)).string(health.workerId);
  writer.uint32(tag(3, 0)).int64(health.uptimeMs);
  writer.uint32(tag(4, 0)).uint32(health.activeRequests);
  writer.uint32(tag(5, 0)).uint64(health.totalRequests);
  writer.uint32(tag(6, 2)).string(health.runtimeVersion);
  writer.uint32(tag(7, 2)).string(health.bridgeVersion);
  writer.uint32(tag(8, 2)).string(health.transport);
  writer.uint32(tag(9, 2)).fork();
  for (const codec of health.codecs) writer.int32(codec);
  writer.ldelim();
  writer.uint32(tag(10, 0)).uint64(health.rssBytes);
  for (const command of health.commands) writer.uint32(tag(11, 2)).string(command);
  // No lane, and credit.
  return writer.uint32(tag(13, 0)).bool(true).finish();
}

/** @param {Writer} writer @param {number} field @param {Entry[]} list */
function entries(writer, field, list) {
  for (const [key, value] of list) {
    writer.uint32(tag(field, 2)).fork();
    writer.uint32(tag(1, 2)).string(key);
    writer.uint32(tag(2, 2)).bytes(value).ldelim();
  }
}

/** @param {Writer} writer @param {Detail} detail */
function detailed(writer, detail) {
  writer.uint32(tag(6, 2)).fork();
  writer.uint32(tag(1, 2)).string(detail.type);
  writer.uint32(tag(2, 2)).string(detail.message);
  writer.uint32(tag(3, 2)).string(detail.traceback);
  writer.uint32(tag(4, 0)).bool(detail.retryable);
  return writer.uint32(tag(5, 2)).string(detail.kind).ldelim();
}

/** @param {number} field @param {number} type */
function tag(field, type) {
  return (field << 3) | type;
}

/** Nanoseconds since the epoch, as far as a number can tell. */
function now() {
  return Date.now() * 1e6;
}
