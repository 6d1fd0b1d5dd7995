// Clients that are lost at one server and come back at another, over Redis Streams: each pair of an official server and
// the server under test (SERVER, see ../README.md).
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createClient } from "redis";
import { next, PATIENCE, within } from "../../node/support/wait.mjs";
import { kinds, ServerProcess } from "../servers.mjs";
import { Redis } from "../services.mjs";
import { Client, gone, until } from "./client.mjs";

const ROUNDS = 20;

for (const one of kinds) {
  for (const other of kinds) {
    describe(`lost at ${one}, back at ${other}`, () => pair(one, other));
  }
}

function pair(one, other) {
  let redis;
  let servers;
  const open = [];
  const connect = async (server, options) => {
    const client = await Client.connect(server, options);
    open.push(client);
    return client;
  };

  before(async () => {
    redis = await Redis.start();
    servers = await Promise.all([one, other].map((kind) => ServerProcess.start(kind, options(redis))));
  });
  after(async () => {
    for (const client of open) client.close();
    await Promise.all(servers.map((server) => server.stop()));
    await redis.stop();
  });

  test("what was missed comes once and in order, whoever has sent it", async () => {
    const speakers = await Promise.all(servers.map((server) => connect(server)));
    const lost = await connect(servers[0], { room: "blue" });
    for (const speaker of speakers) await speaker.do("emit", { event: "before", args: [] });
    await lost.hears("before", 2);
    const { id } = lost;

    await lost.isCutOff();
    await gone(speakers[0], id);
    const expected = speakers.map(() => []);
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [i, speaker] of speakers.entries()) {
        const say = async (selection, isFor, what = Buffer.from([round])) => {
          await speaker.do("emit", { ...selection, event: `of ${i}`, args: [round, JSON.stringify(selection), what] });
          if (isFor) expected[i].push([round, JSON.stringify(selection)]);
        };
        await say({}, true);
        await say({ rooms: ["blue"] }, true, "text");
        await say({ rooms: ["red"] }, false);
        await say({ except: ["blue"] }, false);
        await say({ rooms: [id] }, true);
        await say({ rooms: ["blue", "red", id] }, true);
      }
    }
    await lost.comesBack(servers[1]);
    assert.equal(lost.socket.recovered, true);
    assert.equal(lost.socket.id, id);
    for (const speaker of speakers) await speaker.do("emit", { event: "behind", args: [] });
    await lost.hears("behind", 2);
    for (const i of speakers.keys()) {
      assert.deepEqual(lost.heard(`of ${i}`).map(([round, selection]) => [round, selection]), expected[i]);
    }
    // It is in its rooms again, for all.
    for (const speaker of speakers) await speaker.do("emit", { rooms: ["blue"], event: "blue", args: [] });
    await lost.hears("blue", 2);
    assert.equal((await speakers[0].do("fetch", { rooms: ["blue"] })).length, 1);
  });

  test("a client that comes and goes loses nothing", async () => {
    const [speaker] = [await connect(servers[1])];
    const lost = await connect(servers[0], { room: "green" });
    await speaker.do("emit", { event: "first", args: [] });
    await lost.hears("first");
    const expected = [];
    for (let round = 0; round < 6; round += 1) {
      await lost.isCutOff();
      await gone(speaker, lost.socket.io.opts.ownId);
      for (let i = 0; i < 5; i += 1) {
        await speaker.do("emit", { rooms: ["green"], event: "news", args: [round, i, "x"] });
        expected.push([round, i]);
      }
      await lost.comesBack(servers[(round + 1) % 2]);
      assert.equal(lost.socket.recovered, true, `in round ${round}`);
    }
    await speaker.do("emit", { event: "last", args: [] });
    await lost.hears("last");
    assert.deepEqual(lost.heard("news").map(([round, i]) => [round, i]), expected);
  });

  test("who wanted to go does not come back", async () => {
    const speaker = await connect(servers[0]);
    const left = await connect(servers[0]);
    await speaker.do("emit", { event: "first", args: [] });
    await left.hears("first");
    const { id } = left;
    const { _pid: pid, _lastOffset: offset } = left.socket;
    left.socket.disconnect();
    await gone(speaker, id);
    const back = await connect(servers[1], { auth: { pid, offset } });
    assert.equal(back.socket.recovered, false);
    assert.notEqual(back.id, id);
  });

  // An official server gives it a new socket, as it does within one process.
  test("a connection that lives on is ended for the new one", { skip: [one, other].includes("node") }, async () => {
    const old = await connect(servers[0]);
    const speaker = await connect(servers[1]);
    await speaker.do("emit", { event: "first", args: [] });
    await old.hears("first");
    const { _pid: pid, _lastOffset: offset } = old.socket;
    const ended = next(old.socket, "disconnect");
    const back = await connect(servers[1], { auth: { pid, offset } });
    await ended;
    assert.equal(back.id, old.id);
  });

  test("the clients of a server that ends have their sockets at another", async () => {
    const ending = await ServerProcess.start(one, options(redis));
    const speaker = await connect(servers[1]);
    const lost = await connect(ending, { room: "yellow" });
    await speaker.do("emit", { event: "first", args: [] });
    await lost.hears("first");
    const { id } = lost;
    const disconnected = next(lost.socket, "disconnect");
    await Promise.all([disconnected, ending.stop()]);
    await speaker.do("emit", { rooms: ["yellow"], event: "missed", args: [] });
    await lost.comesBack(servers[1]);
    assert.equal(lost.id, id);
    assert.equal(lost.socket.recovered, true);
    await lost.hears("missed");
  });

  const isOurs = one === "rust" && other === "rust";
  test("what Redis refuses reaches the own clients, and nobody recovers across it", { skip: !isOurs }, async () => {
    const [speaker, stays, lost] = await Promise.all([0, 0, 0].map((i) => connect(servers[i])));
    await speaker.do("emit", { event: "first", args: [] });
    await lost.hears("first");
    await lost.isCutOff();
    await gone(speaker, lost.id);
    const admin = await createClient({ url: redis.url }).connect();
    open.push(admin);
    await admin.configSet("maxmemory", "1");
    await speaker.do("emit", { event: "refused", args: [] });
    await stays.hears("refused");
    await admin.configSet("maxmemory", "0");
    // The other servers are told of the gap by an entry of their own kind.
    const isTold = async () => {
      const entries = await admin.xRevRange("socket.io", "+", "-", { COUNT: 10 });
      return entries.some(({ message }) => message.type === "100");
    };
    await within(PATIENCE, "the gap to be told", until(isTold));
    await lost.comesBack(servers[1]);
    assert.equal(lost.socket.recovered, false);
  });

  test("who leaves behind an event hears it", { skip: !isOurs }, async () => {
    const speakers = await Promise.all(servers.map((server) => connect(server)));
    for (let round = 0; round < ROUNDS; round += 1) {
      const room = `leaving ${round}`;
      const members = await Promise.all(servers.map((server) => connect(server, { room })));
      const [speaker] = speakers;
      // Both are on their way before either is answered.
      await Promise.all([
        speaker.do("emit", { rooms: [room], event: "last", args: [] }),
        speaker.do("leave", { rooms: [room], from: [room] }),
      ]);
      for (const member of members) await member.hears("last");
    }
  });

  test("an offset that nobody was given brings nobody back", async () => {
    const speaker = await connect(servers[0]);
    const lost = await connect(servers[0]);
    await speaker.do("emit", { event: "first", args: [] });
    await lost.hears("first");
    const { id } = lost;
    await lost.isCutOff();
    await gone(speaker, id);
    lost.socket._lastOffset = "9999999999999-0";
    await lost.comesBack(servers[1]);
    assert.equal(lost.socket.recovered, false);
  });
}

const options = ({ url }) => ["--engine", "streams", "--url", url, "--recovery", "yes"];
