// The hub and its satellites, as whoever starts them sees them, and strangers that come with the official client.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { io } from "socket.io-client";
import { App, within } from "./app.mjs";

const BIN = process.env.BIN_DIR ?? join(fileURLToPath(new URL("../../../", import.meta.url)), "target/debug");

/** With heartbeats that a test which is held up for a while does not miss. */
const CALM = { PING_SECONDS: "20" };

async function withHub(args, use, env = CALM) {
  const app = await App.start("satellites", { args, env });
  try {
    await use(app);
  } finally {
    await app.close();
  }
}

/** Waits for a line of the traffic that has all of `wanted`, of those from `from` on. */
async function sees(app, wanted, from = 0) {
  const fits = (line) => {
    if (!line.startsWith("{")) return false;
    const seen = JSON.parse(line);
    return Object.entries(wanted).every(([key, value]) =>
      typeof value === "function" ? value(seen[key]) : JSON.stringify(seen[key]) === JSON.stringify(value));
  };
  return JSON.parse(await app.says({ test: fits, toString: () => JSON.stringify(wanted) }, from));
}

/** A satellite of the tests, connected; `group` is that of a second namespace. */
async function satellite(app, auth, namespace = "/") {
  const socket = io(`${app.url}${namespace}`, { auth, forceNew: true, reconnection: false });
  await within(new Promise((resolve, reject) => socket.on("connect", resolve).on("connect_error", reject)), "connect");
  return socket;
}

const heard = (socket, event) => within(new Promise((resolve) => socket.once(event, resolve)), event);
/**
 * What has come to a socket until now: all that was sent before the answer to its own speech. What it is to observe
 * comes at any time.
 */
async function until(socket, use) {
  const events = [];
  const note = (...event) => events.push(event);
  socket.onAny(note);
  await use();
  const end = heard(socket, "heard");
  socket.emit("speak", { text: "end", to: { satellite: "nobody" } });
  await end;
  socket.offAny(note);
  return events.filter(([name]) => !["heard", "observe"].includes(name));
}

test("three satellites in two languages speak, are heard, and observe what they are asked to", () =>
  withHub([], async (app) => {
    for (const name of ["vega", "deneb", "altair"]) {
      await sees(app, { who: "hub", event: "rises", args: name });
      await sees(app, { who: name, way: "sends", event: "speak" });
      await sees(app, { who: name, way: "hears", event: "heard" });
      await sees(app, { who: name, way: "hears", event: "cool-thing-happened" });
      await sees(app, { who: name, way: "hears", event: "observe" });
      await sees(app, { who: "hub", way: "hears", event: "static", peer: `from ${name}` });
    }
    await sees(app, { who: "vega", way: "hears", event: "incoming-message" });
    await sees(app, { who: "altair", way: "hears", event: "incoming-message" });
    await sees(app, { who: "hub", event: "observed" });
  }));

// So long that a signal comes while it looks, and not so long that the hub gives its work to another for that alone.
const LOOKS_LONG = { LOOK_MS: "2500" };

for (const [signal, how, env] of [["SIGKILL", "dies", { ...LOOKS_LONG, ...CALM }], ["SIGSTOP", "hangs", LOOKS_LONG]]) {
  test(`a satellite that ${how} is noticed, and its work is given to another`, () =>
    withHub([], async (app) => {
      for (const name of ["vega", "deneb", "altair"]) await sees(app, { event: "rises", args: name });
      const { args: { pid } } = await sees(app, { event: "started", args: (args) => args.name === "deneb" });
      // It has been asked, and looks.
      const asked = await sees(app, { who: "deneb", way: "hears", event: "observe" }, app.lines.length);
      const from = app.lines.length;
      process.kill(pid, signal);
      try {
        await sees(app, { event: "sets", args: ([name]) => name === "deneb" }, from);
        const isItsWork = ({ sector }) => sector === asked.args[0];
        await sees(app, { event: "given-to-another", args: isItsWork }, from);
        await sees(app, { event: "observed", args: isItsWork }, from);
        const next = app.lines.length;
        await sees(app, { event: "observed" }, next);
      } finally {
        if (signal === "SIGSTOP") process.kill(pid, "SIGKILL");
      }
    }, env));
}

test("a speech goes to all, to one, to a group or to a subgroup, and to nobody else", () =>
  withHub(["hub"], async (app) => {
    const ada = await satellite(app, { name: "ada" });
    const bob = await satellite(app, { name: "bob" });
    const low = await satellite(app, { name: "low", subgroup: "north" }, "/groups/low");
    const lower = await satellite(app, { name: "lower", subgroup: "south" }, "/groups/low");
    const high = await satellite(app, { name: "high", subgroup: "north" }, "/groups/high");
    const groups = { low, lower, high };
    const came = Object.fromEntries(Object.keys(groups).map((name) => [name, []]));
    for (const [name, socket] of Object.entries(groups)) socket.onAny((...event) => came[name].push(event));
    const says = async (to, text) => {
      const answer = heard(ada, "heard");
      ada.emit("speak", { text, to });
      return answer;
    };

    const toBob = await until(bob, async () => {
      assert.deepEqual(await says("all", "1"), { text: "1", reached: 1 });
      assert.deepEqual(await says({ satellite: "bob" }, "2"), { text: "2", reached: 1 });
      assert.deepEqual(await says({ satellite: "zoe" }, "3"), { text: "3", reached: 0 });
      const [first, second] = [heard(low, "incoming-message"), heard(lower, "incoming-message")];
      assert.deepEqual(await says({ group: "low" }, "4"), { text: "4", reached: 2 });
      await Promise.all([first, second]);
      const third = heard(low, "incoming-message");
      assert.deepEqual(await says({ subgroup: ["low", "north"] }, "5"), { text: "5", reached: 1 });
      await third;
      const last = heard(high, "incoming-message");
      assert.deepEqual(await says({ subgroup: ["high", "north"] }, "6"), { text: "6", reached: 1 });
      await last;
      assert.deepEqual(await says({ group: "nowhere" }, "7"), { text: "7", reached: 0 });
    });
    const message = (text) => ["incoming-message", { from: "ada", text }];
    assert.deepEqual(toBob, [["cool-thing-happened", { from: "ada", text: "1" }], message("2")]);
    assert.deepEqual(came, { low: [message("4"), message("5")], lower: [message("4")], high: [message("6")] });
    for (const socket of [ada, bob, low, lower, high]) socket.disconnect();
  }));

