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
  const lost = await lostClient(speaker);
  const { rows } = await pool.query("SELECT key, session FROM roomful_sessions");
  assert.ok(rows.length > 0);
  const all = rows.map(({ key, session }) => key.toString("latin1") + session).join();
  assert.ok(all.includes(lost.id) && !all.includes(lost.socket._pid));
});
