// Packets as msgpack: the official client with the official parser.
import assert from "node:assert/strict";
import msgpack from "socket.io-msgpack-parser";
import { ask, fence, gather, modes, ready, record } from "../support/client.mjs";
import { suite } from "../support/suite.mjs";
import { buffered, bytes, values } from "../support/values.mjs";
import { grown, next, PATIENCE, range, within } from "../support/wait.mjs";

const parser = msgpack;

const NUMBERS = [
  0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1,
  -1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1, -(2 ** 53) + 1,
  1.5, -1.5, 0.1, 1e-7, Number.MIN_VALUE, 1.7976931348623e-300,
];

const TEXTS = [
  "", "x".repeat(31), "x".repeat(32), "x".repeat(255), "x".repeat(256), "x".repeat(65_536), "schön 雪 😀",
  "\u0000\u0001\u001e\u007f\u2028\uFFFF\u{10FFFF}", 'say "hi" \\ \\u0041', "line\nbreak",
];

/** The parser itself loses these: whole numbers beyond 64 bits, and a key `__proto__`. */
const LOST = ["the edges of floats", "keys that mean something in JavaScript"];
const kept = values.filter(([what]) => !LOST.includes(what));

/** What JSON makes of a value, which is what is left of it at a server that has no JavaScript. */
const plain = (value) => JSON.parse(JSON.stringify(value));

const packet = (packet) => new msgpack.Encoder().encode(packet)[0];

