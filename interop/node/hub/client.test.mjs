// The client on the command line (ROOMFUL names the program) against the official server, in this process.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { Server } from "socket.io";
import msgpack from "socket.io-msgpack-parser";

const { ROOMFUL } = process.env;
assert.ok(ROOMFUL, "ROOMFUL is not set: run this by `make test-hub`");

const sites = new Map();

before(async () => {
  sites.set("default", await serve({}));
  sites.set("msgpack", await serve({ parser: msgpack }));
});
after(() => Promise.all([...sites.values()].map(({ io }) => io.close())));

async function serve(options) {
  const http = createServer();
  const io = new Server(http, { serveClient: false, ...options });
  io.on("connection", (socket) => {
    socket.emit("welcome", socket.handshake.query.x ?? null, Buffer.from([0, 1, 255]));
    socket.on("ask", (...args) => args.pop()(...args));
    socket.on("fail", (ack) => ack({ error: { message: "no" } }));
    socket.on("leave-me", () => socket.disconnect());
    socket.on("question-me", async () => {
      socket.emit("answered", await socket.timeout(5000).emitWithAck("question", 7));
    });
  });
  const inner = io.of("/private");
  inner.use((socket, next) => {
    next(socket.handshake.auth.token === "letmein" ? undefined : new Error("not allowed"));
  });
  inner.on("connection", (socket) => socket.emit("inside"));
  io.of("/cut").on("connection", (socket) => socket.conn.close());
  await new Promise((resolve) => void http.listen(0, "127.0.0.1", resolve));
  return { io, url: `http://127.0.0.1:${http.address().port}` };
}

/** Runs the program: its exit code and what it prints. */
function run(args, input = "") {
  return new Promise((resolve, reject) => {
    const child = spawn(ROOMFUL, args);
    const printed = { out: "", err: "" };
    child.stdout.on("data", (data) => void (printed.out += data));
    child.stderr.on("data", (data) => void (printed.err += data));
    child.once("error", reject).once("close", (code) => resolve({ code, ...printed }));
    // It may end before it has read all.
    child.stdin.on("error", () => {}).end(input);
  });
}

for (const parser of ["default", "msgpack"]) {
  for (const transport of ["polling", "websocket", "upgrade"]) {
    const options = ["--parser", parser, "--transport", transport];

    test(`a call is answered by ${transport}, parser ${parser}`, async () => {
      const { url } = sites.get(parser);
      const done = await run(["call", url, "ask", '{"a":[1,"é"]}', "text", ...options]);
      assert.deepEqual(done, { code: 0, out: '{"a":[1,"é"]}\n"text"\n', err: "" });
    });

    test(`an event with bytes is heard by ${transport}, parser ${parser}`, async () => {
      const { url } = sites.get(parser);
      const done = await run(["listen", `${url}?x=seen`, "--count", "1", "--quiet", ...options]);
      assert.equal(done.code, 0, done.err);
      assert.match(done.out, /^[\d:.]+Z welcome "seen" <3 bytes 00 01 ff>\n$/);
    });
  }
}

test("an error, a refusal and a goodbye are exit codes", async () => {
  const { url } = sites.get("default");
  const failed = await run(["call", url, "fail"]);
  assert.deepEqual(failed, { code: 5, out: '{"error":{"message":"no"}}\n', err: "" });
  const refused = await run(["call", `${url}/private`, "x"]);
  assert.equal(refused.code, 3);
  assert.match(refused.err, /not allowed/);
  assert.equal((await run(["call", url, "x", "--namespace", "/none"])).code, 3);
  assert.equal((await run(["call", url, "leave-me"])).code, 2);
  const silent = await run(["call", url, "nobody-hears-it", "--timeout", "0.3"]);
  assert.equal(silent.code, 4);
});

test("a connection that is lost at once says how", async () => {
  const { url } = sites.get("default");
  // Over polling a server may take an event although it is about to close.
  for (const [command, transport] of [["call", "polling"], ["call", "websocket"], ["emit", "websocket"]]) {
    const done = await run([command, `${url}/cut`, "x", "--transport", transport]);
    assert.deepEqual([done.code, done.out], [2, ""], done.err);
    assert.match(done.err, /transport (close|error)/);
  }
});

test("an auth payload lets the client in", async () => {
  const { url } = sites.get("default");
  const auth = ["--auth", '{"token":"letmein"}', "--namespace", "/private"];
  const done = await run(["listen", url, "--json", "--count", "1", ...auth]);
  assert.equal(done.code, 0, done.err);
  const { namespace, event, args } = JSON.parse(done.out);
  assert.deepEqual([namespace, event, args], ["/private", "inside", []]);
});

test("the prompt asks what its lines say", async () => {
  const { url } = sites.get("default");
  const done = await run(["connect", url, "--quiet"], 'ask {"a": 1} \'b c\' ?\n');
  assert.equal(done.code, 0, done.err);
  assert.match(done.out, /^ask = \{"a":1\} "b c" \([\d.]+ ms\)$/m);
});
