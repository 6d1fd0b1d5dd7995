import assert from "node:assert/strict";
import { ask } from "../bench.mjs";
import { noOrigins } from "../missing.mjs";
import { knockAsWebSocket, request } from "../request.mjs";

/** A page of the host that the browser sees may connect, and any other is refused with 403. */
export default {
  title: "origins",
  missing: noOrigins,
  async test(bench) {
    const { front, setup } = bench;
    const knock = bench.mode === "websocket" ? knockAsWebSocket : request;
    const strange = await knock(front, { headers: { origin: "https://elsewhere.example" } });
    assert.equal(strange.status, 403);
    assert.match(strange.body, /Origin not allowed/);

    const { origin } = new URL(front.url);
    if (!setup.passesHost) {
      assert.equal((await knock(front, { headers: { origin } })).status, 403);
      return;
    }
    const socket = await bench.connect({ extraHeaders: { origin } });
    assert.equal(await ask(socket, "echo-ack", 1), 1);
  },
};
