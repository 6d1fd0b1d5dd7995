import assert from "node:assert/strict";
import { engineUrl, RawWebSocket, upgradeRaw } from "../support/raw.mjs";
import { modes } from "../support/client.mjs";
import { suite } from "../support/suite.mjs";
import { range } from "../support/wait.mjs";

const MAX_PAYLOAD = 10_000;

suite(
  "engine",
  ({ test }) => {
    test("the handshake by polling has exactly its five keys", async ({ server }) => {
      const response = await fetch(engineUrl(server, { transport: "polling" }));
      assert.equal(response.status, 200);
      assert.equal(response.headers.get("content-type"), "text/plain; charset=UTF-8");
      assert.equal(response.headers.get("cache-control"), "no-store");
      const body = await response.text();
      assert.equal(body[0], "0");
      assertHandshake(JSON.parse(body.slice(1)), ["websocket"]);
    });

    test("the handshake by WebSocket offers no upgrade", async (bench) => {
      const { handshake } = await bench.rawWebSocket();
      assertHandshake(handshake, []);
    });

    for (const [what, query, expected] of [
      ["an unknown transport", { transport: "pigeon" }, { code: 0, message: "Transport unknown" }],
      ["no transport", {}, { code: 0, message: "Transport unknown" }],
      ["a transport named like a built-in", { transport: "__proto__" }, { code: 0, message: "Transport unknown" }],
      ["an unknown session", { transport: "polling", sid: "nobody" }, { code: 1, message: "Session ID unknown" }],
      ["a session like a built-in", { transport: "polling", sid: "toString" }, { code: 1, message: "Session ID unknown" }],
      ["WebSocket without an upgrade", { transport: "websocket" }, { code: 3, message: "Bad request" }],
      ["protocol 3", { transport: "polling", EIO: "3" }, { code: 5, message: "Unsupported protocol version" }],
      ["an unknown protocol", { transport: "polling", EIO: "x" }, { code: 5, message: "Unsupported protocol version" }],
    ]) {
      test(`${what} is refused`, async ({ server }) => {
        const response = await fetch(engineUrl(server, query));
        assert.equal(response.status, 400);
        assert.equal(response.headers.get("content-type").split(";")[0], "application/json");
        assert.deepEqual(await response.json(), expected);
      });
    }

    for (const method of ["POST", "PUT", "DELETE"]) {
      test(`a handshake by ${method} is refused`, async ({ server }) => {
        const response = await fetch(engineUrl(server, { transport: "polling" }), { method });
        assert.equal(response.status, 400);
        assert.deepEqual(await response.json(), { code: 2, message: "Bad handshake method" });
      });
    }

    test("a WebSocket for an unknown session is refused", async ({ server }) => {
      await assert.rejects(RawWebSocket.open(server, { query: { sid: "nobody" } }));
    });

    test("a POST is answered by ok", async (bench) => {
      const raw = await bench.rawPolling();
      const response = await raw.post("40");
      assert.equal(response.status, 200);
      assert.equal(response.headers.get("content-type"), "text/html");
      assert.equal(await response.text(), "ok");
    });

    test("several packets come in one payload", async (bench) => {
      const raw = await joinedPolling(bench);
      await raw.send(...range(10).map((i) => `42["echo",${i}]`));
      for (const i of range(10)) assert.equal(await raw.next(), `42["echo",${i}]`);
    });

    test("two GETs at once end the session", async (bench) => {
      const raw = await joinedPolling(bench);
      const responses = await Promise.all([raw.get(), raw.get()]);
      const read = async (response) => [response.status, await response.text()];
      const answers = await Promise.all(responses.map(read));
      assert.deepEqual(answers.map(([status]) => status).toSorted(), [200, 400]);
      assert.equal(answers.find(([status]) => status === 200)[1], "1");
      await expectUnknown(raw);
    });

    test("a goodbye by POST ends the session and its waiting GET", async (bench) => {
      const raw = await joinedPolling(bench);
      const waiting = await raw.waitingGet();
      await raw.send("1");
      assert.equal(await waiting.body, "6");
      await expectUnknown(raw);
    });

    test("a POST of the old binary type ends the session", async (bench) => {
      const raw = await joinedPolling(bench);
      const response = await raw.post("x", { "content-type": "application/octet-stream" });
      assert.equal(response.status, 400);
      await expectUnknown(raw);
    });

    const breaches = { "an unknown packet": "x", "an empty packet": "\x1e", "a ping from the client": "2" };
    for (const [what, body] of Object.entries(breaches)) {
      test(`${what} ends a polling session`, async (bench) => {
        const raw = await joinedPolling(bench);
        const seen = raw.drain();
        await raw.send(body).catch(() => {});
        await seen;
      });
    }

    test("a request by another method ends nothing", async (bench) => {
      const raw = await joinedPolling(bench);
      await fetch(raw.url, { method: "PUT" });
      await raw.send('420["echo-ack",1]');
      assert.equal(await raw.next(), "430[1]");
    });

    test("a POST may be as long as the limit, and no longer", async (bench) => {
      const raw = await joinedPolling(bench);
      const fitting = event(MAX_PAYLOAD);
      assert.equal((await raw.post(fitting)).status, 200);
      assert.equal(await raw.next(), fitting);
      assert.equal((await raw.post(event(MAX_PAYLOAD + 1))).status, 413);
    });

    test("a POST in chunks counts against the limit too", async (bench) => {
      const raw = await joinedPolling(bench);
      const chunks = new Blob([event(MAX_PAYLOAD + 1)]).stream();
      // The server may hang up before it has read all of it; that is a refusal as well.
      const request = fetch(raw.url, { method: "POST", body: chunks, duplex: "half" });
      const { status } = await request.catch(() => ({ status: 413 }));
      assert.equal(status, 413);
    });

    test("a frame may be as long as the limit, and no longer", async (bench) => {
      const raw = await bench.rawWebSocket();
      await raw.send("40");
      await raw.next((packet) => packet.startsWith("42"));
      // The limit is one of the frame: the type of the packet counts.
      await raw.send(event(MAX_PAYLOAD));
      assert.equal(await raw.next(), event(MAX_PAYLOAD));
      await raw.send(event(MAX_PAYLOAD + 1));
      await raw.drain();
      assert.equal(raw.closeCode, 1009);
    });

    test("the probe is answered, and a waiting GET comes free for the upgrade", async (bench) => {
      const raw = await joinedPolling(bench);
      const upgraded = await upgradeRaw(raw);
      await upgraded.send('420["echo-ack",1]');
      assert.equal(await upgraded.next(), "430[1]");
      assert.equal((await raw.get()).status, 400);
      upgraded.close();
    });

    test("what waits at the server comes first after the upgrade", async (bench) => {
      const raw = await joinedPolling(bench);
      const waiting = raw.get();
      const upgraded = bench.keep(await RawWebSocket.open(bench.server, { query: { sid: raw.handshake.sid } }));
      await upgraded.send("2probe");
      assert.equal(await upgraded.next(), "3probe");
      assert.equal(await (await waiting).text(), "6");
      await raw.send(...range(5).map((i) => `42["echo",${i}]`));
      await upgraded.send("5");
      for (const i of range(5)) assert.equal(await upgraded.next(), `42["echo",${i}]`);
    });

    test("a probe that is none closes only itself", async (bench) => {
      const raw = await joinedPolling(bench);
      const intruder = bench.keep(await RawWebSocket.open(bench.server, { query: { sid: raw.handshake.sid } }));
      await intruder.send('42["echo",1]');
      await intruder.drain();
      await raw.send('420["echo-ack",1]');
      assert.equal(await raw.next(), "430[1]");
    });

    test("a second WebSocket for an upgraded session is closed", async (bench) => {
      const upgraded = await bench.raw({ mode: modes[2] });
      const intruder = bench.keep(await RawWebSocket.open(bench.server, { query: { sid: upgraded.handshake.sid } }));
      await intruder.send("2probe").catch(() => {});
      await intruder.drain();
      await upgraded.send("40");
      assert.match(await upgraded.next(), /^40\{/);
    });

    test("a probe without an upgrade leaves the session where it is", async (bench) => {
      const raw = await joinedPolling(bench);
      const probe = bench.keep(await RawWebSocket.open(bench.server, { query: { sid: raw.handshake.sid } }));
      await probe.send("2probe");
      assert.equal(await probe.next(), "3probe");
      probe.close();
      await raw.send('420["echo-ack",1]');
      assert.equal(await raw.next((packet) => packet !== "6"), "430[1]");
    });
  },
  { env: { MAX_PAYLOAD: String(MAX_PAYLOAD) } },
);

function assertHandshake(handshake, upgrades) {
  assert.deepEqual(Object.keys(handshake).toSorted(), ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"]);
  assert.match(handshake.sid, /^[\w-]{20}$/);
  assert.deepEqual(handshake.upgrades, upgrades);
  assert.equal(handshake.maxPayload, MAX_PAYLOAD);
  assert.equal(handshake.pingInterval, 25_000);
  assert.equal(handshake.pingTimeout, 20_000);
}

async function joinedPolling(bench) {
  const raw = await bench.rawPolling();
  await raw.send("40");
  await raw.next((packet) => packet.startsWith("42"));
  return raw;
}

async function expectUnknown(raw) {
  const response = await raw.get();
  assert.equal(response.status, 400);
  assert.equal((await response.json()).code, 1);
}

/** An echo whose packet is exactly so long. */
function event(length) {
  const [head, tail] = ['42["echo","', '"]'];
  return head + "x".repeat(length - head.length - tail.length) + tail;
}
