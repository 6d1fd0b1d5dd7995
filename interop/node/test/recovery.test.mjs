import assert from "node:assert/strict";
import { ask, dial, fence, gather, manage, ready } from "../support/client.mjs";
import { isReference } from "../support/server.mjs";
import { suite } from "../support/suite.mjs";
import { next, range } from "../support/wait.mjs";
import { buffered, bytes } from "../support/values.mjs";
import { Wire } from "../support/wire.mjs";

const EAGER = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 20, randomizationFactor: 0 };
const WINDOW = "60000";
const SHORT_WINDOW = "200";

suite("recovery", ({ test, eachMode }) => {
  eachMode("a client that missed nothing is recovered", async (bench) => {
    const { socket, lose, mend } = await onWire(bench);
    const { id } = socket;
    await lose();
    await mend();
    assert.equal(socket.recovered, true);
    assert.equal(socket.id, id);
    assert.equal(await ask(socket, "recovered"), true);
    assert.equal(await ask(socket, "echo-ack", "back"), "back");
  });

  eachMode("what was missed arrives once, in order, and before what comes later", async (bench) => {
    const { socket, lose, mend, say, den } = await onWire(bench);
    const news = gather(socket, "news");
    await say(den, 0);
    await lose();
    for (const i of range(100)) await say(den, 1 + i);
    await mend();
    await say(den, 101);
    await fence(socket);
    assert.equal(socket.recovered, true);
    assert.deepEqual(news, range(102));
  });

  eachMode("what was missed arrives before the welcome", async (bench) => {
    const { socket, lose, mend, say, den } = await onWire(bench);
    const order = [];
    await lose();
    await say(den, "missed");
    for (const event of ["news", "welcome"]) socket.on(event, () => order.push(event));
    await mend();
    assert.deepEqual(order, ["news", "welcome"]);
  });

  eachMode("missed bytes come back whole", async (bench) => {
    const { socket, speaker, lose, mend, den } = await onWire(bench);
    await lose();
    await ask(speaker, "say", den, "blob", bytes(70_000), { deep: [bytes(3)] });
    const blob = next(socket, "blob");
    await mend();
    assert.deepEqual(buffered((await blob).slice(0, 2)), [bytes(70_000), { deep: [bytes(3)] }]);
  });

  eachMode("what was sent to the client alone is not lost", async (bench) => {
    const { socket, lose, mend, say } = await onWire(bench);
    const news = gather(socket, "news");
    const { id } = socket;
    await lose();
    await say(id, "psst");
    await mend();
    await fence(socket);
    assert.deepEqual(news, ["psst"]);
  });

  eachMode("rooms and data are kept", async (bench) => {
    const { socket, lose, mend, den } = await onWire(bench);
    const value = { name: "Zoë", list: [1, null] };
    await ask(socket, "set-data", value);
    await lose();
    await mend();
    assert.deepEqual((await ask(socket, "rooms")).toSorted(), [socket.id, den].toSorted());
    assert.deepEqual(await ask(socket, "members", den), [socket.id]);
    assert.deepEqual(await ask(socket, "get-data"), value);
  });

  eachMode("it has left its rooms as long as it is away", async (bench) => {
    const { speaker, lose, mend, den, socket } = await onWire(bench);
    await lose();
    assert.deepEqual(await ask(speaker, "members", den), []);
    await mend();
    assert.deepEqual(await ask(speaker, "members", den), [socket.id]);
  });

  eachMode("a client is recovered again and again", async (bench) => {
    const { socket, lose, mend, say, den } = await onWire(bench);
    const news = gather(socket, "news");
    const { id } = socket;
    for (const i of range(4)) {
      await lose();
      // Every other time it misses nothing.
      if (i % 2) await say(den, i);
      await mend();
      assert.equal(socket.recovered, true, `recovery ${i}`);
    }
    await fence(socket);
    assert.equal(socket.id, id);
    assert.deepEqual(news, [1, 3]);
  });

  eachMode("nothing comes twice or not at all while the speaker never pauses", async (bench) => {
    // The cut may come between two polls, and then our server learns of it by the return. The official
    // one must have missed a pong before.
    if (isReference) await bench.start({ RECOVERY: WINDOW, PING_INTERVAL: "1000", PING_TIMEOUT: "1000" });
    const { socket, lose, mend, say, den } = await onWire(bench);
    const news = gather(socket, "news");
    let sent = 0;
    let speaking = true;
    const speech = (async () => {
      while (speaking) await say(den, sent++);
    })();
    // Awaited below, also when it fails before.
    speech.catch(() => {});
    for (let i = 0; i < 3; i++) {
      await lose({ idle: false, seen: isReference });
      await mend();
      assert.equal(socket.recovered, true, `recovery ${i}`);
    }
    speaking = false;
    await speech;
    await fence(socket);
    assert.deepEqual(news, range(sent));
  });

  for (const [what, verb] of [["an event", "say"], ["a volatile event", "say-volatile"]]) {
    eachMode(`${what} that ends with a string does not spoil the offset`, async (bench) => {
      const { socket, speaker, lose, mend, say, den } = await onWire(bench);
      const news = gather(socket, "news");
      const heard = next(socket, "noise");
      await say(den, 0);
      await spoken(heard, () => ask(speaker, verb, den, "noise", 1, "a string"));
      await lose();
      await say(den, 1);
      await mend();
      await fence(socket);
      assert.equal(socket.recovered, true);
      assert.deepEqual(news, [0, 1]);
    });
  }

  eachMode("a question that ends with a string does not spoil the offset", async (bench) => {
    const { socket, lose, mend } = await onWire(bench);
    socket.on("question", (_text, answer) => answer("a string"));
    const answer = next(socket, "answer");
    socket.emit("ask", "a string");
    await answer;
    await lose();
    await mend();
    assert.equal(socket.recovered, true);
  });

  eachMode("volatile events and questions are not replayed", async (bench) => {
    const { socket, speaker, lose, mend, say, den } = await onWire(bench);
    const log = [];
    socket.onAny((event) => log.push(event));
    await lose();
    await ask(speaker, "say-volatile", den, "noise", 1);
    assert.deepEqual(await ask(speaker, "ask-room", den, 100), { answers: [], missing: 0 });
    await say(den, 1);
    await mend();
    await fence(socket);
    assert.deepEqual(log, ["news", "welcome"]);
  });

  test("a client that was given no event yet is recovered by its pid alone", async (bench) => {
    const watcher = await bench.connect();
    await ask(watcher, "join", "watch");
    const raw = await bench.rawWebSocket();
    await raw.send("40");
    const { sid, pid } = await accepted(raw);
    const left = next(watcher, "left", { accept: (id) => id === sid });
    raw.close();
    await left;
    await ask(watcher, "say", sid, "news", "missed");

    const again = await bench.rawWebSocket();
    await again.send(`40${JSON.stringify({ pid })}`);
    // The events may stand before the answer or behind it.
    const missed = [];
    const answer = await accepted(again, (packet) => missed.push(packet));
    assert.deepEqual(answer, { sid, pid });
    while (missed.length < 2) missed.push(await again.next((packet) => packet.startsWith("42")));
    const events = missed.map((packet) => JSON.parse(packet.slice(2)));
    assert.deepEqual(events.map(([event]) => event), ["welcome", "news"]);
    assert.equal(events[1][1], "missed");
  });

  eachMode("who was put out is not recovered", async (bench) => {
    const { socket, den } = await onWire(bench);
    const { id } = socket;
    const gone = next(socket, "disconnect");
    socket.emit("kick", false);
    await gone;
    await returned(socket, () => socket.connect());
    await assertNew(socket, id);
    assert.deepEqual(await ask(socket, "members", den), []);
  });

  eachMode("who has left is not recovered", async (bench) => {
    const { socket, speaker } = await onWire(bench, { nsp: "/a" });
    const { id } = socket;
    const left = next(speaker, "left", { accept: (who) => who === id });
    socket.disconnect();
    await left;
    await returned(socket, () => socket.connect());
    await assertNew(socket, id);
  });

  const forgeries = {
    "a pid that was never given": () => ({ pid: "A".repeat(20) }),
    "an offset that was never given": () => ({ offset: "never given" }),
    "an empty offset": () => ({ offset: "" }),
    "a pid that is a socket's id": (id) => ({ pid: id }),
    "a pid of another type": () => ({ pid: { length: 20 } }),
    "an offset of another type": () => ({ offset: ["0"] }),
    "a very long offset": () => ({ offset: "0".repeat(10_000) }),
  };
  for (const [what, forge] of Object.entries(forgeries)) {
    eachMode(`${what} makes a new session`, async (bench) => {
      const { socket, lose, mend, say, den } = await onWire(bench);
      const news = gather(socket, "news");
      const { id } = socket;
      // What is given as auth takes the place of what the client would say.
      socket.auth = forge(id);
      await lose();
      await say(den, "missed");
      await mend();
      await assertNew(socket, id);
      assert.deepEqual(news, []);
    });
  }

  eachMode("after the window it is a new session", async (bench) => {
    await bench.start({ RECOVERY: SHORT_WINDOW });
    const { socket, speaker, lose, mend, say, den } = await onWire(bench);
    const news = gather(socket, "news");
    const { id } = socket;
    await lose();
    await say(den, "missed");
    // By the clock of the server itself.
    await ask(speaker, "wait", 2 * Number(SHORT_WINDOW), "");
    await mend();
    await assertNew(socket, id);
    assert.deepEqual(news, []);
  });

  eachMode("namespaces are recovered each for itself", async (bench) => {
    const names = ["/", "/a", "/b"];
    const wire = bench.keep(await Wire.to(bench.server));
    const manager = manage(wire, bench.mode, EAGER);
    bench.keep({ close: () => sockets.forEach((socket) => socket.disconnect()) });
    const sockets = names.map((nsp) => manager.socket(nsp));
    const settled = [ready(sockets[0], bench.mode)];
    for (const socket of sockets.slice(1)) settled.push(ready(socket, bench.mode, { settle: false }));
    await Promise.all(settled);
    const speakers = await bench.multiplex(...names);
    const ids = sockets.map(({ id }) => id);
    const news = sockets.map((socket) => gather(socket, "news"));
    await Promise.all(speakers.map((speaker) => ask(speaker, "join", "watch")));
    const left = speakers.map((speaker, i) => next(speaker, "left", { accept: (id) => id === ids[i] }));

    sockets[2].auth = { pid: "never given" };
    if (bench.mode.name === "polling") await wire.waitingGet();
    wire.cut();
    await Promise.all(left);
    for (const [i, speaker] of speakers.entries()) await ask(speaker, "say", ids[i], "news", names[i]);
    const back = sockets.map((socket) => next(socket, "welcome"));
    wire.mend();
    await Promise.all(back);
    await fence(...sockets);
    assert.deepEqual(sockets.map(({ recovered }) => recovered), [true, true, false]);
    assert.deepEqual(sockets.map(({ id }, i) => id === ids[i]), [true, true, false]);
    assert.deepEqual(news, [["/"], ["/a"], []]);
  });

  eachMode("rooms and except choose what is replayed", async (bench) => {
    const { socket, speaker, lose, mend, den } = await onWire(bench);
    const news = gather(socket, "news");
    const other = `other ${socket.id}`;
    const { id } = socket;
    await ask(socket, "join", other);
    await lose();
    await ask(speaker, "say-rooms", [den, other], "news", "both, once");
    await ask(speaker, "say", `hall ${id}`, "news", "another room");
    await ask(speaker, "say-except", den, other, "news", "not for the other room");
    await ask(speaker, "say-except", den, id, "news", "not for it");
    await ask(speaker, "say-except", den, `hall ${id}`, "news", "but not in the hall");
    await ask(speaker, "say-others", den, "news", "from somebody else");
    await mend();
    await fence(socket);
    assert.deepEqual(news, ["both, once", "but not in the hall", "from somebody else"]);
  });

  eachMode("a room joined after an event was sent does not replay that event", async (bench) => {
    const { socket, lose, mend, say } = await onWire(bench);
    const news = gather(socket, "news");
    const late = `late ${socket.id}`;
    await say(late, "before it joined");
    await ask(socket, "join", late);
    await lose();
    await say(late, "after");
    await mend();
    await fence(socket);
    assert.equal(socket.recovered, true);
    assert.deepEqual(news, ["after"]);
  });

  eachMode("a room that was left is not replayed", async (bench) => {
    const { socket, lose, mend, say, den } = await onWire(bench);
    const news = gather(socket, "news");
    await ask(socket, "leave", den);
    await lose();
    await say(den, "missed");
    await mend();
    await fence(socket);
    assert.deepEqual(news, []);
    assert.deepEqual(await ask(socket, "rooms"), [socket.id]);
  });

  test("without RECOVERY nobody is given a pid", async (bench) => {
    await bench.start({});
    const raw = await bench.raw();
    await raw.send("40");
    assert.deepEqual(Object.keys(await accepted(raw)), ["sid"]);
    assert.match(await raw.next(isEvent), /^42\["welcome",\{[^\]]*\}\]$/);
  });
}, { env: { RECOVERY: WINDOW }, concurrency: 4 });