suite("msgpack", ({ test, eachMode }) => {
  eachMode("every kind of value survives the way there and back", async (bench) => {
    const socket = await bench.connect({ parser });
    for (const [what, value] of kept) {
      const echoed = next(socket, "echo");
      socket.emit("echo", value);
      assert.deepEqual(await echoed, [value], what);
    }
    const all = kept.map(([, value]) => value);
    assert.deepEqual(await ask(socket, "echo-ack", all), all);
  });

  eachMode("numbers and texts survive at the borders of their forms", async (bench) => {
    const socket = await bench.connect({ parser });
    assert.deepEqual(await ask(socket, "echo-ack", NUMBERS), NUMBERS);
    assert.deepEqual(await ask(socket, "echo-ack", TEXTS), TEXTS);
    assert.equal(await ask(socket, "echo-ack", -0), 0);
    for (const length of [15, 16, 70_000]) {
      const list = range(length);
      assert.deepEqual(await ask(socket, "echo-ack", list), list);
    }
    const wide = Object.fromEntries(range(300).map((i) => [`key ${i}`, { i }]));
    assert.deepEqual(await ask(socket, "echo-ack", wide), wide);
  });

  eachMode("what JSON has not becomes what JSON makes of it", async (bench) => {
    const socket = await bench.connect({ parser });
    const date = new Date("2024-02-29T12:34:56.789Z");
    const odd = [undefined, NaN, Infinity, { gone: undefined, kept: 1 }, [undefined], date, new Date(-1)];
    const echoed = next(socket, "echo");
    socket.emit("echo", ...odd);
    // The official server keeps some of them as they are, since it is JavaScript, too.
    assert.deepEqual(plain(await echoed), plain(odd));
  });

  eachMode("bytes of every size come back in their places", async (bench) => {
    const socket = await bench.connect({ parser });
    for (const size of [0, 1, 255, 256, 65_535, 65_536, 200_000]) {
      const value = { deep: [{ bytes: bytes(size) }], tail: "x" };
      assert.deepEqual(buffered(await ask(socket, "echo-ack", value)), value, `${size} bytes`);
    }
    const many = range(500).map((i) => ({ i, bytes: bytes(i % 40) }));
    assert.deepEqual(buffered(await ask(socket, "echo-ack", many)), many);
  });

  eachMode("every kind of binary is bytes", async (bench) => {
    const socket = await bench.connect({ parser });
    const kinds = [bytes(3), Uint8Array.from([1, 2, 3]), Uint8Array.from([4, 5]).buffer];
    const echoed = next(socket, "echo");
    socket.emit("echo", ...kinds);
    assert.deepEqual(buffered(await echoed), kinds.map(buffered));
  });

  eachMode("both sides can ask", async (bench) => {
    const socket = await bench.connect({ parser });
    socket.on("question", (...args) => args.pop()("answered", ...args));
    const answer = next(socket, "answer");
    socket.emit("ask", 1, bytes(5), "x");
    assert.deepEqual(buffered(await answer), ["answered", 1, bytes(5), "x"]);
    assert.deepEqual(await Promise.all(range(50).map((i) => ask(socket, "echo-ack", i))), range(50));
    const late = next(socket, "answer-error");
    socket.emit("ask-silent", 20);
    assert.deepEqual(await late, ["timeout"]);
  });

  eachMode("the auth payload arrives", async (bench) => {
    const auth = { token: "letmein", n: 2 ** 40, list: ["é"] };
    const socket = bench.open({ parser, auth, nsp: "/admin" });
    const welcome = next(socket, "welcome");
    await ready(socket, bench.mode);
    assert.deepEqual((await welcome)[0], { id: socket.id, auth });
  });

  eachMode("namespaces share a connection, and are left one by one", async (bench) => {
    const manager = bench.manager({ parser });
    const [root, a] = ["/", "/a"].map((name) => manager.socket(name));
    await Promise.all([ready(root, bench.mode), ready(a, bench.mode, { settle: false })]);
    const [logRoot, logA] = [root, a].map(record);
    root.emit("echo", "root");
    a.emit("echo", "a");
    await fence(root, a);
    assert.deepEqual([logRoot, logA], [[["echo", "root"]], [["echo", "a"]]]);
    const gone = next(a, "disconnect");
    a.emit("kick", false);
    assert.equal((await gone)[0], "io server disconnect");
    assert.equal(await ask(root, "echo-ack", 1), 1);
    a.connect();
    await ready(a, bench.mode, { settle: false });
    a.disconnect();
    assert.equal(await ask(root, "echo-ack", 2), 2);
  });

  eachMode("a refusal says why", async (bench) => {
    const socket = bench.open({ parser, nsp: "/admin", auth: { token: "wrong" } });
    const [error] = await next(socket, "connect_error");
    assert.equal(error.message, "not allowed");
    assert.deepEqual(error.data, { code: 401, hint: "bad token" });
    const [nowhere] = await next(bench.open({ parser, nsp: "/nowhere" }), "connect_error");
    assert.equal(nowhere.message, "Invalid namespace");
  });

  test("a broadcast reaches clients of every mode, and they can answer it", async (bench) => {
    const all = await bench.connectAll(6, (i) => ({ parser, mode: modes[i % modes.length] }));
    for (const socket of all) await ask(socket, "join", "room");
    const heard = all.map((socket) => gather(socket, "news"));
    await ask(all[0], "say", "room", "news", { bytes: bytes(300), n: 1 });
    await Promise.all(all.map((socket, i) => grown(heard[i], 1, socket, "news")));
    for (const news of heard) assert.deepEqual(buffered(news), [{ bytes: bytes(300), n: 1 }]);
    all.forEach((socket, i) => socket.on("poll", (answer) => answer(i)));
    const { answers, missing } = await ask(all[0], "ask-room", "room", PATIENCE);
    assert.deepEqual([answers.sort(), missing], [range(6), 0]);
  });

  eachMode("what is broken closes its own connection and no other", async (bench) => {
    const member = await bench.connect({ parser });
    const broken = [
      Buffer.alloc(0),
      Buffer.from([0xc1]),
      Buffer.from([0x83]),
      Buffer.from("dfffffffff", "hex"),
      Buffer.concat([packet({ type: 0, nsp: "/" }), Buffer.from([0])]),
      packet({ type: 9, nsp: "/" }),
      packet({ type: 0, nsp: 1 }),
      packet({ type: 2, nsp: "/", data: ["echo"] }),
      packet({ type: 0, nsp: "/", data: "text" }),
      packet([]),
    ];
    for (const message of broken) {
      const raw = await bench.raw();
      await raw.send(bench.mode.name === "polling" ? `b${message.toString("base64")}` : message);
      await within(PATIENCE, `${message.toString("hex")} to be refused`, raw.drain());
      assert.equal(await ask(member, "echo-ack", 1), 1);
    }
  });

  eachMode("a client of the default encoding is no client here", async (bench) => {
    const socket = bench.open();
    const [reason] = await next(socket.io, "close");
    assert.equal(reason, "transport close");
  });
}, { env: { PARSER: "msgpack", MAX_PAYLOAD: "2000000" } });
