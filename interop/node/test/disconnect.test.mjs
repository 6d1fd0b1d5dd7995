import assert from "node:assert/strict";
import { ask, fence, modes, pollsTakenIn, record } from "../support/client.mjs";
import { suite } from "../support/suite.mjs";
import { next, range } from "../support/wait.mjs";

suite("disconnect", ({ test, eachMode }) => {
  eachMode("the client leaves: both sides know why", async (bench) => {
    const { socket, left } = await watched(bench);
    const gone = next(socket, "disconnect");
    socket.disconnect();
    assert.equal((await gone)[0], "io client disconnect");
    assert.equal(await left(), "client namespace disconnect");
  });

  eachMode("the server puts a socket out of its namespace", async (bench) => {
    const { socket, left } = await watched(bench);
    const gone = next(socket, "disconnect");
    socket.emit("kick", false);
    assert.equal((await gone)[0], "io server disconnect");
    assert.equal(await left(), "server namespace disconnect");
    assert.equal(socket.active, false);
  });

  test("who sends a message that is too large is told so, and comes back", async (bench) => {
    const server = await bench.start({ MAX_PAYLOAD: "10000" });
    assert.ok(server);
    const socket = await bench.connect({ mode: modes[1], reconnection: true, reconnectionDelay: 20 });
    const gone = next(socket, "disconnect");
    socket.emit("echo", "x".repeat(20_000));
    const [reason, { context }] = await gone;
    assert.equal(reason, "transport close");
    assert.deepEqual([context.code, context.reason], [1009, "message too big"]);
    await next(socket, "connect");
    assert.equal(await ask(socket, "echo-ack", "smaller"), "smaller");
  });

  eachMode("the server ends the whole connection", async (bench) => {
    const sockets = await bench.multiplex("/", "/a", "/b");
    const gone = sockets.map((socket) => next(socket, "disconnect"));
    sockets[1].emit("kick", true);
    const reasons = (await Promise.all(gone)).map(([reason]) => reason);
    assert.deepEqual(reasons, Array(3).fill("io server disconnect"));
    assert.ok(sockets.every((socket) => !socket.active));
  });

  eachMode("the engine of the client closes: both sides know why", async (bench) => {
    const { socket, left } = await watched(bench);
    const gone = next(socket, "disconnect");
    socket.io.engine.close();
    assert.equal((await gone)[0], "forced close");
    assert.equal(await left(), "transport close");
  });

  eachMode("what was emitted before leaving still arrives", async (bench) => {
    const all = await Promise.all(range(5).map(() => watched(bench)));
    await Promise.all(all.map(async ({ socket, watcher, left }) => {
      const { id } = socket;
      const words = [];
      watcher.on("last words", (who, i) => who === id && words.push(i));
      for (const i of range(50)) socket.emit("say", "watch", "last words", id, i);
      socket.disconnect();
      await left();
      assert.deepEqual(words, range(50));
    }));
  });

  eachMode("what was sent before putting out still arrives", async (bench) => {
    const socket = await bench.connect();
    const log = record(socket);
    const gone = next(socket, "disconnect");
    socket.emit("burst", 50);
    socket.emit("kick", true);
    await gone;
    assert.equal(log.length, 50);
  });

  eachMode("who is put out hears nothing more and may come back", async (bench) => {
    const socket = await bench.connect();
    const other = await bench.connect();
    const gone = next(socket, "disconnect");
    socket.emit("kick", false);
    await gone;
    const log = record(socket);
    await ask(other, "say-all", "anyone?");
    const back = next(socket, "welcome");
    socket.connect();
    await back;
    assert.deepEqual(log.map(([event]) => event), ["welcome"]);
  });

  eachMode("SIGTERM tells every socket and ends the server", async (bench) => {
    const server = await bench.start();
    const sockets = [...(await bench.multiplex("/", "/a")), await bench.connect({ nsp: "/b" })];
    await fence(...sockets);
    // A poll that comes when the server is gone hears nothing of it.
    await pollsTakenIn(server, ...sockets);
    const gone = sockets.map((socket) => next(socket, "disconnect"));
    server.terminate();
    const reasons = (await Promise.all(gone)).map(([reason]) => reason);
    assert.deepEqual(reasons, Array(3).fill("transport close"));
    assert.ok(sockets.every((socket) => socket.active), "the clients would come back if they were allowed to");
    assert.equal(await server.exitCode(), 0);
  });

  eachMode("a server that dies is noticed", async (bench) => {
    const server = await bench.start();
    const socket = await bench.connect();
    const gone = next(socket, "disconnect");
    await server.crash();
    assert.match((await gone)[0], /^transport (close|error)$/);
  });

  test("SIGTERM ends a server that has no clients", async (bench) => {
    const server = await bench.start();
    server.terminate();
    assert.equal(await server.exitCode(), 0);
  });
});

/** A socket, somebody who watches it leave, and the reason with which it will. */
async function watched(bench) {
  const watcher = await bench.connect();
  await ask(watcher, "join", "watch");
  const socket = await bench.connect();
  const { id } = socket;
  const farewell = next(watcher, "left", { accept: (who) => who === id });
  farewell.catch(() => {});
  return { socket, watcher, left: async () => (await farewell)[1] };
}
