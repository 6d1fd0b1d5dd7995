import assert from "node:assert/strict";
import { ask } from "../bench.mjs";
import { noWebSocket } from "../missing.mjs";

const LINE = "schön 雪 😀 \"quoted\" \\ ";

export default {
  title: "300 kB of text",
  missing: noWebSocket,
  async test(bench) {
    const socket = await bench.connect();
    const large = LINE.repeat(Math.ceil(300_000 / Buffer.byteLength(LINE)));
    for (let i = 0; i < 3; i++) {
      const back = await ask(socket, "echo-ack", large);
      assert.ok(back === large, `${back?.length} characters came back`);
    }
  },
};
