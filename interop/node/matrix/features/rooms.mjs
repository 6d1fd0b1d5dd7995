import assert from "node:assert/strict";
import { ask, fence, gather, idOf } from "../bench.mjs";

export default {
  title: "rooms",

  async test(bench) {
    const [den, hall] = [bench.room("den"), bench.room("hall")];
    const sockets = await bench.connectAll(3);
    const [one, two, three] = sockets;
    const heard = sockets.map((socket) => gather(socket, "heard"));
    assert.deepEqual(await ask(one, "rooms"), [idOf(one)]);
    for (const socket of [one, two]) assert.equal(await ask(socket, "join", den), true);
    for (const socket of [two, three]) assert.equal(await ask(socket, "join", hall), true);
    assert.deepEqual((await ask(one, "members", den)).toSorted(), [idOf(one), idOf(two)].toSorted());

    await ask(one, "say", den, "heard", "all in den");
    await ask(three, "say", den, "heard", "from outside");
    await ask(one, "say-others", den, "heard", "others in den");
    await ask(one, "say-rooms", [den, hall], "heard", "both, once");
    await ask(one, "say-except", den, hall, "heard", "den without hall");
    await ask(one, "say", idOf(three), "heard", "three alone");
    await ask(two, "leave", den);
    await ask(one, "say", den, "heard", "after leaving");
    await fence(...sockets);
    assert.deepEqual(heard.map((events) => events.flat()), [
      ["all in den", "from outside", "both, once", "den without hall", "after leaving"],
      ["all in den", "from outside", "others in den", "both, once"],
      ["both, once", "three alone"],
    ]);
    assert.deepEqual((await ask(two, "rooms")).toSorted(), [hall, idOf(two)].toSorted());
  },
};
