// Clients that are lost at one server and come back at another, over a log in PostgreSQL: what only we have.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import pg from "pg";
import { Emitter } from "@socket.io/postgres-emitter";
import { PATIENCE, within } from "../../node/support/wait.mjs";
import { Postgres } from "../services.mjs";
import { until } from "./client.mjs";
import { LARGE, Pair, recovers } from "./logs.mjs";

/** Less than statements take in the database until they are given up there. */
const HEAP_PATIENCE = 4_000;

const pair = new Pair("postgres-log", async () => {
  const postgres = await Postgres.start();
  return { url: await postgres.database(), stop: () => postgres.stop() };
});
let pool;
before(async () => {
  await pair.begin();
  pool = new pg.Pool({ connectionString: pair.service.url });
  // It ends its sessions with it.
  pool.on("error", () => {});
});
after(async () => {
  await pool.end();
  await pair.end();
});

recovers(pair);

// What is in no table cannot be brought.
test("nobody recovers across an event of who writes no log", async () => {
  const { servers } = pair;
  for (const how of ["emitter", "server"]) {
    const speaker = await pair.connect(servers[1]);
    const stays = await pair.connect(servers[1]);
    const plain = how === "server" ? await pair.start("postgres") : undefined;
    const other = plain && (await pair.connect(plain));
    const lost = await pair.lostClient(speaker);
    const event = `by ${how}`;
    await (other ? other.do("emit", { event, args: [] }) : new Emitter(pool).emit(event));
    await stays.hears(event);
    await lost.comesBack(servers[1]);
    assert.equal(lost.socket.recovered, false);
    await pair.isWhole();
    other?.close();
    await plain?.stop();
  }
});

// A database that fails over ends all sessions, and says nothing of what was notified meanwhile (node-postgres 3003).
test("a node whose sessions are ended reads on where it was", async () => {
  const [speaker, hearer] = await Promise.all(pair.servers.map((server) => pair.connect(server)));
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

// A node that gives up leaves its statement behind, and comes back with another.
test("a lock that somebody holds makes no heap of those who wait for it", async () => {
  const [speaker, hearer] = await Promise.all(pair.servers.map((server) => pair.connect(server)));
  const holder = await pool.connect();
  const [lock] = (await holder.query("SELECT hashtext('\"roomful_events\"') AS id")).rows;
  await holder.query("SELECT pg_advisory_lock($1, $2)", [0x726f6f6d, lock.id]);
  const waiting = async () => {
    const query = "SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    return (await pool.query(query)).rows[0].count;
  };
  const areFew = async () => (await waiting()) <= pair.servers.length;
  let most = 0;
  try {
    for (const end = Date.now() + 12_000; Date.now() < end; ) {
      await speaker.do("emit", { event: "held", args: [] });
      most = Math.max(most, await waiting());
      // One whose time is over is seen as long as the machine stalls, beside the one that comes for it. A heap stays.
      await within(HEAP_PATIENCE, "those who wait to be no more than the servers", until(areFew));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  } finally {
    holder.release(true);
  }
  assert.ok(most >= 1, "nobody waits for the lock");
  await speaker.do("emit", { event: "let go", args: [] });
  await within(PATIENCE, "events to go on", until(() => hearer.heard("let go").length > 0));
});

test("an official wire is spoken all the same", async () => {
  const plain = await pair.start("postgres");
  const [speaker, hears] = await Promise.all([pair.connect(pair.servers[0]), pair.connect(plain)]);
  for (const args of [["text"], [LARGE], [Buffer.from("bytes")]]) await speaker.do("emit", { event: "said", args });
  await hears.hears("said", 3);
  // Behind them stands the offset of that server.
  assert.deepEqual(hears.heard("said").map(([first]) => first), ["text", LARGE, Buffer.from("bytes")]);
  hears.close();
  await plain.stop();
});

test("no secret lies in the database", async () => {
  const speaker = await pair.connect(pair.servers[1]);
  const kept = async () => {
    // One that was lost while a gap was not told yet is not kept.
    const lost = await pair.lostClient(speaker);
    const { rows } = await pool.query("SELECT key, session FROM roomful_sessions");
    const all = rows.map(({ key, session }) => key.toString("latin1") + session).join();
    assert.ok(!all.includes(lost.socket._pid));
    return all.includes(lost.id);
  };
  await within(PATIENCE, "a session to be kept", until(kept));
});
