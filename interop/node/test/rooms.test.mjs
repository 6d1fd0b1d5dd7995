import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { ask, fence, mixed, record } from "../support/client.mjs";
import { suite } from "../support/suite.mjs";
import { next, range } from "../support/wait.mjs";

suite("rooms", ({ eachMode }) => {
  eachMode("a socket begins in the room of its own id", async (bench) => {
    const socket = await bench.connect();
    assert.deepEqual(await ask(socket, "rooms"), [socket.id]);
    assert.deepEqual(await ask(socket, "members", socket.id), [socket.id]);
  });

  eachMode("join and leave", async (bench) => {
    const socket = await bench.connect();
    const den = own("den");
    for (const room of [den, den, "hall", "", "schön 😀"]) assert.equal(await ask(socket, "join", room), true);
    assert.deepEqual((await ask(socket, "rooms")).toSorted(), ["", den, "hall", "schön 😀", socket.id].toSorted());
    for (const room of [den, "never joined", ""]) assert.equal(await ask(socket, "leave", room), true);
    assert.deepEqual((await ask(socket, "rooms")).toSorted(), ["hall", "schön 😀", socket.id].toSorted());
    assert.deepEqual(await ask(socket, "members", den), []);
  });

  eachMode("members are all who joined", async (bench) => {
    const crowd = await bench.connectAll(9, (i) => ({ mode: mixed(i) }));
    const den = own("den");
    await joinAll(crowd, den);
    const members = await ask(crowd[0], "members", den);
    assert.deepEqual(members.toSorted(), crowd.map((socket) => socket.id).toSorted());
  });

  eachMode("who speaks to a room is heard by its members alone", async (bench) => {
    await expectHearing(bench, ["say", "den"], { me: true, den: true, both: true });
  });

  eachMode("one may speak to a room without being in it", async (bench) => {
    await expectHearing(bench, ["say", "hall"], { hall: true, both: true });
  });

  eachMode("speaking to others leaves out the speaker", async (bench) => {
    await expectHearing(bench, ["say-others", "den"], { den: true, both: true });
  });

  eachMode("except leaves out a room", async (bench) => {
    await expectHearing(bench, ["say-except", "den", "hall"], { me: true, den: true });
  });

  eachMode("two rooms at once are heard once", async (bench) => {
    await expectHearing(bench, ["say-rooms", ["den", "hall"]], { me: true, den: true, hall: true, both: true });
  });

  eachMode("no rooms given means everybody", async (bench) => {
    await expectHearing(bench, ["say-rooms", []], { me: true, den: true, hall: true, both: true, outside: true });
  });

  eachMode("everybody means everybody", async (bench) => {
    await expectHearing(bench, ["say-all"], { me: true, den: true, hall: true, both: true, outside: true });
  });

  eachMode("an empty room hears nothing", async (bench) => {
    await expectHearing(bench, ["say", "empty"], {});
  });

  eachMode("one socket is reached by its id", async (bench) => {
    const [one, two, three] = await bench.connectAll(3);
    const logs = [one, two, three].map(record);
    await ask(one, "say", two.id, "psst", { a: 1 });
    await fence(one, two, three);
    assert.deepEqual(logs, [[], [["psst", { a: 1 }]], []]);
  });

  eachMode("one socket is left out by its id", async (bench) => {
    const [one, two, three] = await bench.connectAll(3);
    await joinAll([one, two, three], "trio");
    const logs = [one, two, three].map(record);
    await ask(one, "say-except", "trio", two.id, "psst");
    await fence(one, two, three);
    assert.deepEqual(logs, [[["psst"]], [], [["psst"]]]);
  });

  eachMode("who has left hears nothing more", async (bench) => {
    const [one, two] = await bench.connectAll(2);
    await joinAll([one, two], "den");
    const log = record(two);
    await ask(one, "say", "den", "first");
    await ask(two, "leave", "den");
    await ask(one, "say", "den", "second");
    await fence(two);
    assert.deepEqual(log, [["first"]]);
  });

  for (const [how, leave] of [
    ["disconnects", (socket) => socket.disconnect()],
    ["is put out", (socket) => socket.emit("kick", false)],
    ["loses its connection", (socket) => socket.io.engine.close()],
  ]) {
    eachMode(`a socket that ${how} has left its rooms`, async (bench) => {
      const watcher = await bench.connect();
      await ask(watcher, "join", "watch");
      const socket = await bench.connect();
      const den = own("den");
      await ask(socket, "join", den);
      const { id } = socket;
      const left = next(watcher, "left", { accept: (who) => who === id });
      leave(socket);
      await left;
      assert.deepEqual(await ask(watcher, "members", den), []);
      assert.deepEqual(await ask(watcher, "members", id), []);
    });
  }

  eachMode("joining and leaving 100 rooms at once ends as it should", async (bench) => {
    const socket = await bench.connect();
    await Promise.all(range(100).map((i) => ask(socket, "join", `room ${i}`)));
    await Promise.all(range(100).filter((i) => i % 2).map((i) => ask(socket, "leave", `room ${i}`)));
    assert.equal((await ask(socket, "rooms")).length, 51);
  });

  eachMode("a poll collects the answers of a room", async (bench) => {
    const crowd = await bench.connectAll(6, (i) => ({ mode: mixed(i) }));
    const panel = own("panel");
    await joinAll(crowd, panel);
    crowd.forEach((socket, i) => socket.on("poll", (answer) => answer(i)));
    const { answers, missing } = await ask(crowd[0], "ask-room", panel, 60_000);
    assert.deepEqual(answers.toSorted(), range(6));
    assert.equal(missing, 0);
  });

  eachMode("a poll of an empty room ends at once", async (bench) => {
    const socket = await bench.connect();
    // The deadline lies beyond the patience of ask, so waiting for it would fail.
    assert.deepEqual(await ask(socket, "ask-room", "empty", 60_000), { answers: [], missing: 0 });
  });

  eachMode("a late answer to a poll does no harm", async (bench) => {
    const socket = await bench.connect();
    const late = own("late");
    await ask(socket, "join", late);
    const polled = next(socket, "poll");
    const outcome = ask(socket, "ask-room", late, 100);
    const [answer] = await polled;
    assert.deepEqual(await outcome, { answers: [], missing: 1 });
    answer("late");
    assert.equal(await ask(socket, "echo-ack", 1), 1);
  });

  eachMode("50 polls at once keep their answers apart", async (bench) => {
    const crowd = await bench.connectAll(3);
    const panels = range(3).map((i) => own(`panel ${i}`));
    for (const [i, socket] of crowd.entries()) {
      await ask(socket, "join", panels[i]);
      socket.on("poll", (answer) => answer(i));
    }
    const polls = range(50).map((n) => ask(crowd[0], "ask-room", panels[n % 3], 60_000));
    assert.deepEqual(await Promise.all(polls), range(50).map((n) => ({ answers: [n % 3], missing: 0 })));
  });
});

