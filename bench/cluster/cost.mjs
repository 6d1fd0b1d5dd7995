// Usage: SERVER=…/cluster-node node bench/cluster/cost.mjs [--engine redis|sharded|streams|postgres ...] [--members N]
//        [--events N] [--rounds N] [--json]
// What a server of a cluster pays, in microseconds of its CPU, side by side in one run: the official server with the
// official adapter, and ours (SERVER, a release build of the program cluster-node of interop/server).
//   published    an event for a room that nobody is in, at the server that sends it
//   passed over  the same event, at another server
//   local        one member gets an event that its own server has sent
//   delivered    one member gets an event that another server has sent
// Both in a burst, in which a member gets many events by one write, the more the faster they come; and one by one, where
// the next is sent when all members have the one before, so that each is a write.
// The engine is a real one of its own; the members are WebSockets of this process, which is not measured.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Postgres, Redis } from "../../interop/cluster/services.mjs";

const HOME = fileURLToPath(new URL("../../interop/cluster/", import.meta.url));
const { io } = createRequire(HOME)("socket.io-client");
const { WebSocket } = createRequire(fileURLToPath(new URL("../../interop/node/", import.meta.url)))("ws");
const PATIENCE = 120_000;
const TEXT = "x".repeat(64);

const { values: options } = parseArgs({
  options: {
    engine: { type: "string", multiple: true, default: ["redis", "sharded", "streams", "postgres"] },
    members: { type: "string", default: "1000" },
    events: { type: "string", default: "200000" },
    rounds: { type: "string", default: "500" },
    json: { type: "boolean", default: false },
  },
});
const [members, events, rounds] = [options.members, options.events, options.rounds].map(Number);
if (!process.env.SERVER) throw new Error("SERVER is not set: it is the program cluster-node, built with --release");
const COMMANDS = { node: [process.execPath, "node-server.mjs"], roomful: [resolve(process.env.SERVER)] };

/** A server, its control client, and what it has used of the CPU. */
class Server {
  static async start(kind, engine, url) {
    const [program, ...args] = COMMANDS[kind];
    const server = new Server();
    server.process = spawn(program, [...args, "--engine", engine, "--url", url], { cwd: HOME, stdio: ["ignore", "pipe", "inherit"] });
    for await (const line of createInterface({ input: server.process.stdout })) {
      server.url = line.match(/^listening on (.*)$/)?.[1];
      if (server.url) break;
    }
    server.client = io(server.url, { transports: ["websocket"], forceNew: true, auth: { name: "control" } });
    await once(server.client, "connect");
    return server;
  }

  /** Microseconds of the CPU, of all its threads. */
  used() {
    const threads = `/proc/${this.process.pid}/task`;
    const spent = readdirSync(threads).map((id) => readFileSync(`${threads}/${id}/schedstat`, "utf8").split(" ")[0]);
    return spent.reduce((sum, ns) => sum + Number(ns) / 1000, 0);
  }

  async do(op, params) {
    const { ok, error } = await this.client.timeout(PATIENCE).emitWithAck("do", op, params);
    if (error) throw new Error(error);
    return ok;
  }

  burst(rooms, count) {
    return this.do("burst", { rooms, event: "said", args: [TEXT], count });
  }

  async stop() {
    this.client.disconnect();
    this.process.kill("SIGTERM");
    await once(this.process, "exit");
  }
}

/** The members of a room, and how many events they have had. */
class Crowd {
  heard = 0;
  #sockets = [];
  #rung = () => {};

  static async join(url, count) {
    const crowd = new Crowd();
    for (let n = 0; n < count; n += 1) await crowd.#enter(url.replace("http", "ws"));
    return crowd;
  }