/**
 * A client in the room `den` behind a wire of its own, and a speaker who sees it go. lose() cuts the
 * wire and waits until client and server know, the server if it is to be `seen`; mend() lets the client return.
 */
async function onWire(bench, { nsp = "/" } = {}) {
  const wire = bench.keep(await Wire.to(bench.server));
  const speaker = await bench.connect({ nsp });
  const socket = bench.keep(dial(wire, bench.mode, { nsp, ...EAGER }));
  await ready(socket, bench.mode);
  const den = `den ${socket.id}`;
  await ask(socket, "join", den);
  await ask(speaker, "join", "watch");

  const lose = async ({ idle = true, seen = true } = {}) => {
    if (idle) await fence(socket);
    if (idle && bench.mode.name === "polling") await wire.waitingGet();
    const { id } = socket;
    const gone = next(socket, "disconnect");
    const left = seen && next(speaker, "left", { accept: (who) => who === id });
    wire.cut();
    await Promise.all([gone, left]);
  };
  const mend = () => returned(socket, () => wire.mend(), bench.mode);
  const say = (room, value) => ask(speaker, "say", room, "news", value);
  return { socket, speaker, wire, lose, mend, say, den };
}

/** `socket` is welcomed again, and on its final transport. */
async function returned(socket, act, mode) {
  const back = next(socket, "welcome");
  await act();
  await back;
  const { engine } = socket.io;
  if (mode?.name === "upgraded" && engine.transport.name === "polling") await next(engine, "upgrade");
  // The server knows of that as well.
  await fence(socket);
}

/** Volatile events may be dropped, so this says it until it was heard. */
async function spoken(heard, speak) {
  let done = false;
  heard.then(() => (done = true), () => {});
  while (!done) await speak();
  await heard;
}

async function assertNew(socket, id) {
  assert.equal(socket.recovered, false);
  assert.notEqual(socket.id, id);
  assert.deepEqual(await ask(socket, "rooms"), [socket.id]);
  assert.equal(await ask(socket, "recovered"), false);
}

const isEvent = (packet) => packet.startsWith("42");

/** What the answer to CONNECT holds; `meanwhile` is given what comes before it. */
async function accepted(raw, meanwhile = () => {}) {
  const answer = await raw.next((packet) => packet.startsWith("40") || void meanwhile(packet));
  return JSON.parse(answer.slice(2));
}
