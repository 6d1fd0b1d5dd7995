import assert from "node:assert/strict";
import { ask, fence, gather, mixed } from "../support/client.mjs";
import { suite } from "../support/suite.mjs";
import { grown, range } from "../support/wait.mjs";

const PATIENCE = 30_000;

suite("order", ({ test, eachMode }) => {
  test("200 clients in all modes each hear 200 messages once and in order", async (bench) => {
    const sender = await bench.connect();
    const crowd = await bench.connectAll(200, (i) => ({ mode: mixed(i) }));
    await Promise.all(crowd.map((socket) => ask(socket, "join", "crowd")));
    const heard = crowd.map((socket) => gather(socket, "news"));
    for (const i of range(200)) sender.emit("say", "crowd", "news", i);
    await heardBy(crowd, heard, 200);
  });

  eachMode("1000 broadcasts without a pause arrive in order at 50 clients in all modes", async (bench) => {
    const sender = await bench.connect();
    const crowd = await bench.connectAll(50, (i) => ({ mode: mixed(i) }));
    const heard = crowd.map((socket) => gather(socket, "news"));
    for (const i of range(1000)) sender.emit("say-all", "news", i);
    await heardBy(crowd, heard, 1000);
  });

  eachMode("three senders at once: each keeps its own order", async (bench) => {
    const senders = await bench.connectAll(3, (i) => ({ mode: i === 0 ? bench.mode : mixed(i) }));
    const crowd = await bench.connectAll(12, (i) => ({ mode: mixed(i) }));
    const heard = crowd.map((socket) => gather(socket, "news"));
    for (const i of range(200)) senders.forEach((sender, who) => sender.emit("say-all", "news", [who, i]));
    await Promise.all(crowd.map((socket, n) => grown(heard[n], 600, socket, "news", PATIENCE)));
    await fence(...crowd);
    for (const news of heard) {
      const from = (who) => news.filter(([sender]) => sender === who).map(([, i]) => i);
      for (const who of range(3)) assert.deepEqual(from(who), range(200));
      assert.equal(news.length, 600);
    }
  });

  eachMode("answers, echoes and broadcasts of one sender keep their common order", async (bench) => {
    const socket = await bench.connect();
    const log = [];
    for (const event of ["echo", "news"]) socket.on(event, (i) => log.push(i));
    for (let i = 0; i < 300; i += 3) {
      socket.emit("echo", i);
      socket.emit("say-all", "news", i + 1);
      socket.emit("echo-ack", i + 2, (value) => log.push(value));
    }
    await fence(socket);
    assert.deepEqual(log, range(300));
  });

  eachMode("big and small messages do not overtake each other", async (bench) => {
    const socket = await bench.connect();
    const echoes = gather(socket, "echo");
    for (const i of range(60)) socket.emit("echo", i, "x".repeat(i % 5 === 0 ? 50_000 : i));
    await fence(socket);
    assert.deepEqual(echoes, range(60));
  });

  eachMode("joining before a broadcast is being there for it", async (bench) => {
    const [joiner, sender] = await bench.connectAll(2);
    const heard = gather(joiner, "news");
    for (const i of range(50)) {
      await ask(joiner, "join", "door");
      await ask(sender, "say", "door", "news", i);
      await ask(joiner, "leave", "door");
      await ask(sender, "say", "door", "news", "unheard");
    }
    await fence(joiner);
    assert.deepEqual(heard, range(50));
  });
});

async function heardBy(crowd, heard, n) {
  await Promise.all(crowd.map((socket, i) => grown(heard[i], n, socket, "news", PATIENCE)));
  // Behind the fence there would be room for a message too many.
  await fence(...crowd);
  for (const news of heard) assert.deepEqual(news, range(n));
}
