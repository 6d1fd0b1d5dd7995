import assert from "node:assert/strict";
import { ask, ready } from "../support/client.mjs";
import { suite } from "../support/suite.mjs";
import { next, range } from "../support/wait.mjs";

suite("connect", ({ test, eachMode }) => {
  eachMode("a client connects and is welcomed under its own id", async (bench) => {
    const socket = bench.open();
    const [welcome] = await next(socket, "welcome");
    assert.equal(socket.connected, true);
    assert.deepEqual(welcome, { id: socket.id, auth: {} });
  });

  eachMode("the transport is the one of the mode", async (bench) => {
    const socket = await bench.connect();
    const expected = bench.mode.name === "polling" ? "polling" : "websocket";
    assert.equal(socket.io.engine.transport.name, expected);
  });

  eachMode("ids differ between namespaces, connections and the engine", async (bench) => {
    const sockets = [...(await bench.multiplex("/", "/a", "/b")), await bench.connect()];
    const ids = [...sockets.map((socket) => socket.id), sockets[0].io.engine.id, sockets[3].io.engine.id];
    assert.equal(new Set(ids).size, ids.length);
    for (const id of ids) assert.match(id, /^[A-Za-z0-9_-]{20}$/);
  });

  eachMode("subprotocols of the client's own do no harm", async (bench) => {
    const socket = await bench.connect({ protocols: ["chat", "other"] });
    assert.equal(await ask(socket, "echo-ack", 1), 1);
  });

  eachMode("the auth of the client reaches the server", async (bench) => {
    const auth = { user: "Zoë 😀", nested: { list: [1, null, "x"] } };
    const socket = bench.open({ auth });
    const [welcome] = await next(socket, "welcome");
    assert.deepEqual(welcome.auth, auth);
  });

  eachMode("auth may be computed at each connect", async (bench) => {
    const socket = bench.open({ auth: (give) => give({ n: 7 }) });
    const [welcome] = await next(socket, "welcome");
    assert.deepEqual(welcome.auth, { n: 7 });
  });

  eachMode("the right token opens /admin", async (bench) => {
    const admin = await bench.connect({ nsp: "/admin", auth: { token: "letmein" } });
    assert.deepEqual(await ask(admin, "echo-ack", "hi"), "hi");
  });

  const refused = {
    "no token": undefined,
    "a wrong token": { token: "guess" },
    "a token of another type": { token: ["letmein"] },
  };
  for (const [what, auth] of Object.entries(refused)) {
    eachMode(`${what} is refused with message and data`, async (bench) => {
      const admin = bench.open({ nsp: "/admin", auth });
      const [error] = await next(admin, "connect_error");
      assert.equal(error.message, "not allowed");
      assert.deepEqual(error.data, { code: 401, hint: "bad token" });
      assert.equal(admin.connected, false);
      assert.equal(admin.active, false);
    });
  }

  eachMode("a refused client may try again with a better token", async (bench) => {
    const admin = bench.open({ nsp: "/admin", auth: { token: "guess" } });
    await next(admin, "connect_error");
    admin.auth = { token: "letmein" };
    await ready(admin.connect(), bench.mode, { settle: false });
    assert.equal(await ask(admin, "echo-ack", 1), 1);
  });

  eachMode("a namespace that takes its time still connects", async (bench) => {
    const slow = await bench.connect({ nsp: "/slow" });
    assert.equal(await ask(slow, "echo-ack", "patience"), "patience");
  });

  eachMode("what is emitted before the connection is there arrives in order", async (bench) => {
    const socket = bench.open({ nsp: "/slow" });
    const answers = await Promise.all(range(20).map((i) => ask(socket, "echo-ack", i)));
    assert.deepEqual(answers, range(20));
  });

  eachMode("100 clients emit the moment they see themselves connected", async (bench) => {
    // In waves, so that many arrive together and some find a warm server.
    for (const wave of [34, 33, 33]) {
      const answers = range(wave).map((i) => answerAtConnect(bench.open(), i));
      assert.deepEqual(await Promise.all(answers), range(wave));
    }
  });

  eachMode("clients of /slow emit the moment they see themselves connected", async (bench) => {
    const answers = range(40).map((i) => answerAtConnect(bench.open({ nsp: "/slow" }), i));
    assert.deepEqual(await Promise.all(answers), range(40));
  });

  eachMode("a disconnected client connects anew under a new id", async (bench) => {
    const socket = await bench.connect();
    const { id } = socket;
    socket.disconnect();
    await ready(socket.connect(), bench.mode);
    assert.notEqual(socket.id, id);
    assert.equal(await ask(socket, "echo-ack", 1), 1);
  });

  test("a query of the client's own does no harm", async (bench) => {
    const socket = await bench.connect({ query: { "a b": "ü&=", x: "" } });
    assert.equal(await ask(socket, "echo-ack", 1), 1);
  });
});

async function answerAtConnect(socket, value) {
  const answer = new Promise((resolve, reject) => {
    socket.once("connect", () => ask(socket, "echo-ack", value).then(resolve, reject));
    socket.once("connect_error", reject);
  });
  return answer;
}
