// Engines that can be killed, started again at the same port, and stopped for a while.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { PATIENCE, within } from "../../node/support/wait.mjs";
import { freePort } from "../../proxies/ports.mjs";
import { find } from "../services.mjs";

const LOOK_AGAIN = 50;
/** PostgreSQL does not run as root. */
const AS_POSTGRES = ["--reuid=postgres", "--regid=postgres", "--init-groups", "--"];
const ATTACHMENTS = `CREATE TABLE socket_io_attachments (
    id bigserial UNIQUE, created_at timestamptz DEFAULT NOW(), payload bytea)`;

const open = new Set();
process.on("exit", () => open.forEach((engine) => engine.stop()));

export class Engine {
  #child;
  directory = mkdtempSync(join(tmpdir(), "roomful-chaos-"));

  /** One that `persists` has after a restart what it had before. `settings` are those of NATS, as it reads them. */
  static async open(name, persists, settings = "") {
    const Kind = { nats: Nats, "nats-log": Nats, postgres: Postgres, "postgres-log": Postgres }[name] ?? Redis;
    const engine = new Kind();
    engine.port = await freePort();
    engine.persists = persists;
    engine.settings = settings;
    open.add(engine);
    await engine.prepare?.();
    await engine.start();
    await engine.furnish?.();
    return engine;
  }

  /** Until it answers; a program that ends at once is tried again. */
  async start() {
    const trying = async () => {
      for (;;) {
        if (this.#child === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null) {
          this.#child = spawn(find("setpriv"), this.command(), { cwd: this.directory, stdio: "ignore" });
        }
        if (await this.answers()) return;
        await sleep(LOOK_AGAIN);
      }
    };
    await within(PATIENCE, "the engine to answer", trying());
  }

  async kill() {
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }

  /** Stops it, and all processes that it has. */
  freeze() {
    this.#signal("SIGSTOP");
  }

  thaw() {
    this.#signal("SIGCONT");
  }

  /** At once, also while it stands still; nothing of it is left. */
  stop() {
    open.delete(this);
    this.#signal("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }

  #signal(signal) {
    const { pid: parent, exitCode, signalCode } = this.#child ?? {};
    if (parent === undefined || exitCode !== null || signalCode !== null) return;
    const children = childrenOf(parent);
    for (const pid of [parent, ...children]) {
      try {
        process.kill(pid, signal);
      } catch {
        // It has just ended.
      }
    }
  }
}

/** By default it keeps nothing. */
class Redis extends Engine {
  command() {
    const log = this.persists ? ["--appendonly", "yes", "--appendfsync", "always"] : ["--appendonly", "no"];
    const files = ["--save", "", ...log, "--dir", this.directory];
    const where = ["--bind", "127.0.0.1", "--port", String(this.port)];
    return ["--pdeathsig", "KILL", find("redis-server"), ...where, ...files];
  }

  answers() {
    return says(this.port, "PING\r\n", "+PONG");
  }

  url(port) {
    return `redis://127.0.0.1:${port}`;
  }
}

class Nats extends Engine {
  prepare() {
    writeFileSync(join(this.directory, "nats.conf"), this.settings);
  }

  command() {
    const where = ["-a", "127.0.0.1", "-p", String(this.port)];
    const files = ["-c", "nats.conf", "-js", "-sd", this.directory];
    return ["--pdeathsig", "KILL", find("nats-server"), ...where, ...files];
  }

  answers() {
    return says(this.port, "CONNECT {}\r\nPING\r\n", "PONG");
  }

  url(port) {
    return `nats://127.0.0.1:${port}`;
  }
}

/** It has the same data after each start. */
class Postgres extends Engine {
  #as = process.getuid() === 0 ? AS_POSTGRES : [];

  async prepare() {
    if (this.#as.length > 0) spawnSync("chown", ["postgres", this.directory]);
    const make = [program("initdb"), "--pgdata=data", "--username=postgres", "--auth=trust", "--no-sync"];
    const { status, stderr } = spawnSync(find("setpriv"), [...this.#as, ...make], { cwd: this.directory });
    if (status !== 0) throw new Error(`initdb: ${stderr}`);
  }

  command() {
    // A change of the user forgets the signal, which is ordered behind it.
    const bind = ["-p", String(this.port), "-k", this.directory, "-c", "listen_addresses=127.0.0.1"];
    const more = ["-c", "fsync=off", "-c", "max_connections=300"];
    return [...this.#as, find("setpriv"), "--pdeathsig", "KILL", program("postgres"), "-D", "data", ...bind, ...more];
  }

  answers() {
    return this.#query("SELECT 1").catch(() => undefined);
  }

  furnish() {
    return this.#query(ATTACHMENTS);
  }

  async #query(text) {
    const client = new pg.Client({ connectionString: this.url(this.port) });
    client.on("error", () => {});
    try {
      await client.connect();
      return await client.query(text);
    } finally {
      await client.end().catch(() => {});
    }
  }

  url(port) {
    return `postgres://postgres@127.0.0.1:${port}/postgres`;
  }
}

/** Of PostgreSQL, in its newest version. */
function program(name) {
  const home = "/usr/lib/postgresql";
  const newest = readdirSync(home).toSorted((a, b) => b - a)[0];
  return join(home, newest, "bin", name);
}

function childrenOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** Whether who listens at that port answers so. */
function says(port, question, answer) {
  return new Promise((resolve) => {
    let heard = "";
    const socket = connect({ port, host: "127.0.0.1" }, () => socket.write(question));
    socket.setEncoding("latin1").on("data", (text) => {
      heard += text;
      if (heard.includes(answer)) socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(heard.includes(answer)));
  });
}
