// The page "From Node, one server at a time" (docs/migration.md), done step by step: clients behind nginx, official
// servers that go one after the other, and servers under test (SERVER, see ../README.md) that come. And back.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { io } from "socket.io-client";
import { next, PATIENCE, within } from "../../node/support/wait.mjs";
import { freePort } from "../../proxies/ports.mjs";
import { directory, Program, remove } from "../../proxies/process.mjs";
import { ServerProcess } from "../servers.mjs";
import { Postgres, Redis } from "../services.mjs";

const CLIENTS = 12;
const LOOK_AGAIN = 20;
const IN_TURN = 5;
const CONF = fileURLToPath(new URL("nginx.conf", import.meta.url));

describe("the classic adapter", () => migration({ engine: "redis", open: () => Redis.start() }));
describe("Streams, with recovery", () => migration({ engine: "streams", open: () => Redis.start(), recovers: true }));
describe("PostgreSQL", () => {
  let postgres;
  const open = async () => {
    postgres = await Postgres.start();
    return { url: await postgres.database(), stop: () => postgres.stop() };
  };
  migration({ engine: "postgres", open });
});

function migration({ engine, open, recovers = false }) {
  let service;
  let proxy;
  const servers = new Map();
  const clients = [];
  /** Clients past the proxy, one of each server. */
  const keepers = new Map();

  const start = async (name, kind) => {
    const options = ["--engine", engine, "--url", service.url, "--recovery", recovers ? "yes" : "no"];
    const server = await ServerProcess.start(kind, options);
    servers.set(name, server);
    keepers.set(name, await Client.connect(server.urls[0], `keeper of ${name}`));
  };
  const end = async (name) => {
    keepers.get(name).close();
    keepers.delete(name);
    const server = servers.get(name);
    servers.delete(name);
    await server.stop();
  };
  const isWhole = async () => {
    for (const [name, keeper] of keepers) {
      await until(`${name} to count ${servers.size} servers`, async () => {
        return (await keeper.do("serverCount")) === servers.size;
      });
      await until(`${name} to find all clients`, async () => {
        const found = (await keeper.do("fetch", { rooms: ["everybody"] })).map(({ id }) => id);
        const there = clients.map(({ socket }) => socket.id);
        return there.every((id) => found.includes(id)) && found.length === there.length;
      });
    }
  };
  /** What each client says reaches all, once. */
  const everybodyHearsEverybody = async () => {
    const event = `fence ${(fences += 1)}`;
    for (const client of clients) await client.do("emit", { rooms: ["everybody"], event, args: [client.name] });
    for (const client of clients) {
      await until(`${client.name} to hear all`, () => client.heard(event).length >= clients.length);
    }
    // What comes twice comes a moment later.
    await sleep(100);
    const names = clients.map(({ name }) => name).sort();
    for (const client of clients) assert.deepEqual(client.heard(event).sort(), names, client.name);
  };
  const allAreBack = () => until("all clients to be back", () => clients.every(({ isThere }) => isThere));

  before(async () => {
    service = await open();
    proxy = await Proxy.start();
    await Promise.all([start("node 1", "node"), start("node 2", "node")]);
    await proxy.leadsTo(servers, ["node 1", "node 2"]);
    for (let i = 0; i < CLIENTS; i += 1) clients.push(await Client.connect(proxy.url, `client ${i}`, "everybody"));
  });
  after(async () => {
    for (const client of [...clients, ...keepers.values()]) client.close();
    await Promise.all([...servers.values()].map((server) => server.stop()));
    await proxy?.stop();
    await service?.stop();
  });

  test("before: two official servers are one", async () => {
    await isWhole();
    await everybodyHearsEverybody();
  });

  test("a server joins without clients, and is one of three", async () => {
    await start("ours 1", "rust");
    await isWhole();
    const [mine] = [keepers.get("ours 1")];
    await mine.do("emit", { rooms: ["everybody"], event: "from ours", args: ["ours 1"] });
    for (const client of clients) await until("an event of ours", () => client.heard("from ours").length === 1);
    const theirs = keepers.get("node 1");
    await theirs.do("emit", { rooms: [mine.socket.id], event: "to ours", args: ["node 1"] });
    await until("an event of theirs", () => mine.heard("to ours").length === 1);
  });

  test("it is given clients, and each official server goes in its turn", async () => {
    const ids = clients.map(({ socket }) => socket.id);
    await proxy.leadsTo(servers, ["ours 1", "node 2"]);
    await end("node 1");
    await allAreBack();
    await isWhole();
    await everybodyHearsEverybody();

    await start("ours 2", "rust");
    await proxy.leadsTo(servers, ["ours 1", "ours 2"]);
    await end("node 2");
    await allAreBack();
    await isWhole();
    await everybodyHearsEverybody();
    if (recovers) assert.deepEqual(clients.map(({ socket }) => socket.id), ids, "all have their sockets");
  });

  test("and back: an official server comes again, and ours goes", async () => {
    await start("node 3", "node");
    await proxy.leadsTo(servers, ["node 3", "ours 2"]);
    await end("ours 1");
    await allAreBack();
    await isWhole();
    await everybodyHearsEverybody();
  });

  test("meanwhile nobody has heard anything twice, or out of order", () => {
    for (const client of clients) client.isInOrder();
  });
}

