// The methods of the contract. Their messages pass as bytes: what is in them is for the handlers' side.

import grpc from "@grpc/grpc-js";

/** @typedef {import("../calls.js").Method} Method */
/** @typedef {import("./calls.js").Calls} Calls */
/** @typedef {import("./calls.js").ServerCall} ServerCall */

const PATH = "/snakepit.SnakepitBridge/";

const SHAPES = /** @type {const} */ ({
  Execute: { requestStream: false, responseStream: false },
  ExecuteInSession: { requestStream: false, responseStream: false },
  ExecuteStream: { requestStream: false, responseStream: true },
  ExecuteInSessionStream: { requestStream: false, responseStream: true },
  ExecuteClientStream: { requestStream: true, responseStream: false },
  ExecuteBidiStream: { requestStream: true, responseStream: true },
});

/**
 * @param {Calls} calls
 * @param {() => Uint8Array} health
 * @returns {{definition: grpc.ServiceDefinition, implementation: grpc.UntypedServiceImplementation}}
 */
export function methods(calls, health) {
  /** @type {Record<string, grpc.MethodDefinition<Buffer, Uint8Array>>} */
  const definition = { Health: method("Health", { requestStream: false, responseStream: false }) };
  /** @type {Record<string, grpc.UntypedHandleCall>} */
  const implementation = {
    Health: /** @type {grpc.handleUnaryCall<Buffer, Uint8Array>} */ ((_call, answer) => answer(null, health())),
  };
  for (const [name, shape] of Object.entries(SHAPES)) {
    definition[name] = method(name, shape);
    implementation[name] = /** @type {any} */ (
      (/** @type {ServerCall} */ call, /** @type {grpc.sendUnaryData<Uint8Array> | undefined} */ answer) =>
        calls.open(/** @type {Method} */ (name), shape.requestStream, call, answer)
    );
  }
  return { definition, implementation };
}

/**
 * @param {string} name
 * @param {{requestStream: boolean, responseStream: boolean}} shape
 * @returns {grpc.MethodDefinition<Buffer, Uint8Array>}
 */
function method(name, shape) {
  return {
    path: PATH + name,
    ...shape,
    requestSerialize: (bytes) => bytes,
    requestDeserialize: (bytes) => bytes,
    responseSerialize: (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    responseDeserialize: (bytes) => bytes,
  };
}
