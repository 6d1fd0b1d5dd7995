import assert from "node:assert/strict";
import { ask, fence } from "../support/client.mjs";
import { suite } from "../support/suite.mjs";
import { next, range } from "../support/wait.mjs";

const INTERVAL = 200;
/** Longer than a busy machine stalls: the watcher answers in time, and only who is silent is dropped. */
const TIMEOUT = 4_000;
const BEATS = 5;
const BEAT = { PING_INTERVAL: String(INTERVAL), PING_TIMEOUT: String(TIMEOUT) };

suite(
  "heartbeat of those who live",
  ({ eachMode }) => {
    eachMode("an idle client lives through many beats", async (bench) => {
      const socket = await bench.connect();
      const { id } = socket;
      // The server pings again only after a pong, so each beat proves the one before.
      for (const _ of range(BEATS)) await next(socket.io, "ping");
      assert.equal(socket.connected, true);
      assert.equal(await ask(socket, "echo-ack", "alive"), "alive");
      assert.equal(socket.id, id);
    });

    eachMode("a busy client lives through many beats", async (bench) => {
      const socket = await bench.connect();
      let beats = 0;
      socket.io.on("ping", () => beats++);
      while (beats < BEATS) await ask(socket, "echo-ack", "x".repeat(10_000));
      assert.equal(socket.connected, true);
    });
  },
  // With the timeout of 20 s: no stall of a busy machine is taken for a silent peer.
  { env: { PING_INTERVAL: String(INTERVAL) }, concurrency: 6 },
);

suite(
  "heartbeat",
  ({ eachMode }) => {
    eachMode("the handshake tells the interval and the timeout", async (bench) => {
      const { handshake } = await bench.raw();
      assert.equal(handshake.pingInterval, INTERVAL);
      assert.equal(handshake.pingTimeout, TIMEOUT);
    });

    eachMode("a client that never answers is dropped for that reason", async (bench) => {
      // The official client has a clock of its own, and would leave first on a machine that stalls.
      const watcher = await bench.raw();
      await watcher.send("40");
      await watcher.next((packet) => packet.startsWith('42["welcome"'));
      await watcher.send('421["join","watch"]');
      await watcher.next((packet) => packet.startsWith("431["));
      const silent = await bench.raw({ silent: true });
      await silent.send("40");
      const joined = await silent.next((packet) => packet.startsWith("40"));
      const { sid } = JSON.parse(joined.slice(2));
      // A raw connection answers pings as it reads.
      const left = watcher.next((packet) => packet === `42["left","${sid}","ping timeout"]`);
      await Promise.all([left, silent.drain()]);
    });

    eachMode("talking does not replace answering", async (bench) => {
      const silent = await bench.raw({ silent: true });
      await silent.send("40");
      let ended = false;
      const end = silent.drain().then(() => (ended = true));
      // Chatter that goes on for longer than the server may put up with it.
      while (!ended) await Promise.race([end, chat(silent)]);
    });

    eachMode("a server that falls silent is noticed by the client", async (bench) => {
      const server = await bench.start(BEAT);
      const socket = await bench.connect();
      await fence(socket);
      const gone = next(socket, "disconnect");
      server.freeze();
      assert.equal((await gone)[0], "ping timeout");
      await server.crash();
    });
  },
  { env: BEAT, concurrency: 9 },
);

/** One event at an easy pace; that the session ends meanwhile is what the test is for. */
async function chat(raw) {
  await raw.send('42["count","chat"]').catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 20));
}
