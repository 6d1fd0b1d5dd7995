// The servers of a cluster: child processes of either kind, with one command line.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { PATIENCE, within } from "../node/support/wait.mjs";
import { find } from "./services.mjs";

const HOME = fileURLToPath(new URL(".", import.meta.url));
const EXIT_PATIENCE = 10_000;
const LOOK_AGAIN = 5;
const LISTENING = /^listening on (http:\/\/127\.0\.0\.1:\d+)$/;

/** Of a kind of server, the program and its first arguments. */
const COMMANDS = {
  node: [process.execPath, "node-server.mjs"],
  rust: process.env.SERVER?.trim().split(/\s+/),
};
export const kinds = Object.keys(COMMANDS).filter((kind) => COMMANDS[kind] !== undefined);

const running = new Set();
// Whatever ends this process, no server outlives it.
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

export class ServerProcess {
  #child;
  #exit;
  #complaints = "";
  /** Where it listens, each of its servers. */
  urls = [];

  /** Resolves when so many servers in this process are ready. */
  static async start(kind, options, servers = 1) {
    const server = new ServerProcess(kind, options);
    await server.#ready(servers);
    return server;
  }

  constructor(kind, options) {
    this.kind = kind;
    // It ends as well should this process be killed.
    const command = ["--pdeathsig", "KILL", ...COMMANDS[kind], ...options];
    this.#child = spawn(find("setpriv"), command, { cwd: HOME, stdio: ["ignore", "pipe", "pipe"] });
    running.add(this.#child);
    this.#exit = once(this.#child, "exit").finally(() => running.delete(this.#child));
    this.#exit.catch(() => {});
    this.#child.stderr.setEncoding("utf8").on("data", (text) => (this.#complaints += text));
  }

  async #ready(servers) {
    // Read to the end, so that a talkative server never fills its pipe.
    const lines = createInterface({ input: this.#child.stdout });
    const announced = new Promise((resolve) => {
      lines.on("line", (line) => {
        const found = line.match(LISTENING);
        if (found) this.urls.push(found[1]);
        if (this.urls.length === servers) resolve();
      });
    });
    const died = this.#exit.then(([code]) => {
      throw new Error(`a ${this.kind} server ended with ${code} before it listened\n${this.#complaints}`);
    });
    died.catch(() => {});
    await within(PATIENCE, `a ${this.kind} server to listen`, Promise.race([announced, died]));
  }

  /** Stops its clock: its connections stay open, and silent. */
  async freeze() {
    this.#child.kill("SIGSTOP");
    // Its threads stop one after the other, and may still answer something until then.
    const stopping = async () => {
      while (!(await isStopped(this.#child.pid))) await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
    };
    await within(PATIENCE, `a ${this.kind} server to stand still`, stopping());
  }

  /** It goes on. */
  thaw() {
    this.#child.kill("SIGCONT");
  }

  /** Ends it without a goodbye. */
  async crash() {
    this.#child.kill("SIGKILL");
    await this.#exit;
  }

  /** Asks it to end; a server that is dead already, does not obey or has panicked is at fault. */
  async stop() {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) {
      throw new Error(`a ${this.kind} server ended by itself (${exitCode ?? signalCode})\n${this.#complaints}`);
    }
    this.#child.kill("SIGTERM");
    try {
      await within(EXIT_PATIENCE, `a ${this.kind} server to end`, this.#exit);
    } catch (error) {
      await this.crash();
      throw error;
    }
    if (this.#complaints.includes("panicked")) throw new Error(`a server panicked\n${this.#complaints}`);
  }
}

/** Whether all threads of a process are stopped: in `stat`, the state stands behind the name in brackets. */
async function isStopped(pid) {
  const tasks = `/proc/${pid}/task`;
  const states = (await readdir(tasks)).map(async (task) => {
    const stat = await readFile(`${tasks}/${task}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2)[0];
  });
  return (await Promise.all(states)).every((state) => state === "T");
}
