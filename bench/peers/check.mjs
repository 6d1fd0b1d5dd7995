// Starts one peer of peers.json and tells whether it serves what the benchmark asks of every peer.
// Usage: node bench/peers/check.mjs NAME [OPTION]
// OPTION is what a case may want of the server beside itself: deflate, eio3, msgpack or recovery.
// Needs `tools/bench-setup` for the peer and `tools/setup interop` for the client.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = new URL("../../", import.meta.url);
const require = createRequire(new URL("interop/node/", root));
const option = process.argv[3];
const { io } = require("socket.io-client");
// That client speaks Engine.IO 3, and gives only callbacks.
const connectTo = option === "eio3" ? require("client-2.5") : io;
const CLIENT_OPTIONS = { deflate: { perMessageDeflate: true }, msgpack: { parser: require("socket.io-msgpack-parser") } };

const TIMEOUT_MS = 5000;

const peers = JSON.parse(await readFile(new URL("peers.json", import.meta.url)));
const peer = peers.find(({ name }) => name === process.argv[2]);
if (!peer) {
  console.error(`usage: node bench/peers/check.mjs ${peers.map(({ name }) => name).join(" | ")} [OPTION]`);
  process.exit(2);
}

const port = await freePort();
const [program, ...args] = peer.command;
const server = spawn(program, [...args, String(port)], {
  cwd: fileURLToPath(root),
  env: { ...process.env, ...peer.env, ...(option && { OPTION: option }) },
  stdio: ["ignore", "pipe", "inherit"],
});
const ended = once(server, "exit");
// Whatever ends this script ends the server too.
process.on("exit", () => server.kill("SIGKILL"));

let failed = false;
try {
  const lines = createInterface({ input: server.stdout });
  const [line] = await within(Promise.race([once(lines, "line"), ended]), "ready");
  assert.equal(line, "ready", "the first line of its output");

  for (const transport of ["websocket", "polling"]) {
    try {
      await check(transport);
      console.log(`${peer.name} ${transport}: ok`);
    } catch (error) {
      failed = true;
      console.log(`${peer.name} ${transport}: FAILED: ${error.message}`);
    }
  }

  server.kill("SIGTERM");
  await within(ended, "end after SIGTERM");
} catch (error) {
  failed = true;
  console.log(`${peer.name}: FAILED: ${error.message}`);
}
process.exit(failed ? 1 : 0);

async function check(transport) {
  const sockets = await Promise.all([connect(transport), connect(transport), connect(transport)]);
  try {
    const [speaker, listener, outsider] = sockets;

    for (const text of ["hello", "", 'quote " and \u2028 and 😀', "x".repeat(20_000)]) {
      assert.equal(await ask(speaker, "echo", text), text, "echo");
    }
    for (const size of [0, 3, 20_000]) {
      const blob = Buffer.from(Uint8Array.from({ length: size }, (_, i) => i));
      const back = await ask(speaker, "blob", blob);
      assert.ok(Buffer.isBuffer(back) && blob.equals(back), `blob of ${size} bytes comes back as binary`);
      assert.equal(await ask(speaker, "size", blob), size, "size");
    }

    const heard = new Map(sockets.map((socket) => [socket, []]));
    // With recovery the offset is an argument more.
    const args = option === "recovery" ? 1 : undefined;
    for (const socket of sockets) socket.on("said", (...said) => heard.get(socket).push(said.slice(0, args)));
    // Packets of one connection arrive in order: an answered echo proves what came before it.
    const settle = async () => {
      await ask(speaker, "echo", "");
      await new Promise((resolve) => setTimeout(resolve, 100));
      await Promise.all(sockets.map((socket) => ask(socket, "echo", "")));
      return sockets.map((socket) => heard.get(socket).splice(0));
    };

    assert.equal(await ask(listener, "join", "room"), true, "join");
    speaker.emit("say", "room", "from outside");
    assert.deepEqual(await settle(), [[], [["from outside"]], []], "say from outside of the room");

    assert.equal(await ask(speaker, "join", "room"), true, "join");
    speaker.emit("say", "room", "one");
    speaker.emit("say", "room", "two");
    const both = [["one"], ["two"]];
    assert.deepEqual(await settle(), [both, both, []], "say reaches its sender, in order");

    assert.equal(await ask(listener, "leave", "room"), true, "leave");
    speaker.emit("say", "room", "after");
    assert.deepEqual(await settle(), [[["after"]], [], []], "say after leave");
    assert.equal(outsider.io.engine.transport.name, transport, "the transport");
    if (option === "deflate" && transport === "websocket") await checkDeflate(speaker);
    if (option === "recovery") await checkRecovery(speaker, listener);
  } finally {
    for (const socket of sockets) socket.disconnect();
  }
}

async function checkDeflate(socket) {
  const { extensions } = socket.io.engine.transport.ws;
  assert.match(String(extensions), /permessage-deflate/, "the extension that was negotiated");
}

async function checkRecovery(speaker, socket) {
  assert.equal(await ask(socket, "join", "recovered"), true, "join");
  const said = [];
  socket.on("said", (text) => said.push(text));
  speaker.emit("say", "recovered", "before");
  await ask(speaker, "echo", "");
  await ask(socket, "echo", "");
  const back = once(socket, "connect");
  socket.io.reconnection(true);
  socket.io.engine.close();
  speaker.emit("say", "recovered", "missed");
  await within(back, "come back");
  assert.equal(socket.recovered, true, "recovered");
  await ask(socket, "echo", "");
  assert.deepEqual(said, ["before", "missed"], "what was missed");
}

async function connect(transport) {
  const socket = connectTo(`http://127.0.0.1:${port}`, {
    transports: [transport],
    forceNew: true,
    reconnection: false,
    ...CLIENT_OPTIONS[option],
  });
  const refused = once(socket, "connect_error").then(([error]) => Promise.reject(error));
  await within(Promise.race([once(socket, "connect"), refused]), "connect");
  return socket;
}

function ask(socket, event, ...args) {
  return within(new Promise((resolve) => socket.emit(event, ...args, resolve)), event);
}

async function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}
