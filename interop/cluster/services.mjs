// The services that a cluster communicates through. Each is started on a free port, with its files in a directory
// of its own, and is gone when this process is, however that ended.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import pg from "pg";
import { PATIENCE, within } from "../node/support/wait.mjs";
import { freePort } from "../proxies/ports.mjs";

const LOOK_AGAIN = 30;
/** Where Debian keeps the programs of PostgreSQL, each version by itself. */
const POSTGRES_HOME = "/usr/lib/postgresql";

/**
 * Runs a program in its directory until nobody holds the other end of its input any more: that end is closed with
 * this process, even if this process is killed. A program that is only about to listen to signals is told again.
 */
const WATCH = `
trap '' INT TERM HUP
directory=$1 signal=$2
shift 2
cd "$directory"
"$@" >log 2>&1 </dev/null &
read -r _
while kill -s "$signal" $! 2>/dev/null; do sleep 0.05; done
cd /
rm -rf "$directory"
`;

/** PostgreSQL does not run as root. Nothing has to survive here, so nothing is written through to the disk. */
const POSTGRES = `
as=
if [ "$(id -u)" = 0 ]; then
    chown postgres .
    as="setpriv --reuid=postgres --regid=postgres --init-groups --"
fi
$as "$1/initdb" --pgdata=data --username=postgres --auth=trust --no-sync || exit
exec $as "$1/postgres" -D data -p "$2" -k "$PWD" -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=300
`;

/** What the official adapter expects to be there; who uses it has to make it. */
const ATTACHMENTS = `CREATE TABLE socket_io_attachments (
    id bigserial UNIQUE, created_at timestamptz DEFAULT NOW(), payload bytea)`;

class Service {
  #watch;
  #exit;
  #directory = mkdtempSync(join(tmpdir(), "roomful-cluster-"));

  /** `command` is run in the directory of the service, and ended with `signal`. */
  run(signal, ...command) {
    // A group of its own: an interruption from the keyboard is for this process alone to deal with.
    this.#watch = spawn("sh", ["-c", WATCH, "sh", this.#directory, signal, ...command], {
      detached: true,
      stdio: ["pipe", "ignore", "ignore"],
    });
    this.#exit = once(this.#watch, "exit");
    this.#watch.stdin.on("error", () => {});
  }

  get directory() {
    return this.#directory;
  }

  /** Waits until `ask` gives something true. */
  async answers(ask) {
    const answered = async () => {
      while (!(await ask())) await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
    };
    await within(PATIENCE, `${this.constructor.name} to answer`, answered()).catch((error) => {
      throw new Error(`${error.message}\n${readFileSync(join(this.#directory, "log"), "utf8")}`);
    });
  }

  async stop() {
    this.#watch.stdin.end();
    await within(PATIENCE, `${this.constructor.name} to end`, this.#exit);
  }
}

export class Redis extends Service {
  static async start() {
    const [service, port] = [new Redis(), await freePort()];
    const files = ["--save", "", "--appendonly", "no", "--dir", service.directory];
    service.run("KILL", find("redis-server"), "--bind", "127.0.0.1", "--port", String(port), ...files);
    await service.answers(() => says(port, "PING\r\n", "+PONG"));
    service.url = `redis://127.0.0.1:${port}`;
    return service;
  }
}

export class Nats extends Service {
  static async start() {
    const [service, port] = [new Nats(), await freePort()];
    service.run("KILL", find("nats-server"), "-a", "127.0.0.1", "-p", String(port), "-js", "-sd", service.directory);
    await service.answers(() => says(port, "CONNECT {}\r\nPING\r\n", "PONG"));
    service.url = `nats://127.0.0.1:${port}`;
    return service;
  }
}

/** One for all clusters, since it takes seconds to start: each of them has a database of its own. */
export class Postgres extends Service {
  #port;
  #databases = 0;

  static async start() {
    const service = new Postgres();
    service.#port = await freePort();
    service.run("QUIT", "sh", "-c", POSTGRES, "sh", programsOfPostgres(), String(service.#port));
    await service.answers(() => service.#query("postgres", "SELECT 1").catch(() => undefined));
    return service;
  }

  /** The URL of a new database. Who is told something in one database is not told it in another. */
  async database() {
    const name = `cluster_${++this.#databases}`;
    await this.#query("postgres", `CREATE DATABASE ${name}`);
    await this.#query(name, ATTACHMENTS);
    return this.#url(name);
  }

  async #query(database, text) {
    const client = new pg.Client({ connectionString: this.#url(database) });
    try {
      await client.connect();
      return await client.query(text);
    } finally {
      await client.end().catch(() => {});
    }
  }

  #url(database) {
    return `postgres://postgres@127.0.0.1:${this.#port}/${database}`;
  }
}

/** The path of a program. Those of the system are not in everybody's PATH. */
export function find(name) {
  const places = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  const found = places.map((place) => join(place, name)).find(isExecutable);
  if (found === undefined) throw new Error(`there is no ${name}: tools/setup cluster installs it`);
  return found;
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Those of the newest version. */
function programsOfPostgres() {
  const versions = isExecutable(POSTGRES_HOME) ? readdirSync(POSTGRES_HOME).toSorted((a, b) => b - a) : [];
  const programs = versions.map((version) => join(POSTGRES_HOME, version, "bin"));
  const found = programs.find((bin) => isExecutable(join(bin, "initdb")));
  if (found === undefined) throw new Error("there is no PostgreSQL: tools/setup cluster installs it");
  return found;
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
