import assert from "node:assert/strict";
import { ask, fence, gather, ready } from "../support/client.mjs";
import { reservePort } from "../support/server.mjs";
import { suite } from "../support/suite.mjs";
import { next, range } from "../support/wait.mjs";

const EAGER = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 50, randomizationFactor: 0 };

suite("reconnect", ({ eachMode }) => {
  eachMode("a client returns to a restarted server, and its handlers still work", async (bench) => {
    const { socket, restart } = await onRestartingServer(bench);
    const { id } = socket;
    const echoes = gather(socket, "echo");
    await restart((server) => server.stop());
    assert.notEqual(socket.id, id);
    socket.emit("echo", "again");
    await fence(socket);
    assert.deepEqual(echoes, ["again"]);
  });

  eachMode("a client returns to a server that had crashed", async (bench) => {
    const { socket, restart } = await onRestartingServer(bench);
    await restart((server) => server.crash());
    assert.equal(await ask(socket, "echo-ack", "back"), "back");
  });

  eachMode("what was emitted meanwhile arrives once and in order", async (bench) => {
    const { socket, restart } = await onRestartingServer(bench);
    const echoes = gather(socket, "echo");
    let answers;
    await restart(async (server) => {
      // The process may have ended before the client has noticed; what is emitted then is lost.
      await downAll([socket], () => server.stop());
      for (const i of range(100)) socket.emit("echo", i);
      answers = range(20).map((i) => ask(socket, "echo-ack", i));
    });
    assert.deepEqual(await Promise.all(answers), range(20));
    assert.deepEqual(echoes, range(100));
  });

  eachMode("all namespaces return, and rooms begin afresh", async (bench) => {
    const port = await reservePort();
    const first = await bench.start({ PORT: port });
    const manager = bench.manager(EAGER);
    const sockets = ["/", "/a", "/admin"].map((nsp) => manager.socket(nsp, { auth: { token: "letmein" } }));
    await readyAll(sockets, bench.mode);
    for (const socket of sockets) await ask(socket, "join", "den");
    await downAll(sockets, () => first.stop());
    const back = sockets.map((socket) => next(socket, "welcome"));
    await bench.start({ PORT: port });
    await Promise.all(back);
    for (const socket of sockets) assert.deepEqual(await ask(socket, "rooms"), [socket.id]);
  });

  eachMode("thirty clients return", async (bench) => {
    const port = await reservePort();
    const first = await bench.start({ PORT: port });
    const crowd = await bench.connectAll(30, () => EAGER);
    await downAll(crowd, () => first.stop());
    const back = crowd.map((socket) => next(socket, "welcome"));
    await bench.start({ PORT: port });
    await Promise.all(back);
    assert.deepEqual(await Promise.all(crowd.map((socket, i) => ask(socket, "echo-ack", i))), range(30));
  });

  eachMode("a lost transport alone is enough to return", async (bench) => {
    const socket = await bench.connect(EAGER);
    const { id } = socket;
    const gone = next(socket, "disconnect");
    const back = next(socket, "welcome");
    socket.io.engine.close();
    assert.equal((await gone)[0], "forced close");
    await back;
    assert.notEqual(socket.id, id);
    assert.equal(await ask(socket, "echo-ack", 1), 1);
  });

  eachMode("who was put out stays out", async (bench) => {
    const socket = await bench.connect(EAGER);
    let attempts = 0;
    socket.io.on("reconnect_attempt", () => attempts++);
    const gone = next(socket, "disconnect");
    socket.emit("kick", true);
    await gone;
    // Another client's slow way in is longer than the delay before an attempt.
    await bench.connect({ nsp: "/slow" });
    assert.equal(socket.active, false);
    assert.equal(attempts, 0);
  });
}, { concurrency: 4 });

/** A client on a server of its own; restart(end) ends it and waits for the client on the next. */
async function onRestartingServer(bench) {
  const port = await reservePort();
  const first = await bench.start({ PORT: port });
  const socket = await bench.connect(EAGER);
  const restart = async (end) => {
    await downAll([socket], () => end(first));
    const back = next(socket, "welcome");
    await bench.start({ PORT: port });
    await back;
  };
  return { socket, restart };
}

async function downAll(sockets, end) {
  const down = sockets.map((socket) => next(socket, "disconnect"));
  await end();
  await Promise.all(down);
}

function readyAll([first, ...others], mode) {
  return Promise.all([ready(first, mode), ...others.map((socket) => ready(socket, mode, { settle: false }))]);
}