  #enter(url) {
    const socket = new WebSocket(`${url}/socket.io/?EIO=4&transport=websocket`);
    this.#sockets.push(socket);
    return new Promise((resolve, reject) => {
      socket.on("error", reject);
      socket.on("message", (data) => {
        const text = String(data);
        if (text.startsWith("0")) socket.send(`40${JSON.stringify({ name: "member", room: "crowd" })}`);
        else if (text === "2") socket.send("3");
        else if (text.startsWith("40")) resolve();
        else if (text.startsWith("42")) {
          this.heard += 1;
          this.#rung();
        }
      });
    });
  }

  async hears(count) {
    const late = setTimeout(() => this.#rung(new Error(`of ${count} events ${this.heard} came`)), PATIENCE);
    await new Promise((resolve, reject) => {
      this.#rung = (error) => (error ? reject(error) : this.heard >= count && resolve());
      this.#rung();
    });
    clearTimeout(late);
    this.heard = 0;
  }

  leave() {
    this.#sockets.forEach((socket) => socket.terminate());
  }
}

async function measure(kind, engine, url) {
  const [from, to] = [await Server.start(kind, engine, url), await Server.start(kind, engine, url)];
  const crowd = await Crowd.join(to.url, members);
  /** What each of the two has used in microseconds, until a last event has gone all the way. */
  const spent = async (work) => {
    const before = [from.used(), to.used()];
    await work();
    return [from.used() - before[0], to.used() - before[1]];
  };
  const warm = async () => {
    await from.burst(["crowd"], 20);
    await to.burst(["crowd"], 20);
    await crowd.hears(40 * members);
  };
  await warm();
  const [published, passed] = await spent(async () => {
    await from.burst(["nobody"], events);
    await from.burst(["crowd"], 1);
    await crowd.hears(members);
  });
  /** What a member costs that gets an event of a server. */
  const reached = async (server) => {
    const [, burst] = await spent(async () => {
      await server.burst(["crowd"], rounds);
      await crowd.hears(rounds * members);
    });
    const [, single] = await spent(async () => {
      for (let round = 0; round < rounds; round += 1) {
        await server.burst(["crowd"], 1);
        await crowd.hears(members);
      }
    });
    return [burst, single].map((spent) => spent / (rounds * members));
  };
  const [local, localSingle] = await reached(to);
  const [delivered, deliveredSingle] = await reached(from);
  crowd.leave();
  await Promise.all([from.stop(), to.stop()]);
  return { published: published / events, passed: passed / events, local, delivered, localSingle, deliveredSingle };
}

const found = {};
for (const engine of options.engine) {
  const service = await (engine === "postgres" ? Postgres : Redis).start();
  found[engine] = {};
  for (const kind of Object.keys(COMMANDS)) {
    const url = engine === "postgres" ? await service.database() : service.url;
    found[engine][kind] = await measure(kind, engine, url);
  }
  await service.stop();
}
if (options.json) console.log(JSON.stringify(found, null, 2));
else print();
process.exit(0);

function print() {
  console.log(`µs of the CPU of a server; ${events} events to nobody, ${rounds} to a room of ${members}`);
  const columns = { published: "published", passed: "passed", local: "local", delivered: "delivered",
    localSingle: "1: local", deliveredSingle: "1: deliv." };
  const headers = [...Object.values(columns), "deliv./local", "1: d./l."];
  console.log(["engine      server ", ...headers.map((name) => name.padStart(12))].join(" "));
  for (const [engine, kinds] of Object.entries(found)) {
    const row = (name, cells) => console.log([engine.padEnd(11), name.padEnd(7), ...cells.map((cell) => cell.padStart(12))].join(" "));
    for (const [kind, costs] of Object.entries(kinds)) {
      const ratios = [costs.delivered / costs.local, costs.deliveredSingle / costs.localSingle];
      row(kind, [...Object.keys(columns).map((name) => costs[name]), ...ratios].map((number) => number.toFixed(2)));
    }
    row("cheaper", Object.keys(columns).map((name) => `${(kinds.node[name] / kinds.roomful[name]).toFixed(1)} ×`));
  }
}