let fences = 0;

async function until(what, isSo) {
  const looking = async () => {
    while (!(await isSo())) await sleep(LOOK_AGAIN);
  };
  await within(PATIENCE, what, looking());
}

class Client {
  #log = [];

  static async connect(url, name, room) {
    const client = new Client();
    client.name = name;
    const auth = room === undefined ? { name } : { name, room };
    client.socket = io(url, { forceNew: true, transports: ["websocket"], auth, reconnectionDelay: 50 });
    client.socket.onAny((event, ...args) => client.#log.push([event, args[0]]));
    await next(client.socket, "connect");
    await client.do("me");
    return client;
  }

  async do(op, params = {}) {
    const answer = await this.socket.timeout(PATIENCE).emitWithAck("do", op, params);
    if ("error" in answer) throw new Error(`${op}: ${answer.error}`);
    return answer.ok;
  }

  heard(event) {
    return this.#log.filter(([name]) => name === event).map(([, from]) => from);
  }

  get isThere() {
    return this.socket.connected;
  }

  isInOrder() {
    const numbers = this.#log.filter(([event]) => event.startsWith("fence ")).map(([event]) => Number(event.slice(6)));
    assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b), this.name);
  }

  close() {
    this.socket.disconnect();
    this.socket.io.engine?.close();
  }
}

/** nginx, whose servers change while clients are connected. */
class Proxy {
  #at = directory();
  #program;
  #generation = 0;

  static async start() {
    const proxy = new Proxy();
    proxy.port = await freePort();
    proxy.url = `http://127.0.0.1:${proxy.port}`;
    return proxy;
  }

  /** New connections go to these from now on, and to no other. */
  async leadsTo(servers, names) {
    const lines = names.map((name) => `server ${new URL(servers.get(name).urls[0]).host} max_fails=0;`);
    const at = (name) => join(this.#at, name);
    const text = readFileSync(CONF, "utf8")
      .replaceAll("/run/", `${this.#at}/`)
      .replace("listen 80;", `listen 127.0.0.1:${this.port};`)
      .replace("server 127.0.0.1:3000;", lines.join("\n        "))
      .replace('return 200 "0"', `return 200 "${(this.#generation += 1)}"`);
    writeFileSync(at("nginx.conf"), text);
    if (this.#program === undefined) {
      const args = ["-p", this.#at, "-e", at("error.log"), "-c", at("nginx.conf"), "-g", "daemon off;"];
      this.#program = new Program("nginx", args);
      await this.#program.listens(this.port);
    } else this.#program.signal("SIGHUP");
    // The worker of before takes connections for a moment more.
    let inTurn = 0;
    await until("nginx to know", async () => {
      const told = await (await fetch(`${this.url}/generation`, { headers: { connection: "close" } })).text();
      inTurn = told === String(this.#generation) ? inTurn + 1 : 0;
      return inTurn === IN_TURN;
    });
  }

  async stop() {
    await this.#program?.stop();
    remove(this.#at);
  }
}
