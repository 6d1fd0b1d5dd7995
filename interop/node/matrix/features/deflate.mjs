import assert from "node:assert/strict";
import { ask, fence, gather } from "../bench.mjs";
import { DEFLATE_THRESHOLD } from "../cells.mjs";
import { noFrames } from "../missing.mjs";
import { buffered } from "../../support/values.mjs";

const TEXT = 1;
const BINARY = 2;
const LARGE = 100 * DEFLATE_THRESHOLD;

export default {
  title: "deflate",
  missing: noFrames,

  async test(bench) {
    const wire = await bench.wire();
    const socket = await bench.connect({ at: wire });
    await ask(socket, "join", bench.room("den"));
    const [webSocket, ...others] = wire.webSockets;
    assert.deepEqual(others, []);
    assert.match(webSocket.extensions, /^permessage-deflate(;|$)/);

    const large = "roomful ".repeat(LARGE / 8);
    const echoes = gather(socket, "echo");
    const before = webSocket.down.length;
    const sent = [["small"], [large], [Buffer.alloc(10, 1)], [Buffer.from(large)], ["small again"]];
    for (const args of sent) socket.emit("echo", ...args);
    await ask(socket, "say", bench.room("den"), "echo", large);
    await fence(socket);
    assert.deepEqual(buffered(echoes), [...sent, [large]]);

    // Up it is the client that chooses; what it compressed was understood.
    expectCompressed("down", webSocket.down.slice(before));
    expectCompressed("up", webSocket.up);
  },
};

/** The large ones came compressed and much smaller than they are, the small ones as they are. */
function expectCompressed(way, frames) {
  const compressed = frames.filter((frame) => frame.compressed);
  const count = (opcode) => compressed.filter((frame) => frame.opcode === opcode).length;
  assert.deepEqual({ way, texts: count(TEXT), binaries: count(BINARY) }, { way, texts: 2, binaries: 1 });
  for (const { bytes } of compressed) assert.ok(bytes < LARGE / 10, `${bytes} bytes ${way}, compressed`);
  for (const frame of frames) {
    if (!frame.compressed) assert.ok(frame.bytes < DEFLATE_THRESHOLD + 14, `${frame.bytes} bytes ${way}, as they are`);
  }
}
