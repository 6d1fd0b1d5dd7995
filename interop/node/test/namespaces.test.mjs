import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { ask, fence, gather, ready, record } from "../support/client.mjs";
import { suite } from "../support/suite.mjs";
import { next, range } from "../support/wait.mjs";

suite("namespaces", ({ eachMode }) => {
  eachMode("several share one connection without mixing", async (bench) => {
    const sockets = await bench.multiplex("/", "/a", "/b", "/slow");
    assert.equal(new Set(sockets.map((socket) => socket.io.engine.id)).size, 1);
    const echoes = sockets.map((socket) => gather(socket, "echo"));
    for (const i of range(100)) for (const socket of sockets) socket.emit("echo", `${socket.nsp} ${i}`);
    await fence(...sockets);
    sockets.forEach((socket, n) => assert.deepEqual(echoes[n], range(100).map((i) => `${socket.nsp} ${i}`)));
  });

  eachMode("acks of several namespaces do not mix", async (bench) => {
    const sockets = await bench.multiplex("/", "/a", "/b");
    const all = sockets.flatMap((socket) => range(100).map((i) => [socket, `${socket.nsp} ${i}`]));
    const answers = await Promise.all(all.map(([socket, value]) => ask(socket, "echo-ack", value)));
    assert.deepEqual(answers, all.map(([, value]) => value));
  });

  eachMode("leaving one keeps the others", async (bench) => {
    const [root, a, b] = await bench.multiplex("/", "/a", "/b");
    a.disconnect();
    assert.equal(await ask(root, "echo-ack", "still"), "still");
    assert.equal(await ask(b, "echo-ack", "here"), "here");
    assert.equal(a.connected, false);
  });

  eachMode("leaving the main one keeps the others", async (bench) => {
    const [root, a] = await bench.multiplex("/", "/a");
    root.disconnect();
    assert.equal(await ask(a, "echo-ack", "still"), "still");
  });

  eachMode("being put out of one keeps the others", async (bench) => {
    const [root, a] = await bench.multiplex("/", "/a");
    const gone = next(a, "disconnect");
    a.emit("kick", false);
    assert.equal((await gone)[0], "io server disconnect");
    assert.equal(await ask(root, "echo-ack", "still"), "still");
  });

  eachMode("one that was left can be joined again under a new id", async (bench) => {
    const [root, a] = await bench.multiplex("/", "/a");
    const { id } = a;
    await ask(a, "join", "den");
    a.disconnect();
    // Lets the goodbye arrive; together with the new CONNECT it is a test among the raw ones.
    await fence(root);
    await ready(a.connect(), bench.mode, { settle: false });
    assert.notEqual(a.id, id);
    assert.deepEqual(await ask(a, "rooms"), [a.id]);
  });

  eachMode("a client needs no main namespace", async (bench) => {
    const a = await bench.connect({ nsp: "/a" });
    assert.equal(await ask(a, "echo-ack", 1), 1);
  });

  eachMode("rooms and broadcasts stay in their namespace", async (bench) => {
    const [root, a, b] = await bench.multiplex("/", "/a", "/b");
    // Of this test alone: clients of the one before may not have left theirs yet.
    const den = `den ${randomUUID()}`;
    for (const socket of [root, a, b]) await ask(socket, "join", den);
    const logs = [root, a, b].map(record);
    await ask(a, "say", den, "heard", 1);
    await ask(a, "say-all", "heard", 2);
    await fence(root, a, b);
    assert.deepEqual(logs, [[], [["heard", 1], ["heard", 2]], []]);
    assert.deepEqual(await ask(b, "members", den), [b.id]);
  });

  eachMode("an unknown one is refused, and the connection lives", async (bench) => {
    const [root] = await bench.multiplex("/");
    for (const name of ["/nowhere", "/A", "/a/b", "/a ", "/ü", "/constructor"]) {
      const nowhere = root.io.socket(name);
      const [error] = await next(nowhere, "connect_error");
      assert.equal(error.message, "Invalid namespace", name);
      assert.equal(nowhere.active, false);
    }
    assert.equal(await ask(root, "echo-ack", "alive"), "alive");
    assert.equal(root.io.engine.readyState, "open");
  });

  eachMode("an unknown one alone is refused too", async (bench) => {
    const [error] = await next(bench.open({ nsp: "/nowhere" }), "connect_error");
    assert.equal(error.message, "Invalid namespace");
  });

  eachMode("a refusal in one leaves the others alone", async (bench) => {
    const [root] = await bench.multiplex("/");
    const [error] = await next(root.io.socket("/admin"), "connect_error");
    assert.equal(error.message, "not allowed");
    assert.equal(await ask(root, "echo-ack", 1), 1);
  });

  eachMode("a slow one holds up no other", async (bench) => {
    const manager = bench.manager();
    const until = randomUUID();
    const slow = manager.socket("/slow", { auth: { until } });
    const fast = manager.socket("/a");
    const slowIsReady = ready(slow, bench.mode);
    // Awaited below, also when it fails before.
    slowIsReady.catch(() => {});
    await ready(fast, bench.mode, { settle: false });
    assert.equal(await ask(fast, "echo-ack", "early"), "early");
    assert.equal(slow.connected, false);
    await ask(fast, "release", until);
    await slowIsReady;
  });

  eachMode("leaving /slow before it accepted leaves nothing behind", async (bench) => {
    const [watcher] = await bench.multiplex("/slow");
    const root = await bench.connect();
    const slow = root.io.socket("/slow");
    await fence(root);
    slow.disconnect();
    // A namespace joined after the slow one's wait proves that the wait is over.
    await ready(root.io.socket("/a"), bench.mode, { settle: false });
    const other = await bench.connect({ nsp: "/slow" });
    await ask(watcher, "join", "all");
    const heard = [next(watcher, "count-me"), next(other, "count-me")];
    await ask(watcher, "say-all", "count-me");
    await Promise.all(heard);
    assert.equal(slow.connected, false);
    assert.equal(await ask(root, "echo-ack", 1), 1);
  });
});
