// What grpc-js has no options for, in the thread of the server alone.

import http2 from "node:http2";

/** The largest window HTTP/2 knows. */
const MOST = 2 ** 31 - 1;

const createServer = http2.createServer;

/**
 * Has servers made from now on bound each stream by a window of its own and not all of a connection
 * by one, so that a stream which nobody reads holds up no other; and, where Node knows these options,
 * take no burst of cancelled streams for an attack: the peer is our own.
 */
export function tuneServers() {
  http2.createServer = /** @type {typeof createServer} */ (
    (/** @type {http2.ServerOptions} */ options, /** @type {any[]} */ ...rest) => {
      const tolerant = { ...options, streamResetBurst: MOST, streamResetRate: MOST };
      const server = createServer(tolerant, ...rest);
      server.on("session", (session) => session.setLocalWindowSize(MOST));
      return server;
    }
  );
}
