import assert from "node:assert/strict";
import { ask, fence, gather, idOf } from "../bench.mjs";
import { range } from "../../support/wait.mjs";

export default {
  title: "recovery",

  async test(bench) {
    const at = bench.recovering;
    const speaker = await bench.connect({ at });
    const { socket, cut, mend } = await bench.connectByWire({ at });
    const den = bench.room("den");
    const news = gather(socket, "news");
    const id = idOf(socket);
    await ask(socket, "join", den);
    await ask(socket, "set-data", { kept: [1] });
    for (const i of range(3)) await ask(speaker, "say", den, "news", i);
    await fence(socket);

    await lose(speaker, socket, cut);
    for (const i of range(20)) await ask(speaker, "say", den, "news", 3 + i);
    await ask(speaker, "say", bench.room("hall"), "news", "of another room");
    await ask(speaker, "say-except", den, id, "news", "not for it");
    await mend();
    await ask(speaker, "say", den, "news", "now");
    await fence(socket);

    // Each event carries its offset besides.
    const heard = news.map(([value]) => value);
    if (bench.client.recovery) await expectRecovered(socket, { id, den, heard });
    else await expectNew(socket, { id, heard });
  },
};

/** Cuts the connection of `socket` and waits until client and server know. */
async function lose(watcher, socket, cut) {
  await ask(watcher, "join", "watch");
  const id = idOf(socket);
  const left = new Promise((resolve) => watcher.on("left", (who) => who === id && resolve()));
  await cut();
  await left;
}

async function expectRecovered(socket, { id, den, heard }) {
  assert.equal(socket.recovered, true);
  assert.equal(socket.id, id);
  assert.deepEqual(heard, [...range(23), "now"]);
  assert.deepEqual((await ask(socket, "rooms")).toSorted(), [den, id].toSorted());
  assert.deepEqual(await ask(socket, "get-data"), { kept: [1] });
  assert.equal(await ask(socket, "recovered"), true);
}

/** A client that knows nothing of recovery simply begins again. */
async function expectNew(socket, { id, heard }) {
  assert.notEqual(idOf(socket), id);
  assert.deepEqual(heard, range(3));
  assert.deepEqual(await ask(socket, "rooms"), [idOf(socket)]);
  assert.equal(await ask(socket, "recovered"), false);
}
