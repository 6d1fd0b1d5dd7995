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
    const back = happened(socket, "welcome");
    const gone = happened(socket, "disconnect");
    await at.restart();
    const [reason] = await within(PATIENCE, "the client to see the end of the server", gone);
    assert.match(reason, /^transport (close|error)$/);
    await within(PATIENCE, "the client to come back", back);
    assert.equal(await ask(socket, "echo-ack", 1), 1);
    assert.equal(losses(socket).length, 1);
  },
};
