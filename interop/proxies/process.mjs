// A program of the system that runs in the foreground: started by its path, ended by its process
// id with all its children, also when this process is interrupted.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, mkdtempSync, chmodSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { PATIENCE, within } from "../node/support/wait.mjs";

// A proxy may wait for its connections to end. It has not to: how it ends is not the question here.
const EXIT_PATIENCE = 2_000;
const LOOK_AGAIN = 30;

const running = new Set();
const directories = new Set();

process.on("exit", () => {
  for (const program of running) program.kill("SIGKILL");
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

/** A directory that is gone when this process ends. Proxies look into it as users of their own. */
export function directory() {
  const made = mkdtempSync(join(tmpdir(), "roomful-proxy-"));
  chmodSync(made, 0o755);
  directories.add(made);
  return made;
}

export function remove(made) {
  rmSync(made, { recursive: true, force: true });
  directories.delete(made);
}

/** The path of a program. Those of the system are not in everybody's PATH. */
export function find(name) {
  const places = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  const found = places.map((place) => join(place, name)).find(isExecutable);
  if (found === undefined) throw new Error(`there is no ${name}: tools/setup proxies installs it`);
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

export class Program {
  #child;
  #exit;
  #output = "";

  constructor(name, args, { env = {} } = {}) {
    this.name = name;
    // A group of its own, so that its workers end with it; and it ends should this process be killed.
    const command = ["--pdeathsig", "TERM", find(name), ...args];
    this.#child = spawn(find("setpriv"), command, {
      cwd: "/",
      detached: true,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(this);
    this.#exit = once(this.#child, "exit").finally(() => running.delete(this));
    this.#exit.catch(() => {});
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => (this.#output = (this.#output + text).slice(-4_000)));
    }
  }

  get output() {
    return this.#output;
  }

  /** Resolves when somebody can connect to that port. */
  async listens(port) {
    const died = this.#exit.then(([code, signal]) => {
      throw new Error(`${this.name} ended with ${code ?? signal} before it listened\n${this.#output}`);
    });
    died.catch(() => {});
    await within(PATIENCE, `${this.name} to listen`, Promise.race([answered(port), died]));
  }

  /** To the program alone, not to its children. */
  signal(name) {
    this.#child.kill(name);
  }

  kill(signal) {
    try {
      process.kill(-this.#child.pid, signal);
    } catch (error) {
      if (error.code !== "ESRCH") throw error;
    }
  }

  /** Ends it; a program that had ended by itself is at fault. */
  async stop() {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) {
      throw new Error(`${this.name} ended by itself (${exitCode ?? signalCode})\n${this.#output}`);
    }
    this.#child.kill("SIGTERM");
    await within(EXIT_PATIENCE, `${this.name} to end`, this.#exit).catch(() => {});
    this.kill("SIGKILL");
    await this.#exit;
  }
}

async function answered(port) {
  while (!(await isOpen(port))) await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
}

function isOpen(port) {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("connect", () => socket.destroy() && resolve(true));
    socket.once("error", () => resolve(false));
  });
}
