import assert from "node:assert/strict";
import http from "node:http";
import { buffer } from "node:stream/consumers";
import { brotliDecompressSync, gunzipSync, inflateSync } from "node:zlib";
import { Fetch } from "socket.io-client";
import WebSocket from "ws";
import { ask, fence, gather, modes } from "../support/client.mjs";
import { engineUrl } from "../support/raw.mjs";
import { isReference } from "../support/server.mjs";
import { suite } from "../support/suite.mjs";
import { bytes } from "../support/values.mjs";
import { next, range } from "../support/wait.mjs";

const THRESHOLD = 1_024;
const env = { DEFLATE: String(THRESHOLD), HTTP_COMPRESSION: String(THRESHOLD) };
const [polling, websocket, upgraded] = modes;
const PLAIN_TEXT = 0x81;
const COMPRESSED_TEXT = 0xc1;
const COMPRESSED_BINARY = 0xc2;

const records = range(500).map((id) => ({ id, name: `user ${id}`, text: "schön 雪 😀", on: id % 2 === 0 }));

suite("compression", ({ test, eachMode }) => {
  for (const mode of [websocket, upgraded]) {
    test(`large events are compressed both ways, small ones are not [${mode.name}]`, async (bench) => {
      const socket = await bench.connect({ mode });
      assert.match(wsOf(socket).extensions, /^permessage-deflate/);
      await fence(socket);
      const frames = tap(socket);
      const written = wsOf(socket)._socket.bytesWritten;
      assert.deepEqual(await ask(socket, "echo-ack", records), records);
      const size = JSON.stringify(records).length;
      assert.ok(wsOf(socket)._socket.bytesWritten - written < size / 3, "the event was compressed");
      assert.deepEqual(frames.map(({ first }) => first), [COMPRESSED_TEXT]);
      assert.ok(frames[0].length < size / 3);
      assert.equal(await ask(socket, "echo-ack", "x".repeat(500)), "x".repeat(500));
      assert.equal(frames[1].first, PLAIN_TEXT);
    }, mode);
  }

  eachMode("values and attachments come back as they were", async (bench) => {
    const socket = await bench.connect();
    const zeros = Buffer.alloc(100_000);
    for (const value of [records, "雪".repeat(2_000), bytes(50_000), zeros, [zeros, "x".repeat(5_000), { deep: bytes(10) }]]) {
      const echoed = next(socket, "echo");
      socket.emit("echo", value, "small");
      assert.deepEqual(await echoed, [value, "small"]);
    }
  });

  for (const excluded of [{}, { clientNoContextTakeover: false }, { clientNoContextTakeover: false, clientMaxWindowBits: false }]) {
    test(`a client connects whatever it does not take: ${JSON.stringify(excluded)}`, async (bench) => {
      const ws = await rawSocket(bench, { threshold: 0, ...excluded });
      for (const n of range(5)) {
        const answer = next(ws, "message", { accept: (data) => data.toString().startsWith("43") });
        ws.send(`42${n}${JSON.stringify(["echo-ack", records])}`);
        const [text] = await answer;
        assert.equal(text.toString(), `43${n}${JSON.stringify([records])}`);
      }
    });
  }

  test("attachments are compressed as messages of their own", async (bench) => {
    const socket = await bench.connect({ mode: websocket });
    await fence(socket);
    const frames = tap(socket);
    const [zeros, small] = [Buffer.alloc(50_000), bytes(500)];
    assert.deepEqual(await ask(socket, "wait", 0, [zeros, small]), [zeros, small]);
    assert.deepEqual(frames.map(({ first }) => first), [PLAIN_TEXT, COMPRESSED_BINARY, 0x82]);
    assert.ok(frames[1].length < 500);
  });

  test("small and large events keep their order", async (bench) => {
    const socket = await bench.connect({ mode: websocket });
    const echoes = gather(socket, "echo");
    const sent = range(200).map((i) => (i % 3 === 0 ? `${i}`.padEnd(3_000, "-") : i));
    for (const value of sent) socket.emit("echo", value);
    await fence(socket);
    assert.deepEqual(echoes, sent);
  });

  test("one broadcast reaches those with compression and those without", async (bench) => {
    const options = (i) => ({ mode: modes[i % 3], perMessageDeflate: i < 6 });
    const sockets = await bench.connectAll(9, options);
    for (const socket of sockets) await ask(socket, "join", "news");
    const frames = sockets.map((socket) => (wsOf(socket) ? tap(socket) : undefined));
    const news = sockets.map((socket) => gather(socket, "news"));
    await ask(sockets[0], "say", "news", "news", records);
    await fence(...sockets);
    for (const [i, values] of news.entries()) {
      assert.deepEqual(values, [records]);
      const largest = Math.max(...(frames[i] ?? []).map(({ first }) => first));
      if (frames[i]) assert.equal(largest, i < 6 ? COMPRESSED_TEXT : PLAIN_TEXT);
    }
  });

  test("an event can be sent as it is", async (bench) => {
    const socket = await bench.connect({ mode: websocket });
    await fence(socket);
    const frames = tap(socket);
    const echoed = next(socket, "echo");
    socket.emit("echo-plain", records);
    assert.deepEqual(await echoed, [records]);
    assert.deepEqual(frames.map(({ first }) => first), [PLAIN_TEXT]);
  });

  test("a client that comes back is compressed again", async (bench) => {
    const socket = await bench.connect({ mode: websocket, reconnection: true, reconnectionDelay: 10 });
    const before = wsOf(socket);
    const welcome = next(socket, "welcome");
    before.terminate();
    await welcome;
    assert.notEqual(wsOf(socket), before);
    assert.match(wsOf(socket).extensions, /^permessage-deflate/);
    assert.deepEqual(await ask(socket, "echo-ack", records), records);
  });

  test("compressed fragments are one message", async (bench) => {
    const ws = await rawSocket(bench);
    const answer = next(ws, "message", { accept: (data) => data.toString().startsWith("431") });
    const event = `421${JSON.stringify(["echo-ack", records])}`;
    for (const at of range(10)) {
      const part = event.slice((event.length * at) / 10, (event.length * (at + 1)) / 10);
      ws.send(part, { fin: at === 9, compress: true });
    }
    assert.equal((await answer)[0].toString(), `431${JSON.stringify([records])}`);
  });

  for (const size of [10_000_000, 900_001]) {
    test(`what inflates to more than a message may have ends the connection (${size})`, async (bench) => {
      await bench.start({ ...env, MAX_PAYLOAD: "900000" });
      const ws = await rawSocket(bench);
      const closed = next(ws, "close");
      ws.on("error", () => {});
      ws.send("4".padEnd(size, " "), { compress: true });
      assert.equal((await closed)[0], 1009);
    });
  }

  for (const [coding, unpack] of codings()) {
    test(`the answer to a poll is compressed by ${coding}`, async (bench) => {
      const socket = await bench.rawPolling();
      await socket.send("40");
      await socket.next((packet) => packet.startsWith("40"));
      await socket.next((packet) => packet.startsWith("42"));
      const event = JSON.stringify(["echo", records]);
      await socket.send(`42${event}`);
      const response = await plainGet(socket.url, coding);
      assert.equal(response.headers["content-encoding"], coding);
      const body = await buffer(response);
      assert.ok(body.length < event.length / 3);
      assert.equal(Number(response.headers["content-length"] ?? body.length), body.length);
      assert.equal(unpack(body).toString(), `42${event}`);
      await socket.send('42["echo","small"]');
      const small = await plainGet(socket.url, coding);
      assert.equal(small.headers["content-encoding"], undefined);
      assert.equal((await buffer(small)).toString(), '42["echo","small"]');
    });
  }

  test("a polling client reads compressed answers", async (bench) => {
    // The transport of browsers; the one that Node has by default accepts no compression.
    const mode = { name: "polling", transports: [Fetch] };
    const socket = await bench.connect({ mode });
    assert.deepEqual(await ask(socket, "echo-ack", records), records);
    const file = [Buffer.alloc(20_000), bytes(3_000)];
    assert.deepEqual(await ask(socket, "wait", 0, file), file);
  }, polling);
}, { env });

