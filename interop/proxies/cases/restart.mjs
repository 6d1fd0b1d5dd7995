import assert from "node:assert/strict";
import { PATIENCE, within } from "../../node/support/wait.mjs";
import { ask, happened, losses } from "../bench.mjs";
import { noWebSocket } from "../missing.mjs";

const EAGER = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200 };

/** The server is replaced, and clients come back by themselves once it is there. */
export default {
  title: "restart",
  missing: noWebSocket,
  async test(bench) {
    const at = await bench.start();
    const socket = await bench.connect({ at, ...EAGER });
    const gone = happened(socket, "disconnect");
    await at.restart();
    await within(PATIENCE, "the client to see the end of the server", gone);
    assert.equal(await within(PATIENCE, "an answer of the new server", answered(socket)), 1);
    for (const reason of losses(socket)) assert.match(reason, /^transport (close|error)/);
  },
};

/** Of two nodes one may end while the client has just come to it, so it may come back more than once. */
async function answered(socket) {
  for (;;) {
    if (!socket.connected) await happened(socket, "connect");
    // It ends with the connection, too.
    const answer = await ask(socket, "echo-ack", 1).catch((error) => {
      if (socket.connected) throw error;
    });
    if (answer !== undefined) return answer;
  }
}
