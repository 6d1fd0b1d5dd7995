// Clients of Socket.IO 2, which speak Engine.IO 3, where the server lets them in.
import assert from "node:assert/strict";
import vm from "node:vm";
import WebSocket from "ws";
import { ask, fence, record } from "../support/client.mjs";
import { askOld, connectOld, OldPolling, openOld, websocket } from "../support/old-client.mjs";
import { reservePort } from "../support/server.mjs";
import { suite } from "../support/suite.mjs";
import { buffered, bytes, values } from "../support/values.mjs";
import { next, range } from "../support/wait.mjs";

const ENV = { ALLOW_EIO3: "1", JSONP: "1" };
const EAGER = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 50, randomizationFactor: 0 };
const EMOJI = "😀é€𝄞";

suite(
  "eio3",
  ({ test, eachMode }) => {
    eachMode("a client is in the main namespace without asking", async (bench) => {
      const socket = await connectOld(bench);
      assert.match(socket.welcome.id, /^[\w-]{20}$/);
      assert.deepEqual(socket.welcome.auth, {});
    });

    eachMode("values come back unchanged", async (bench) => {
      const socket = await connectOld(bench);
      const echoes = [];
      socket.on("echo", (value) => echoes.push(value));
      for (const [, value] of values) socket.emit("echo", value);
      await askOld(socket, "echo-ack", "fence");
      assert.deepEqual(echoes, values.map(([, value]) => value));
    });

    eachMode("long texts beyond the basic plane keep their length", async (bench) => {
      const socket = await connectOld(bench);
      const text = EMOJI.repeat(10_000);
      const all = range(5).map((i) => askOld(socket, "echo-ack", text.slice(0, i) + text));
      assert.deepEqual(await Promise.all(all), range(5).map((i) => text.slice(0, i) + text));
    });

    for (const forceBase64 of [false, true]) {
      eachMode(`text and bytes mix, ${forceBase64 ? "in base64" : "as bytes"}`, async (bench) => {
        const socket = await connectOld(bench, { forceBase64 });
        const echoes = [];
        socket.on("echo", (...args) => echoes.push(buffered(args)));
        const sent = [[EMOJI], [bytes(3), EMOJI, { deep: [bytes(0), bytes(70_000)] }], ["text"], [bytes(1)]];
        for (const args of sent) socket.emit("echo", ...args);
        await askOld(socket, "echo-ack", "fence");
        assert.deepEqual(echoes, sent);
        assert.deepEqual(buffered(await askOld(socket, "echo-ack", bytes(200))), bytes(200));
      });
    }

    eachMode("questions of the server are answered, with bytes too", async (bench) => {
      const socket = await connectOld(bench);
      socket.on("question", (value, answer) => answer(value, "and more"));
      for (const value of [EMOJI, bytes(9)]) {
        const answered = next(socket, "answer");
        socket.emit("ask", value);
        assert.deepEqual(buffered(await answered), [value, "and more"]);
      }
    });

    eachMode("a namespace is told its query", async (bench) => {
      const query = { token: "x y,é&=?", n: "1" };
      const socket = await connectOld(bench, { nsp: "/a", query });
      assert.deepEqual({ ...socket.welcome.auth }, query);
      assert.equal(await askOld(socket, "echo-ack", "here"), "here");
    });

    eachMode("namespaces share a connection and keep apart", async (bench) => {
      const main = await connectOld(bench);
      const other = main.io.socket("/b");
      const [welcome] = await next(other, "welcome");
      assert.notEqual(welcome.id, main.welcome.id);
      const heard = [];
      main.on("x", () => heard.push("main"));
      other.on("x", () => heard.push("other"));
      await askOld(other, "say-all", "x");
      await askOld(main, "echo-ack", "fence");
      assert.deepEqual(heard, ["other"]);
      other.close();
      assert.equal(await askOld(main, "echo-ack", "still here"), "still here");
    });

    eachMode("a namespace that refuses says why", async (bench) => {
      const refused = openOld(bench, { nsp: "/admin", query: { token: "wrong" } });
      const [why] = await next(refused, "error");
      assert.deepEqual(why, { code: 401, hint: "bad token" });
      assert.equal(refused.connected, false);
      const socket = await connectOld(bench, { nsp: "/admin", query: { token: "letmein" } });
      assert.equal(await askOld(socket, "echo-ack", "in"), "in");
    });

    eachMode("a namespace that is not there is an error in words", async (bench) => {
      const [why] = await next(openOld(bench, { nsp: "/nowhere" }), "error");
      assert.equal(why, "Invalid namespace");
    });

    eachMode("old and new clients hear the same in a room", async (bench) => {
      const old = [await connectOld(bench), await connectOld(bench, { forceBase64: true })];
      const young = await bench.connectAll(2, (i) => ({ forceBase64: i === 1 }));
      for (const socket of old) await askOld(socket, "join", "den");
      for (const socket of young) await ask(socket, "join", "den");
      const heard = [...old, ...young].map((socket) => {
        const events = [];
        socket.on("news", (...args) => events.push(buffered(args)));
        return events;
      });
      const news = [EMOJI, bytes(1_000), { deep: bytes(5) }];
      await askOld(old[0], "say", "den", "news", ...news);
      await ask(young[0], "say", "den", "news", ...news);
      await ask(young[0], "say", "den", "news", "plain");
      await fence(...young);
      for (const socket of old) await askOld(socket, "echo-ack", "fence");
      for (const events of heard) assert.deepEqual(events, [news, news, ["plain"]]);
    });

    eachMode("the id of a session is nowhere to be seen", async (bench) => {
      const watcher = await bench.connect({ mode: websocket });
      const seen = record(watcher);
      await ask(watcher, "join", "watch");
      const socket = await connectOld(bench);
      const secret = socket.io.engine.id;
      assert.equal(await askOld(socket, "join", "den"), true);
      seen.push(socket.welcome, await askOld(socket, "rooms"), await askOld(socket, "members", "den"));
      await askOld(socket, "say-others", "watch", "hello");
      const left = next(watcher, "left", { accept: (id) => id === socket.welcome.id });
      socket.close();
      seen.push(await left);
      assert.equal(JSON.stringify(seen).includes(secret), false);
    });

    eachMode("a client that leaves is gone from its rooms", async (bench) => {
      const watcher = await bench.connect({ mode: websocket });
      await ask(watcher, "join", "watch");
      const socket = await connectOld(bench);
      const left = next(watcher, "left", { accept: (id) => id === socket.welcome.id });
      socket.close();
      assert.deepEqual(await left, [socket.welcome.id, "client namespace disconnect"]);
    });

    for (const close of [false, true]) {
      eachMode(`the server disconnects ${close ? "the client" : "the socket"}`, async (bench) => {
        const socket = await connectOld(bench);
        const gone = next(socket, "disconnect");
        socket.emit("kick", close);
        assert.deepEqual(await gone, ["io server disconnect"]);
      });
    }

    eachMode("a client returns to a server that had crashed", async (bench) => {
      const port = await reservePort();
      const first = await bench.start({ ...ENV, PORT: port });
      const socket = await connectOld(bench, EAGER);
      const gone = next(socket, "disconnect");
      await first.crash();
      await gone;
      const back = next(socket, "welcome");
      await bench.start({ ...ENV, PORT: port });
      await back;
      assert.equal(await askOld(socket, "echo-ack", EMOJI), EMOJI);
    });

    eachMode("a client is refused where it was not allowed", async (bench) => {
      await bench.start({});
      const socket = openOld(bench);
      await next(socket, "connect_error");
      assert.equal(socket.connected, false);
    });

    test("a revision that was not allowed is refused by its code", async (bench) => {
      const server = await bench.start({});
      for (const revision of ["EIO=3&", "", "EIO=5&"]) {
        const response = await fetch(`${server.url}/socket.io/?${revision}transport=polling`);
        assert.equal(response.status, 400);
        assert.deepEqual(await response.json(), { code: 5, message: "Unsupported protocol version" });
      }
      const socket = new WebSocket(`${server.url}/socket.io/?EIO=3&transport=websocket`);
      await next(socket, "error");
    });

    test("bodies are written to the byte", async (bench) => {
      const session = await OldPolling.open(bench.server);
      const open = session.first.slice(0, session.first.indexOf("}") + 1);
      assert.match(open, /^\d+:0\{/);
      assert.equal(Number(open.split(":")[0]), open.length - open.indexOf(":") - 1);
      assert.equal(session.response.headers.get("content-type"), "text/plain; charset=UTF-8");
      await session.until("2:40");
      await session.until("welcome");
      assert.equal((await session.post(`21:421["echo-ack","😀é"]`)).status, 200);
      await session.until('10:431["😀é"]');
      const frame = (kind, body) => Buffer.from([kind, ...[...String(body.length)].map(Number), 255, ...body]);
      const event = Buffer.from('451-2["echo-ack",{"_placeholder":true,"num":0},"é"]');
      const posted = Buffer.concat([frame(0, event), frame(1, Buffer.from([4, 1, 2]))]);
      assert.equal((await session.post(posted, "application/octet-stream")).status, 200);
      const response = await session.get();
      assert.equal(response.headers.get("content-type"), "application/octet-stream");
      const answer = Buffer.from('461-2[{"_placeholder":true,"num":0},"é"]');
      const expected = Buffer.concat([frame(0, answer), frame(1, Buffer.from([4, 1, 2]))]);
      assert.deepEqual(Buffer.from(await response.arrayBuffer()), expected);
    });

    for (const [what, body] of [
      ["is empty", ""],
      ["has no length", "42"],
      ["is shorter than it says", '99:42["echo"]'],
      ["is cut in a character", '11:42["echo😀"]'],
      ["says a length of 310 digits", `${"9".repeat(310)}:4`],
      ["has bytes behind its last packet", "1:6x"],
      ["is binary and shorter than it says", Buffer.from([1, 9, 255, 4])],
      ["is binary and has no end of its length", Buffer.alloc(400)],
    ]) {
      test(`a body that ${what} ends the session`, async (bench) => {
        const session = await OldPolling.open(bench.server);
        const type = typeof body === "string" ? undefined : "application/octet-stream";
        await session.post(body, type);
        for (let left = 3; (await session.get()).ok; left--) assert.ok(left > 0, "the session lives on");
      });
    }

    test("a body of bytes is still not for new clients", async (bench) => {
      const raw = await bench.rawPolling();
      const response = await raw.post(Buffer.from([0]), { "content-type": "application/octet-stream" });
      assert.equal(response.status, 400);
    });

    for (const revision of ["3", "4"]) {
      test(`scripts carry a session of revision ${revision}`, async (bench) => {
        const session = await OldPolling.open(bench.server, { EIO: revision, j: "7" });
        assert.match(session.first, /^___eio\[7\]\("/);
        const wrap = (packet) => (revision === "3" ? `${packet.length}:${packet}` : packet);
        // Newlines go through a form as the client writes them.
        const escape = (body) => body.replace(/\\n/g, "\\\n").replace(/\n/g, "\\n");
        const form = (packet) => `d=${encodeURIComponent(escape(wrap(packet)))}`;
        const type = "application/x-www-form-urlencoded";
        if (revision === "4") await session.post(form("40"), type);
        const odd = "</script><!--\u2028\u2029\");alert(1);//" + EMOJI;
        const event = `421["echo-ack",${JSON.stringify(odd)},"a\\nb"]`;
        assert.equal((await session.post(form(event), type)).status, 200);
        let heard = "";
        while (!heard.includes("431[")) {
          const response = await session.get();
          const script = await response.text();
          assert.doesNotMatch(script, /[\n\u2028\u2029]/);
          vm.runInNewContext(script, { ___eio: { 7: (text) => (heard += text) } });
        }
        const answer = heard.slice(heard.indexOf("431[") + 3);
        assert.deepEqual(JSON.parse(answer), [odd, "a\nb"]);
      });
    }
  },
  { env: ENV },
);

suite(
  "eio3 heartbeat",
  ({ test, eachMode }) => {
    eachMode("the pings of a client keep it alive", async (bench) => {
      const socket = await connectOld(bench);
      for (const _ of range(5)) await next(socket, "pong");
      assert.equal(await askOld(socket, "echo-ack", "alive"), "alive");
    });

    test("a silent client is dropped for that reason", async (bench) => {
      const watcher = await bench.connect({ mode: websocket });
      await ask(watcher, "join", "watch");
      const session = await OldPolling.open(bench.server);
      const [, id] = (await session.until("welcome")).match(/"id":"([\w-]{20})"/);
      assert.deepEqual(await next(watcher, "left", { accept: (who) => who === id }), [id, "ping timeout"]);
      // The last poll may still fetch the goodbye.
      for (let left = 3; (await session.get()).ok; left--) assert.ok(left > 0, "the session lives on");
    });
  },
  { env: { ...ENV, PING_INTERVAL: "200", PING_TIMEOUT: "5000" } },
);