test("what is wrong is refused with a reason, and hurts nobody", () =>
  withHub(["hub"], async (app) => {
    for (const auth of [{}, { name: "" }, { name: "x".repeat(21) }, { name: "a b" }, { name: 7 }, { name: "a", subgroup: "" }]) {
      await assert.rejects(satellite(app, auth), Error, JSON.stringify(auth));
    }
    await assert.rejects(satellite(app, { name: "" }), /a name has 1 to 20 letters, digits and dashes/);
    const ada = await satellite(app, { name: "ada" });
    for (const [speech, code] of [[7, "invalid"], [{ text: 7 }, "invalid"], [{ text: "x", to: "her" }, "invalid"], [{ text: "x".repeat(1001) }, "TOO_LONG"]]) {
      const { error } = await within(ada.emitWithAck("speak", speech), "the answer");
      assert.ok(error && typeof error.message === "string", JSON.stringify([speech, error]));
      if (code === "TOO_LONG") assert.equal(error.code, code);
    }
    ada.emit("no-such-event", { deep: JSON.parse("[".repeat(50) + "]".repeat(50)) });
    // Far more than it may: they wait, and none is lost.
    const answers = await within(Promise.all(Array.from({ length: 200 }, (_, n) => ada.emitWithAck("speak", { text: `${n}` }))), "all answers");
    assert.equal(answers.length, 200);
    const bob = await satellite(app, { name: "bob" });
    bob.emit("speak", { text: "x".repeat(2_000_000) });
    await heard(bob, "disconnect");
    assert.equal((await until(ada, () => {})).length, 0);
    ada.disconnect();
  }));

test("a satellite that comes back takes the place of what was left of it", () =>
  withHub(["hub"], async (app) => {
    const old = await satellite(app, { name: "ada" });
    const gone = heard(old, "disconnect");
    const ada = await satellite(app, { name: "ada" });
    await gone;
    const bob = await satellite(app, { name: "bob" });
    const message = heard(ada, "incoming-message");
    bob.emit("speak", { text: "once", to: { satellite: "ada" } });
    assert.deepEqual(await message, { from: "bob", text: "once" });
    ada.disconnect();
    bob.disconnect();
  }));

test("satellites come back by themselves after a crash of the hub, and after a restart", () =>
  withHub(["hub"], async (app) => {
    const names = ["a", "b", "c", "d", "e"];
    const programs = names.map((name) => spawn(join(BIN, "satellites"), ["satellite", app.url, name, "low", "north"]));
    try {
      for (const end of ["kill", "stop"]) {
        for (const name of names) await sees(app, { event: "rises", args: name });
        await app[end]();
        const from = app.lines.length;
        await app.again();
        for (const name of names) await sees(app, { event: "rises", args: name }, from);
      }
    } finally {
      for (const program of programs) {
        const ended = once(program, "exit");
        program.kill("SIGKILL");
        await ended;
      }
    }
  }));

test("the cheat sheet says what arrived where", async () => {
  const program = spawn(join(BIN, "cheat-sheet"), ["--json"]);
  const ended = once(program, "exit");
  const arrived = new Map();
  for await (const line of createInterface({ input: program.stdout })) {
    const { line: code, arrived: where } = JSON.parse(line);
    arrived.set(code, where);
  }
  assert.deepEqual(await within(ended, "its end"), [0, null]);
  const all = (event) => ({ altair: [event], deneb: [event], vega: [event] });
  const is = (code, where) => assert.deepEqual(arrived.get(code), where, code);
  assert.ok(arrived.size >= 29, `${arrived.size} lines`);
  is('socket.emit("hello", (1, "2", json!({ "3": "4" })))', { vega: ['hello(1,"2",{"3":"4"})'] });
  is('socket.send("hello")', { vega: ['message("hello")'] });
  is('socket.others().emit("hello", ())', { deneb: ["hello()"], altair: ["hello()"] });
  is('socket.to("a").emit("hello", ())', { deneb: ["hello()"] });
  is('socket.except("a").emit("hello", ())', { altair: ["hello()"] });
  is('io.emit("hello", ())', all("hello()"));
  is('io.to("a").emit("hello", ())', { vega: ["hello()"], deneb: ["hello()"] });
  is('io.of("/admin").emit("hello", ())', { vega: ["/admin hello()"] });
  is('io.of("/admin").to("nobody").emit("hello", ())', {});
  is('io.to("b").emit("hello", "to the third again")', { altair: ['hello("to the third again")'] });
  is('io.emit("nobody-listens-to-this", ())', all("nobody-listens-to-this()"));
});
