// What a page of collab does with what is typed in it, without a browser: its code (room.ts, edits.ts) with a
// server, a network and a clock made of a few lines, so that years of bad luck pass in seconds.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const WEB = fileURLToPath(new URL("../../collab/web/", import.meta.url));
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000);
const ROUNDS = 40;
const STEP_MS = 50;
const STATE = "ohio";
const FIELDS = ["overview.title", "overview.agency", "goals.first"];

/** A random number generator of which the same seed gives the same numbers. */
function seeded(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

async function loadRoom() {
  const { build } = createRequire(`${WEB}package.json`)("esbuild");
  const { outputFiles } = await build({
    entryPoints: [`${WEB}src/room.ts`],
    bundle: true,
    format: "esm",
    write: false,
    define: { "import.meta.env": "{}", "performance.now": "worldClock" },
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}

/** A server: compare-and-set for each field, and each key once. */
class Server {
  version = 0;
  fields = {};
  history = [];
  answers = new Map();

  edit({ field, value, base, key }, by) {
    if (this.answers.has(key)) return this.answers.get(key);
    const now = this.fields[field];
    if (base !== (now?.version ?? 0)) return { error: { code: "conflict", message: "changed", data: now } };
    if (value === "bad") return { error: { code: "bad_value", message: "bad" } };
    this.version += 1;
    this.fields[field] = { value, version: this.version, by, at: "2026-01-01T00:00:00Z" };
    this.history.push({ field, value, by });
    const answer = { ok: { field, version: this.version, before: now?.value ?? "" } };
    this.answers.set(key, answer);
    return answer;
  }

  changes(since) {
    const news = Object.entries(this.fields).filter(([, { version }]) => version > since);
    return structuredClone({ version: this.version, fields: Object.fromEntries(news) });
  }
}

/** Time, and all that is on its way. */
class World {
  now = 1;
  #due = [];

  constructor(seed) {
    this.random = seeded(seed);
  }

  chance(share) {
    return this.random() < share;
  }

  after(ms, run) {
    this.#due.push({ at: this.now + ms, run });
  }

  /** Something arrives, sooner or later. */
  delay(run) {
    this.after(this.chance(0.1) ? 2_000 * this.random() : 60 * this.random(), run);
  }

  async step() {
    this.now += STEP_MS;
    const due = this.#due.filter(({ at }) => at <= this.now).sort((a, b) => a.at - b.at);
    this.#due = this.#due.filter(({ at }) => at > this.now);
    for (const { run } of due) run();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A page: its room, and its connection, which loses what it likes. */
class Page {
  #open = new Set();

  constructor(world, server, Room, name, pages) {
    Object.assign(this, { world, server, Room, name, pages, id: undefined, connections: 0, typed: new Map(), loss: 0.1 });
    this.load();
  }

  /** The page is loaded, again: what is kept is all that is left. */
  load() {
    this.drop();
    this.room?.close();
    const wire = {
      isConnected: () => this.id !== undefined,
      request: (event, argument) => this.request(event, structuredClone(argument)),
      expired: () => assert.fail("expired"),
    };
    Object.defineProperty(wire, "id", { get: () => this.id });
    this.room = new this.Room(STATE, this.name, wire, () => {});
  }

  connect() {
    if (this.id !== undefined) return;
    this.connections += 1;
    this.id = `${this.name}-${this.connections}`;
    this.room.connected();
  }

  drop() {
    if (this.id === undefined) return;
    this.id = undefined;
    for (const fail of this.#open) fail(new Error("disconnected"));
    this.#open.clear();
    this.room.disconnected();
  }

  request(event, argument) {
    const { world, id } = this;
    return new Promise((resolve, reject) => {
      this.#open.add(reject);
      world.after(5_000, () => reject(new Error("timeout")));
      if (world.chance(this.loss)) return;
      world.delay(() => {
        const answer = this.handle(event, argument);
        if (world.chance(this.loss)) return;
        world.delay(() => this.id === id && resolve(structuredClone(answer)));
      });
    });
  }

  handle(event, argument) {
    if (event === "join") return { ok: { room: STATE, version: this.server.version, people: [] } };
    if (event !== "editAPD") return { ok: null };
    if (this.world.chance(this.loss)) return { error: { code: "rate_limited", message: "slower" } };
    const { version } = this.server;
    const answer = this.server.edit(argument, this.name);
    if (this.server.version > version) for (const page of this.pages) page.announce(this.server.version);
    return answer;
  }

  announce(version) {
    const { id } = this;
    if (id !== undefined) this.world.delay(() => this.id === id && this.room.changed(version));
  }

  /** Somebody does something. */
  act() {
    const { world, room } = this;
    const dice = world.random();
    if (dice < 0.02) this.drop();
    else if (dice < 0.06) this.connect();
    else if (dice < 0.07) this.load();
    else if (room.view.document === "ready" && dice < 0.3) this.type();
    else if (dice < 0.34) this.decide();
    else if (dice < 0.35) room.undo();
  }

  type() {
    const field = FIELDS[Math.floor(this.world.random() * FIELDS.length)];
    const value = this.world.chance(0.05) ? "bad" : `${this.name} ${Math.floor(this.world.random() * 1e9)}`;
    this.room.type(field, value);
    // What has taken the place of what was typed before need not be found.
    this.typed.set(field, value);
  }

  /** Chooses where there is something to choose. */
  decide() {
    for (const { field, stopped } of Object.values(this.room.view.edits)) {
      if (!stopped) continue;
      assert.notEqual(stopped.theirs?.by, this.name, "nobody is in conflict with what they themselves have stored");
      if ("theirs" in stopped && this.world.chance(0.5)) this.room.keepMine(field);
      else {
        this.room.giveUp(field);
        this.typed.delete(field);
      }
    }
  }
}

async function play(Room, seed) {
  const world = new World(seed);
  const server = new Server();
  const kept = new Map();
  Object.defineProperty(globalThis, "worldClock", { value: () => world.now, configurable: true });
  globalThis.sessionStorage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, text) => kept.set(key, text) };
  let loss = 0.1;
  globalThis.fetch = (url) =>
    new Promise((resolve, reject) => {
      if (world.chance(loss)) return world.after(8_000, () => reject(new Error("timeout")));
      world.delay(() => {
        const told = server.changes(Number(new URL(url, "http://server").searchParams.get("since")));
        world.delay(() => resolve({ ok: true, status: 200, json: async () => told }));
      });
    });

  const pages = [];
  for (const name of ["ana", "bob", "cem", "dee"]) pages.push(new Page(world, server, Room, name, pages));
  for (let step = 0; step < 1_500; step += 1) {
    for (const page of pages) {
      page.act();
      if (step % 2 === 0) page.room.tick();
    }
    await world.step();
  }

  // From now on nothing is lost, and whoever has to choose does so: within a minute nothing is left.
  loss = 0;
  for (const page of pages) page.loss = 0;
  const isQuiet = () => pages.every(({ room }) => Object.keys(room.view.edits).length === 0);
  const isSame = () => pages.every(({ room }) => FIELDS.every((field) => room.stored(field).version === (server.fields[field]?.version ?? 0)));
  for (let step = 0; step < 1_200 && !(isQuiet() && isSame()); step += 1) {
    for (const page of pages) {
      page.connect();
      page.decide();
      page.room.tick();
    }
    await world.step();
  }
  for (const page of pages) {
    assert.deepEqual(page.room.view.edits, {}, `${page.name} still has edits`);
    for (const field of FIELDS) {
      assert.equal(page.room.stored(field).value, server.fields[field]?.value ?? "", `${field} of ${page.name}`);
    }
    for (const [field, value] of page.typed) {
      const isThere = server.history.some((edit) => edit.field === field && edit.value === value && edit.by === page.name);
      assert.ok(isThere, `${value} in ${field} is lost`);
    }
  }
  assert.equal(server.version, server.answers.size, "each edit is stored once");
  return server.version;
}

test(`whatever is lost on the way, all pages end as the server, and nothing that was typed is lost (SEED=${SEED})`, async () => {
  const { Room } = await loadRoom();
  let stored = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    try {
      stored += await play(Room, SEED + round);
    } catch (error) {
      error.message = `SEED=${SEED + round}: ${error.message}`;
      throw error;
    }
  }
  // Otherwise it has shown nothing.
  assert.ok(stored > ROUNDS * 50, `${stored} edits were stored`);
});
