import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { ask, dial, fence, gather, modes, record } from "../support/client.mjs";
import { suite } from "../support/suite.mjs";
import { bytes, buffered } from "../support/values.mjs";
import { next, range } from "../support/wait.mjs";

const [POLLING, , UPGRADED] = modes;
const EACH_WAY = 200;

suite("upgrade", ({ test }) => {
  for (const round of range(5)) {
    test(`traffic both ways survives ten upgrades, round ${round + 1} of 5`, async (bench) => {
      await Promise.all(range(10).map(() => trafficThroughUpgrade(bench)));
    });
  }

  for (const phase of ["upgrading", "upgrade"]) {
    test(`200 messages each way in the instant of "${phase}" keep their order`, async (bench) => {
      await Promise.all(range(10).map(() => volleyAt(bench, phase)));
    });
  }

  test("events with bytes stay whole through the upgrade", async (bench) => {
    const socket = bench.open({ mode: UPGRADED });
    const log = record(socket);
    const done = next(socket.io.engine, "upgrade");
    await next(socket, "connect");
    let upgraded = false;
    done.then(() => (upgraded = true));
    let sent = 0;
    // The pause only spreads the messages over the upgrade.
    const unfinished = () => socket.connected && (!upgraded || sent < EACH_WAY);
    for (; unfinished(); await pause(1)) socket.emit("echo", sent, bytes(sent++ % 300), [bytes(2)]);
    await done;
    await fence(socket);
    const echoes = log.filter(([event]) => event === "echo");
    assert.deepEqual(buffered(echoes), range(sent).map((i) => ["echo", i, bytes(i % 300), [bytes(2)]]));
  });

  test("broadcasts reach a client during its upgrade", async (bench) => {
    const sender = await bench.connect({ mode: modes[1] });
    const socket = bench.open({ mode: UPGRADED });
    const heard = gather(socket, "news");
    let upgraded = false;
    socket.io.engine.once("upgrade", () => (upgraded = true));
    await next(socket, "connect");
    let sent = 0;
    const unfinished = () => socket.connected && (!upgraded || sent < EACH_WAY);
    for (; unfinished(); await pause(1)) sender.emit("say-all", "news", sent++);
    await fence(sender);
    await fence(socket);
    assert.deepEqual(heard, range(sent));
  });

  test("the socket keeps its id, rooms and data", async (bench) => {
    const socket = bench.open({ mode: UPGRADED });
    const done = next(socket.io.engine, "upgrade");
    await next(socket, "connect");
    const { id } = socket;
    await ask(socket, "join", "den");
    await ask(socket, "set-data", 7);
    await done;
    assert.equal(socket.id, id);
    assert.deepEqual((await ask(socket, "rooms")).toSorted(), ["den", id].toSorted());
    assert.equal(await ask(socket, "get-data"), 7);
  });

  test("leaving in the middle of the upgrade is a clean goodbye", async (bench) => {
    const watcher = await bench.connect({ mode: POLLING });
    await ask(watcher, "join", "watch");
    for (const _ of range(10)) {
      const socket = dial(bench.server, UPGRADED);
      const upgrading = next(socket.io.engine, "upgrading");
      await next(socket, "connect");
      const { id } = socket;
      const left = next(watcher, "left", { accept: (who) => who === id });
      await upgrading;
      socket.disconnect();
      await left;
    }
  });

  test("a client that remembers starts with WebSocket", async (bench) => {
    await bench.connect({ mode: UPGRADED });
    const again = bench.open({ mode: UPGRADED, rememberUpgrade: true });
    await next(again, "connect");
    assert.equal(again.io.engine.transport.name, "websocket");
  });

  test("a client that does not want the upgrade is left in peace", async (bench) => {
    const socket = bench.open({ mode: UPGRADED, upgrade: false });
    await next(socket, "connect");
    await fence(socket);
    assert.equal(socket.io.engine.transport.name, "polling");
  });
});

/**
 * Both sides talk without a break from the first moment until the upgrade is done and
 * each has said at least EACH_WAY things. The pause only spreads them over that time.
 */
async function trafficThroughUpgrade(bench) {
  const socket = bench.open({ mode: UPGRADED });
  const [ticks, echoes] = [gather(socket, "tick"), gather(socket, "echo")];
  let upgraded = false;
  socket.io.engine.once("upgrade", () => (upgraded = true));
  await next(socket, "connect");
  socket.emit("stream", 1);
  let sent = 0;
  const unfinished = () => !upgraded || sent < EACH_WAY || ticks.length < EACH_WAY;
  for (; socket.connected && unfinished(); await pause(1)) socket.emit("echo", sent++);
  const streamed = await ask(socket, "stream-stop");
  assert.deepEqual(ticks, range(streamed));
  assert.deepEqual(echoes, range(sent));
  assert.equal(socket.io.engine.transport.name, "websocket");
  socket.disconnect();
}

async function volleyAt(bench, phase) {
  const socket = bench.open({ mode: UPGRADED });
  const [ticks, echoes] = [gather(socket, "tick"), gather(socket, "echo")];
  const fired = new Promise((resolve) => {
    socket.io.engine.once(phase, () => {
      socket.emit("burst", EACH_WAY);
      for (const i of range(EACH_WAY)) socket.emit("echo", i);
      resolve();
    });
  });
  await fired;
  await fence(socket);
  assert.deepEqual(ticks, range(EACH_WAY));
  assert.deepEqual(echoes, range(EACH_WAY));
  socket.disconnect();
}