suite("rooms that answer late", ({ eachMode }) => {
  eachMode("a poll that runs out of time gives what it has", async (bench) => {
    const crowd = await bench.connectAll(6, (i) => ({ mode: mixed(i) }));
    const partial = own("partial");
    await joinAll(crowd, partial);
    crowd.forEach((socket, i) => i % 3 && socket.on("poll", (answer) => answer({ i })));
    // Time enough for answers on a machine that stalls.
    const { answers, missing } = await ask(crowd[0], "ask-room", partial, 5_000);
    assert.deepEqual(answers.map(({ i }) => i).toSorted(), [1, 2, 4, 5]);
    assert.equal(missing, 2);
  });
}, { concurrency: 3 });

/** A room of this test alone: clients of the one before may not have left theirs yet. */
const own = (room) => `${room} ${randomUUID()}`;

async function joinAll(sockets, room) {
  await Promise.all(sockets.map((socket) => ask(socket, "join", room)));
}

/** Five sockets: the speaker and one in den, one in hall, one in both, one outside. */
async function expectHearing(bench, [verb, ...target], expected) {
  const names = ["me", "den", "hall", "both", "outside"];
  const sockets = await bench.connectAll(5, (i) => (i === 0 ? {} : { mode: mixed(i) }));
  const [me, den, hall, both] = sockets;
  await joinAll([me, den, both], "den");
  await joinAll([hall, both], "hall");
  const logs = sockets.map(record);
  await ask(me, verb, ...target, "heard", "a", { b: 1 });
  await fence(...sockets);
  const heard = [["heard", "a", { b: 1 }]];
  const wanted = names.map((name) => [name, expected[name] ? heard : []]);
  assert.deepEqual(names.map((name, i) => [name, logs[i]]), wanted);
}
