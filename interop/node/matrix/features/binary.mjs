import assert from "node:assert/strict";
import { ask, askAll, fence, gather, once } from "../bench.mjs";
import { oldMsgpackBinary } from "../missing.mjs";
import { buffered, bytes } from "../../support/values.mjs";

export default {
  title: "binary",
  missing: oldMsgpackBinary,

  async test(bench) {
    const socket = await bench.connect();
    const echoes = gather(socket, "echo");
    const part = bytes(9);
    const sent = [
      [bytes(0)],
      [bytes(1), bytes(126), bytes(70_000)],
      ["first", { a: [bytes(3), { b: bytes(0), c: "text" }], d: null, 'e "f"': { g: [[bytes(1_000)]] } }, 3],
      [part, { again: part }],
      ["text between"],
      [new Uint8Array([1, 2]), new Uint8Array([3, 4]).buffer, bytes(64).subarray(8, 16)],
    ];
    for (const args of sent) socket.emit("echo", ...args);
    await fence(socket);
    assert.deepEqual(buffered(echoes), buffered(sent));

    assert.deepEqual(buffered(await askAll(socket, "echo-ack", bytes(5), { deep: [bytes(66_000)] })), [
      bytes(5),
      { deep: [bytes(66_000)] },
    ]);
    await expectQuestion(socket);
    await expectBroadcast(bench, socket);
  },
};

async function expectQuestion(socket) {
  let asked;
  socket.once("question", (...args) => {
    asked = args.slice(0, -1);
    args.at(-1)({ reply: [bytes(7)] }, bytes(1));
  });
  const answer = once(socket, "answer");
  socket.emit("ask", bytes(4), "x");
  assert.deepEqual(buffered(await answer), [{ reply: [bytes(7)] }, bytes(1)]);
  assert.deepEqual(buffered(asked), [bytes(4), "x"]);
}

async function expectBroadcast(bench, socket) {
  const listener = await bench.connect();
  const blobs = gather(listener, "blob");
  await ask(listener, "join", bench.room("blobs"));
  await ask(socket, "say", bench.room("blobs"), "blob", bytes(2_000), { deep: [bytes(2)] });
  await fence(listener);
  assert.deepEqual(buffered(blobs), [[bytes(2_000), { deep: [bytes(2)] }]]);
}