/** The WebSocket under an official client, if it is on one. */
function wsOf(socket) {
  return socket.io.engine.transport.ws;
}

/** Every frame that the server sends to a client from now on, as its first byte and its length. */
function tap(socket) {
  const frames = [];
  let rest = Buffer.alloc(0);
  wsOf(socket)._socket.on("data", (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (let size; (size = frameSize(rest)) <= rest.length; rest = rest.subarray(size)) {
      frames.push({ first: rest[0], length: size });
    }
  });
  return frames;
}

/** Bytes of the frame that begins here; more than there are while its header is not whole. */
function frameSize(bytes) {
  if (bytes.length < 10) return bytes.length >= 2 && bytes[1] < 126 ? 2 + bytes[1] : Infinity;
  if (bytes[1] < 126) return 2 + bytes[1];
  return bytes[1] === 126 ? 4 + bytes.readUInt16BE(2) : 10 + Number(bytes.readBigUInt64BE(2));
}

/** A WebSocket in "/" that compresses what it is told to. */
async function rawSocket(bench, perMessageDeflate = { threshold: 0 }) {
  const url = engineUrl(bench.server, { transport: "websocket" });
  const ws = new WebSocket(url, { perMessageDeflate });
  bench.keep({ close: () => ws.terminate() });
  const joined = next(ws, "message", { accept: (data) => data.toString().startsWith("40") });
  await next(ws, "open");
  // Whoever takes neither of the two ways in which it could be bounded is served without.
  if (perMessageDeflate.clientMaxWindowBits !== false) assert.match(ws.extensions, /^permessage-deflate/);
  ws.send("40");
  await joined;
  return ws;
}

/** A poll whose answer is left as it came. */
function plainGet(url, coding) {
  return new Promise((resolve, reject) => {
    const headers = { "accept-encoding": coding };
    http.get(url, { agent: false, headers }, resolve).on("error", reject);
  });
}

function codings() {
  const all = [["gzip", gunzipSync], ["deflate", inflateSync]];
  // The official server does not know it.
  return isReference ? all : [...all, ["br", brotliDecompressSync]];
}
