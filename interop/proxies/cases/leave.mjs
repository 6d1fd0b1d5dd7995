import assert from "node:assert/strict";
import { PATIENCE, within } from "../../node/support/wait.mjs";
import { ask } from "../bench.mjs";
import { noWebSocket } from "../missing.mjs";

/** The server sees that a client has left, and how. */
export default {
  title: "leave",
  // A ping that lies unread when a client ends its connection makes a reset of that.
  isQuiet: true,
  missing: noWebSocket,
  async test(bench) {
    const watchers = await Promise.all(bench.front.nodes.map((node) => bench.direct(node)));
    await Promise.all(watchers.map((watcher) => ask(watcher, "join", "watch")));
    const left = ({ id }) => within(PATIENCE, "the server to see that a client left", new Promise((resolve) => {
      for (const watcher of watchers) watcher.on("left", (who, reason) => who === id && resolve(reason));
    }));

    const polite = await bench.connect();
    const goodbye = left(polite);
    polite.disconnect();
    assert.equal(await goodbye, "client namespace disconnect");

    // Somebody pulls the plug, which only a WebSocket can show before the next heartbeat.
    if (bench.transport !== "websocket") return;
    const rude = await bench.connect();
    const gone = left(rude);
    rude.io.engine.transport.ws.terminate();
    // HAProxy makes a reset of a stream of HTTP/2 that of a connection.
    const reasons = bench.setup.webSocketInHttp2 ? ["transport close", "transport error"] : ["transport close"];
    assert.ok(reasons.includes(await gone), `the reason is ${await gone}`);
  },
};
