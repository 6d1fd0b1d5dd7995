// Clients that are lost at one server and come back at another, over a log in PostgreSQL: what only we have.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import pg from "pg";
import { Emitter } from "@socket.io/postgres-emitter";
import { PATIENCE, within } from "../../node/support/wait.mjs";
import { ServerProcess } from "../servers.mjs";
import { Postgres } from "../services.mjs";
import { Client, gone, until } from "./client.mjs";

const ROUNDS = 20;
/** More than a notification has. */
const LARGE = "x".repeat(20_000);

let postgres;
let url;
let servers;
let pool;
const open = [];
const connect = async (server, options) => {
  const client = await Client.connect(server, options);
  open.push(client);
  return client;
};
const start = (engine = "postgres-log") =>
  ServerProcess.start("rust", ["--engine", engine, "--url", url, "--recovery", "yes"]);

before(async () => {
  postgres = await Postgres.start();
  url = await postgres.database();
  pool = new pg.Pool({ connectionString: url });
  servers = await Promise.all([start(), start()]);
});
after(async () => {
  for (const client of open) client.close();
  await Promise.all(servers.map((server) => server.stop()));
  await pool.end();
  await postgres.stop();
});

/** A client at the first server that has heard something, and was lost. */
async function lostClient(speaker, options) {
  const lost = await connect(servers[0], options);
  await speaker.do("emit", { event: "first", args: [] });
  await lost.hears("first");
  await lost.isCutOff();
  await gone(speaker, lost.id);
  return lost;
}

test("what was missed comes once and in order, whoever has sent it", async () => {
  const speakers = await Promise.all(servers.map((server) => connect(server)));
  const lost = await lostClient(speakers[1], { room: "blue" });
  const expected = speakers.map(() => []);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [i, speaker] of speakers.entries()) {
      for (const [what, rooms, isFor] of [
        [Buffer.from([round]), ["blue"], true],
        [LARGE, [], true],
        ["text", ["red"], false],
        ["text", [lost.id], true],
      ]) {
        await speaker.do("emit", { rooms, event: `of ${i}`, args: [round, rooms, what] });
        if (isFor) expected[i].push([round, rooms]);
      }
    }
  }
  await lost.comesBack(servers[1]);
  assert.equal(lost.socket.recovered, true);
  assert.equal(lost.socket.id, lost.id);
  for (const speaker of speakers) await speaker.do("emit", { event: "behind", args: [] });
  await lost.hears("behind", 2);
  for (const i of speakers.keys()) {
    assert.deepEqual(lost.heard(`of ${i}`).map(([round, rooms]) => [round, rooms]), expected[i]);
  }
});

test("a server that comes later knows what was said before", async () => {
  const speaker = await connect(servers[1]);
  const lost = await lostClient(speaker, { room: "green" });
  for (let i = 0; i < 250; i += 1) await speaker.do("emit", { rooms: ["green"], event: "missed", args: [i] });
  const later = await start();
  await lost.comesBack(later);
  assert.equal(lost.socket.recovered, true);
  await lost.hears("missed", 250);
  assert.deepEqual(lost.heard("missed").map(([i]) => i), [...Array(250).keys()]);
  lost.close();
  await later.stop();
});

test("the clients of a server that ends have their sockets at another", async () => {
  const ending = await start();
  const speaker = await connect(servers[1]);
  const lost = await connect(ending, { room: "yellow" });
  await speaker.do("emit", { event: "first", args: [] });
  await lost.hears("first");
  await ending.stop();
  await speaker.do("emit", { rooms: ["yellow"], event: "missed", args: [] });
  await lost.comesBack(servers[1]);
  assert.equal(lost.socket.recovered, true);
  await lost.hears("missed");
});

// What is in no table cannot be brought.
test("nobody recovers across an event of who writes no log", async () => {
  for (const how of ["emitter", "server"]) {
    const speaker = await connect(servers[1]);
    const stays = await connect(servers[1]);
    const plain = how === "server" ? await start("postgres") : undefined;
    const other = plain && (await connect(plain));
    const lost = await lostClient(speaker);
    const event = `by ${how}`;
    await (other ? other.do("emit", { event, args: [] }) : new Emitter(pool).emit(event));
    await stays.hears(event);
    await lost.comesBack(servers[1]);
    assert.equal(lost.socket.recovered, false);
    // From the next gap on that is told it goes on.
    const isWhole = async () => {
      const again = await lostClient(speaker);
      await again.comesBack(servers[1]);
      return again.socket.recovered;
    };
    await within(PATIENCE, "clients to be recovered again", until(isWhole));
    other?.close();
    await plain?.stop();
  }
});

// Numbers that are given out before a commit let a reader pass by what comes late (kamu-cli 1398, SQLStreamStore 121).
test("what many say at once comes to all in one order, and nothing is passed by", async () => {
  const [EACH, AT_ONCE] = [100, 4];
  const speakers = await Promise.all(Array.from({ length: 2 * AT_ONCE }, (_, i) => connect(servers[i % 2])));
  const hearers = await Promise.all(servers.map((server) => connect(server)));
  const said = speakers.map(async (speaker, i) => {
    for (let n = 0; n < EACH; n += 1) await speaker.do("emit", { event: "burst", args: [`${i}.${n}`] });
  });
  await Promise.all(said);
  for (const hearer of hearers) await hearer.hears("burst", speakers.length * EACH);
  const [here, there] = hearers.map((hearer) => hearer.heard("burst").map(([what]) => what));
  assert.deepEqual(here, there);
  assert.equal(new Set(here).size, speakers.length * EACH);
});

// A database that fails over ends all sessions, and says nothing of what was notified meanwhile (node-postgres 3003).
test("a node whose sessions are ended reads on where it was", async () => {
  const [speaker, hearer] = await Promise.all(servers.map((server) => connect(server)));
  await speaker.do("emit", { event: "count", args: [0] });
  await hearer.hears("count");
  for (let i = 1; i <= 60; i += 1) {
    if (i % 20 === 0) {
      await pool.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND datname = current_database() AND query LIKE '%roomful%'`);
    }
    await speaker.do("emit", { event: "count", args: [i] });
  }
  await within(PATIENCE, "the last to be heard", until(() => hearer.heard("count").some(([i]) => i === 60)));
  const heard = hearer.heard("count").map(([i]) => i);
  assert.deepEqual(heard, [...new Set(heard)].sort((a, b) => a - b), "once, and in order");
  assert.deepEqual(speaker.heard("count").map(([i]) => i), [...Array(61).keys()]);
});

test("an official wire is spoken all the same", async () => {
  const plain = await start("postgres");
  const [speaker, hears] = await Promise.all([connect(servers[0]), connect(plain)]);
  for (const args of [["text"], [LARGE], [Buffer.from("bytes")]]) await speaker.do("emit", { event: "said", args });
  await hears.hears("said", 3);
  // Behind them stands the offset of that server.
  assert.deepEqual(hears.heard("said").map(([first]) => first), ["text", LARGE, Buffer.from("bytes")]);
  hears.close();
  await plain.stop();
});

test("no secret lies in the database", async () => {
  const speaker = await connect(servers[1]);
  const kept = async () => {
    // One that was lost while a gap was not told yet is not kept.
    const lost = await lostClient(speaker);
    const { rows } = await pool.query("SELECT key, session FROM roomful_sessions");
    const all = rows.map(({ key, session }) => key.toString("latin1") + session).join();
    assert.ok(!all.includes(lost.socket._pid));
    return all.includes(lost.id);
  };
  await within(PATIENCE, "a session to be kept", until(kept));
});
