// What a site has to do, by the word of README.md: each is asked of every server over every transport.
import assert from "node:assert/strict";
import { ask, askAll, gather, once } from "./support/bench.mjs";

const range = (n) => Array.from({ length: n }, (_, i) => i);
const VALUES = ["text", "snow 雪 😀", 1, -2.5, true, null, [], {}, [1, [2, { three: [null] }]], { a: { b: "c" } }];
const bytes = (...values) => Buffer.from(values);
const NESTED = [bytes(1, 2, 3), { deep: [bytes(), { er: bytes(255, 0) }] }, "text", [bytes(...range(256))]];

/** Why there is nothing to check, if so. */
export function leftOut(feature, site, transport) {
  if (feature === "recovery" && !site.options.includes("--recovery")) return "the server was not asked to recover";
  if (feature === "deflate" && transport === "polling") return "permessage-deflate belongs to WebSocket";
}

/** What an event brought, without the offset that a server which recovers sends besides. */
function given(args, site) {
  return site.options.includes("--recovery") ? args.slice(0, -1) : args;
}

export const features = {
  async welcome({ bench, transport }) {
    const socket = await bench.connect("/");
    const { id, auth, query, headers, recovered } = socket.welcome;
    assert.equal(id, socket.id);
    assert.deepEqual(auth, {});
    assert.equal(query.key, socket.key);
    assert.deepEqual(headers, { "x-test": "tested", cookie: null });
    assert.equal(socket.welcome.transport, transport === "websocket" ? "websocket" : "polling");
    assert.equal(recovered, false);
  },

  async names({ bench, site }) {
    const socket = await bench.connect("/");
    assert.deepEqual(await ask(socket, "names"), site.cannot);
  },

  async echo({ bench, site }) {
    const socket = await bench.connect("/");
    for (const args of [[], ...VALUES.map((value) => [value]), VALUES, NESTED]) {
      const echo = once(socket, "echo");
      socket.emit("echo", ...args);
      assert.deepEqual(given(await echo, site), args);
    }
  },

  async acks({ bench }) {
    const socket = await bench.connect("/");
    assert.deepEqual(await askAll(socket, "ask", ...VALUES), VALUES);
    assert.deepEqual(await askAll(socket, "ask"), []);
    assert.deepEqual(await askAll(socket, "binary-ask", ...NESTED), NESTED);
    assert.equal(await ask(socket, "sum", 2, 3), 5);
    assert.equal(await ask(socket, "slow", 10, "late"), "late");
    // Not more at once: a payload of more than 16 packets ends a session of python-socketio.
    assert.deepEqual(await Promise.all(range(12).map((i) => ask(socket, "ask", i))), range(12));
  },

  async "acks that do not come"({ bench }) {
    const socket = await bench.connect("/");
    let acks = 0;
    const count = () => acks++;
    socket.emit("never", count);
    socket.emit("flaky", socket.key, 3, "value", count);
    socket.emit("flaky", socket.key, 3, "value", count);
    assert.equal(await ask(socket, "seen", socket.key), 2);
    assert.deepEqual(await ask(socket, "flaky", socket.key, 3, "value"), { value: "value", tries: 3 });
    assert.equal(await ask(await bench.connect("/"), "seen", socket.key), 3);
    assert.equal(acks, 0);
  },

  async "acks that are held"({ bench }) {
    const [socket, other] = [await bench.connect("/"), await bench.connect("/")];
    const order = [];
    const answers = ["one", "two"].map((value) => ask(socket, "hold", value).then((answer) => order.push(answer)));
    await ask(socket, "ask");
    // What somebody else lets go is not that.
    assert.equal(await ask(other, "let-go"), true);
    await ask(socket, "ask");
    assert.deepEqual(order, []);
    assert.equal(await ask(socket, "let-go"), true);
    await ask(socket, "ask");
    assert.deepEqual(order, ["one", "two"]);
    await Promise.all(answers);
  },

  async questions({ bench, site }) {
    const socket = await bench.connect("/");
    // The last is answered first.
    const waiting = [];
    socket.on("question", (i, ack) => {
      waiting.push(() => ack(i * 2));
      if (waiting.length === 10) for (const answer of waiting.toReversed()) answer();
    });
    const answered = once(socket, "answered");
    socket.emit("question-me", 10);
    assert.deepEqual(given(await answered, site), [range(10).map((i) => i * 2)]);
  },

  async rooms({ bench }) {
    const [one, other, third] = await Promise.all(range(3).map(() => bench.connect("/")));
    const heard = [one, other, third].map((socket) => gather(socket, "said"));
    const room = `room of ${one.key}`;
    assert.equal(await ask(one, "join", room), true);
    assert.equal(await ask(other, "join", room), true);
    await ask(one, "say", room, "hello");
    await ask(third, "say", room, "from outside");
    assert.equal(await ask(other, "leave", room), true);
    await ask(third, "say", room, "again");
    for (const socket of [one, other, third]) await ask(socket, "ask");
    assert.deepEqual(heard, [["from outside", "again"], ["hello", "from outside"], []]);
  },

  async streams({ bench, site }) {
    const socket = await bench.connect("/");
    const numbers = gather(socket, "number");
    assert.equal(await ask(socket, "burst", 100), 100);
    assert.deepEqual(numbers, range(100));
    numbers.length = 0;
    await ask(socket, "volatile-burst", 100);
    await ask(socket, "ask");
    assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b));
    assert.equal(new Set(numbers).size, numbers.length);
    const big = once(socket, "big");
    socket.emit("big", 300_000);
    assert.deepEqual(given(await big, site), ["x".repeat(300_000)]);
  },

  async namespaces({ bench, site }) {
    for (const name of ["/a", "/b", "/dyn-7"]) {
      const socket = await bench.connect(name);
      const echo = once(socket, "echo");
      socket.emit("echo", 1, "two");
      assert.deepEqual(given(await echo, site), [name, 1, "two"]);
      assert.deepEqual(await askAll(socket, "ask", ...NESTED), NESTED);
    }
    for (const name of ["/none", "/dyn-x"]) {
      const refusal = await bench.refusal(name);
      if (bench.isOld) assert.equal(refusal, "Invalid namespace");
      // A refusal whose payload is a text has no message.
      else assert.equal(refusal.message, site.cannot.includes("message") ? "" : "Invalid namespace");
    }
  },

  async auth({ bench, site }) {
    const socket = await bench.connect("/private", { auth: { token: "letmein", user: "ada" } });
    assert.equal(socket.welcome.auth.user, "ada");
    assert.equal(await ask(socket, "whoami"), "ada");
    // With msgpack a client of version 2 fails at a refusal that is no text.
    if (bench.isOld && site.options.includes("msgpack")) return;
    for (const auth of [{}, { token: "wrong" }]) {
      const data = { code: 401 };
      assert.deepEqual(await bench.refusal("/private", { auth }), bench.isOld ? data : { message: "not allowed", data });
    }
  },

  async "server leaves"({ bench }) {
    const reasons = {
      "leave-me": ["io server disconnect"],
      // Where the goodbye to the namespace comes too late, the connection has ended.
      "close-me": ["io server disconnect", "transport close"],
    };
    for (const [event, expected] of Object.entries(reasons)) {
      const socket = await bench.connect("/");
      const gone = once(socket, "disconnect");
      socket.emit(event);
      const [reason] = await gone;
      assert.ok(expected.includes(reason), `${event}: ${reason}`);
    }
  },

  async "server cuts"({ bench, transport }) {
    const socket = await bench.connect("/");
    const { engine } = socket.io;
    const closed = transport === "polling" ? undefined : once(engine.transport.ws, "close");
    const gone = once(socket, "disconnect");
    socket.emit("cut-me");
    const [reason, details] = await gone;
    assert.ok(["transport close", "transport error"].includes(reason), reason);
    // What newer clients say when a packet did; only a client that polls cares for it.
    assert.notEqual(details?.description, "transport closed by the server");
    // 1006: the stream ended without a frame that says so.
    if (closed) assert.equal((await closed)[0], 1006);
  },

  async recovery({ bench }) {
    const again = { reconnection: true, reconnectionDelay: 5, reconnectionDelayMax: 5 };
    const socket = await bench.connect("/", again);
    await ask(socket, "ask");
    const { id } = socket;
    const numbers = gather(socket, "number");
    socket.emit("cut-and-send", 20);
    const [welcome] = await once(socket, "welcome");
    await ask(socket, "ask");
    assert.equal(welcome.recovered, true);
    assert.equal(socket.recovered, true);
    assert.equal(socket.id, id);
    assert.deepEqual(numbers, range(20));
  },

  async deflate({ bench, site }) {
    const socket = await bench.connect("/");
    const extensions = socket.io.engine.transport.ws.extensions;
    assert.equal(/permessage-deflate/.test(extensions), site.options.includes("--deflate"));
  },
};
