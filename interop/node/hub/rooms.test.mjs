// The hub's own events, asked with the official client. HUB_URL names a running hub in dev mode
// (tools/with-hub starts one).

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, test } from "node:test";
import { io } from "socket.io-client";

const URL = process.env.HUB_URL;
assert.ok(URL, "HUB_URL is not set: run this by `make test-hub`");

const sockets = [];
after(() => sockets.forEach((socket) => socket.disconnect()));

function once(socket, event) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event} within 5 s`)), 5000);
    socket.once(event, (...args) => {
      clearTimeout(timer);
      resolve(args);
    });
  });
}

async function client(options = {}) {
  const socket = io(URL, { forceNew: true, transports: ["websocket"], ...options });
  sockets.push(socket);
  await once(socket, "connect");
  return socket;
}

const call = (socket, ...args) => socket.timeout(5000).emitWithAck(...args);

async function refused(socket, code, ...args) {
  const answer = await call(socket, ...args);
  assert.equal(answer.ok, false, JSON.stringify(answer));
  assert.equal(answer.error.code, code);
  assert.equal(typeof answer.error.message, "string");
}

const freshRoom = () => `room-${randomUUID()}`;

test("joining answers with the members and tells the room, the new one too", async () => {
  const [ada, bob] = await Promise.all([client(), client({ transports: ["polling"] })]);
  const room = freshRoom();
  const own = once(ada, "room:joined");
  assert.deepEqual(await call(ada, "room:join", room), { ok: true, room, members: [ada.id] });
  assert.deepEqual(await own, [{ room, id: ada.id }]);
  const heard = once(ada, "room:joined");
  const answer = await call(bob, "room:join", room);
  assert.deepEqual(answer.members.toSorted(), [ada.id, bob.id].toSorted());
  assert.deepEqual(await heard, [{ room, id: bob.id }]);
});

test("joining twice tells nobody again", async () => {
  const ada = await client();
  const room = freshRoom();
  const heard = [];
  ada.on("room:joined", (event) => heard.push(event));
  await call(ada, "room:join", room);
  await call(ada, "room:join", room);
  assert.equal(heard.length, 1);
});

test("an event reaches the room as it was sent, binary included, the sender too", async () => {
  const [ada, bob] = await Promise.all([client(), client()]);
  const room = freshRoom();
  await call(ada, "room:join", room);
  await call(bob, "room:join", room);
  const both = [once(ada, "draw"), once(bob, "draw")];
  const bytes = Buffer.from([0, 1, 2, 255]);
  const answer = await call(ada, "room:emit", room, "draw", { at: [1, 2] }, bytes, "é😀", null);
  assert.deepEqual(answer, { ok: true, room, delivered: 2 });
  for (const args of await Promise.all(both)) {
    assert.deepEqual(args, [{ at: [1, 2] }, bytes, "é😀", null]);
  }
});

test("leaving and losing the connection are heard by the others", async () => {
  const [ada, bob] = await Promise.all([client(), client()]);
  const room = freshRoom();
  await call(ada, "room:join", room);
  await call(bob, "room:join", room);
  const { id } = bob;
  const left = once(ada, "room:left");
  assert.deepEqual(await call(bob, "room:leave", room), { ok: true, room });
  assert.deepEqual(await left, [{ room, id }]);
  await call(bob, "room:join", room);
  const lost = once(ada, "room:left");
  bob.disconnect();
  assert.deepEqual(await lost, [{ room, id }]);
  assert.deepEqual((await call(ada, "room:members", room)).members, [ada.id]);
});

test("only members may emit", async () => {
  const [ada, bob] = await Promise.all([client(), client()]);
  const room = freshRoom();
  await call(bob, "room:join", room);
  await refused(ada, "not_a_member", "room:emit", room, "hello");
  await refused(ada, "not_a_member", "room:leave", room);
});

test("nobody can join or speak to the room of another socket's id", async () => {
  const [ada, bob] = await Promise.all([client(), client()]);
  await refused(ada, "invalid_room", "room:join", bob.id);
  await refused(ada, "invalid_room", "room:emit", bob.id, "hello");
});

test("what does not fit is named by a code", async () => {
  const ada = await client();
  await refused(ada, "invalid_arguments", "room:join");
  await refused(ada, "invalid_arguments", "room:join", 7);
  await refused(ada, "invalid_arguments", "room:join", { room: "x" });
  await refused(ada, "invalid_room", "room:join", "");
  await refused(ada, "invalid_room", "room:join", "x".repeat(257));
  const room = freshRoom();
  await call(ada, "room:join", room);
  await refused(ada, "invalid_arguments", "room:emit", room);
  await refused(ada, "invalid_arguments", "room:emit", room, 5);
  for (const event of ["room:joined", "room:left", "connect", "disconnect", "newListener"]) {
    await refused(ada, "invalid_event", "room:emit", room, event);
  }
});

test("a socket may be in a thousand rooms and no more", async () => {
  const ada = await client();
  const name = freshRoom();
  const joins = Array.from({ length: 1000 }, (_, i) => call(ada, "room:join", `${name}-${i}`));
  assert.ok((await Promise.all(joins)).every((answer) => answer.ok));
  await refused(ada, "too_many_rooms", "room:join", `${name}-more`);
  await call(ada, "room:leave", `${name}-0`);
  assert.equal((await call(ada, "room:join", `${name}-more`)).ok, true);
});
