import assert from "node:assert/strict";
import { ask, fence, gather, idOf, once, refusal } from "../bench.mjs";
import { oldMsgpackNamespaces } from "../missing.mjs";

export default {
  title: "namespaces",
  missing: oldMsgpackNamespaces,

  async test(bench) {
    const sockets = await bench.multiplex("/", "/a", "/b");
    const [root, a, b] = sockets;
    assert.equal(a.io.engine, root.io.engine);
    assert.equal(new Set(sockets.map(idOf)).size, 3);

    // One room's name in three namespaces is three rooms.
    const heard = sockets.map((socket) => gather(socket, "heard"));
    for (const socket of sockets) await ask(socket, "join", bench.room("den"));
    await ask(a, "say", bench.room("den"), "heard", "in a");
    await fence(...sockets);
    assert.deepEqual(heard, [[], [["in a"]], []]);

    await expectReturn(bench, a, b);
    await expectRefusal(bench, root);
  },
};

/** `a` leaves and joins again; `b` does not notice. */
async function expectReturn(bench, a, b) {
  const { id } = a;
  assert.equal(await ask(a, "count", "visits"), 1);
  a.disconnect();
  assert.equal(a.connected, false);
  assert.equal(await ask(b, "echo-ack", "still here"), "still here");
  const back = once(a, "welcome");
  a.connect();
  const [welcome] = await back;
  if (bench.client.protocol !== 3) {
    assert.equal(welcome.id, a.id);
    assert.notEqual(a.id, id);
  }
  assert.equal(await ask(a, "count", "visits"), 1);
  assert.deepEqual(await ask(a, "rooms"), [idOf(a)]);
}

async function expectRefusal(bench, root) {
  const nowhere = bench.keep(root.io.socket("/nowhere"));
  const [error] = await once(nowhere, refusal(nowhere));
  assert.equal(error.message ?? error, "Invalid namespace");
  assert.equal(await ask(root, "echo-ack", "alive"), "alive");
}
