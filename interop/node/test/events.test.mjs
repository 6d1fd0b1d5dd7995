import assert from "node:assert/strict";
import { ask, fence, gather, modes, record } from "../support/client.mjs";
import { suite } from "../support/suite.mjs";
import { next, range } from "../support/wait.mjs";
import { values } from "../support/values.mjs";

const ODD_NAMES = ['with "quotes"', "back\\slash", "line\nbreak", "schön 雪 😀", "a,b/c-1[2]", ""];

suite("events", ({ test, eachMode }) => {
  eachMode("every kind of value survives the way there and back", async (bench) => {
    const socket = await bench.connect();
    for (const [what, value] of values) {
      const echoed = next(socket, "echo");
      socket.emit("echo", value);
      assert.deepEqual(await echoed, [value], what);
    }
  });

  eachMode("all values go in one event", async (bench) => {
    const socket = await bench.connect();
    const all = values.map(([, value]) => value);
    const echoed = next(socket, "echo");
    socket.emit("echo", ...all);
    assert.deepEqual(await echoed, all);
  });

  eachMode("an event may have no arguments", async (bench) => {
    const socket = await bench.connect();
    const echoed = next(socket, "echo");
    socket.emit("echo");
    assert.deepEqual(await echoed, []);
  });

  eachMode("values become what JSON makes of them", async (bench) => {
    const socket = await bench.connect();
    const echoed = next(socket, "echo");
    const date = new Date(0);
    socket.emit("echo", undefined, NaN, date, { gone: undefined, kept: 1 }, [undefined]);
    assert.deepEqual(await echoed, [null, null, date.toISOString(), { kept: 1 }, [null]]);
  });

  eachMode("half a surrogate pair survives", async (bench) => {
    const socket = await bench.connect();
    const echoed = next(socket, "echo");
    socket.emit("echo", "a\ud800b\udc00c");
    assert.deepEqual(await echoed, ["a\ud800b\udc00c"]);
  });

  eachMode("the server hears events of odd names", async (bench) => {
    const socket = await bench.connect();
    for (const name of ODD_NAMES) assert.deepEqual(await ask(socket, name, name), name);
  });

  eachMode("the server sends events of odd names", async (bench) => {
    const socket = await bench.connect();
    const log = record(socket);
    for (const name of ODD_NAMES) await ask(socket, "say", socket.id, name, 1);
    assert.deepEqual(log, ODD_NAMES.map((name) => [name, 1]));
  });

  eachMode("events that nobody handles do no harm", async (bench) => {
    const socket = await bench.connect();
    for (const name of ["nobody", "error", "constructor", "__proto__", "hasOwnProperty"]) socket.emit(name, 1);
    assert.equal(await ask(socket, "echo-ack", 1), 1);
  });

  eachMode("send() is the event called message", async (bench) => {
    const socket = await bench.connect();
    const message = next(socket, "message");
    await ask(socket, "say", socket.id, "message", "a", 2);
    assert.deepEqual(await message, ["a", 2]);
    socket.send("unheard");
    assert.equal(await ask(socket, "echo-ack", 1), 1);
  });

  eachMode("big text survives", async (bench) => {
    const socket = await bench.connect();
    // Neither ASCII alone nor a power of two, to catch lengths counted in the wrong unit.
    for (const size of [125, 126, 65_535, 65_536, 200_003]) {
      const text = "aß雪😀".repeat(Math.ceil(size / 10)).slice(0, size);
      assert.equal(await ask(socket, "echo-ack", text), text, `${size} units`);
    }
  });

  eachMode("more than one payload's worth at once is sent in several", async (bench) => {
    const socket = await bench.connect();
    const text = "x".repeat(100_000);
    const answers = await Promise.all(range(30).map((i) => ask(socket, "echo-ack", i, text)));
    // Only the first argument of an acknowledgement reaches emitWithAck.
    assert.deepEqual(answers, range(30));
  });

  eachMode("1000 events echo in order", async (bench) => {
    const socket = await bench.connect();
    const echoes = gather(socket, "echo");
    for (const i of range(1000)) socket.emit("echo", i);
    await fence(socket);
    assert.deepEqual(echoes, range(1000));
  });

  eachMode("a burst of the server arrives whole, in order, and before its answer", async (bench) => {
    const socket = await bench.connect();
    const ticks = gather(socket, "tick");
    assert.equal(await ask(socket, "burst", 2000), 2000);
    assert.deepEqual(ticks, range(2000));
  });

  eachMode("what a socket keeps is its own", async (bench) => {
    const [one, two] = await bench.connectAll(2);
    await ask(one, "set-data", { name: "one" });
    assert.deepEqual(await ask(one, "get-data"), { name: "one" });
    assert.equal(await ask(two, "get-data"), null);
  });

  eachMode("every event is handled exactly once", async (bench) => {
    const socket = await bench.connect();
    for (let i = 0; i < 500; i++) socket.emit("count", "a");
    assert.equal(await ask(socket, "count", "b"), 1);
    assert.equal(await ask(socket, "count", "a"), 501);
  });

  test("the two ends of a mixed pair understand each other", async (bench) => {
    for (const from of modes) {
      for (const to of modes) {
        const [sender, receiver] = [await bench.connect({ mode: from }), await bench.connect({ mode: to })];
        const heard = next(receiver, "hello");
        sender.emit("say", receiver.id, "hello", from.name);
        assert.deepEqual(await heard, [from.name]);
      }
    }
  });
});
