// The server under test: a child process, started with an environment and stopped by its id.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { PATIENCE, within } from "./wait.mjs";

const HOME = fileURLToPath(new URL("..", import.meta.url));
const EXIT_PATIENCE = 10_000;
const COMMAND = (process.env.SERVER ?? "node reference-server.mjs").trim().split(/\s+/);

export const isReference = process.env.SERVER === undefined;

const running = new Set();
let nextPort = 20_000 + (process.pid % 10_000);

// Whatever ends this process, no server outlives it.
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

export async function startServer(env = {}) {
  const child = spawn(COMMAND[0], COMMAND.slice(1), {
    cwd: HOME,
    env: { ...process.env, PORT: "0", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  const server = new RunningServer(child);
  await server.ready();
  return server;
}

class RunningServer {
  #child;
  #exit;
  #complaints = "";
  #lines;
  url;

  constructor(child) {
    this.#child = child;
    this.#exit = once(child, "exit").finally(() => running.delete(child));
    this.#exit.catch(() => {});
    child.stderr.setEncoding("utf8").on("data", (text) => (this.#complaints += text));
    // Read to the end, so that a talkative server never fills its pipe.
    this.#lines = createInterface({ input: child.stdout });
  }

  get port() {
    return Number(new URL(this.url).port);
  }

  async ready() {
    const announced = this.announcement(/^listening on (http:\/\/127\.0\.0\.1:\d+)$/);
    const died = this.#exit.then(([code]) => {
      throw new Error(`the server ended with ${code} before it listened\n${this.#complaints}`);
    });
    [, this.url] = await within(PATIENCE, "the server to listen", Promise.race([announced, died]));
  }

  /** The next line that the server prints of that form. */
  announcement(form) {
    return new Promise((resolve) => {
      this.#lines.on("line", (line) => {
        const found = line.match(form);
        if (found) resolve(found);
      });
    });
  }

  signal(name) {
    this.#child.kill(name);
  }

  /** Asks the server to end; a server that is dead already, or does not obey, is at fault. */
  async stop() {
    if (this.#ended) return this.#assertAlive();
    this.#child.kill("SIGTERM");
    await this.#gone();
    this.#assertNoPanic();
  }

  /** Ends the server without a goodbye. */
  async crash() {
    this.#child.kill("SIGKILL");
    await this.#gone();
  }

  /** Stops the clock of the server: its connections stay open, and silent. */
  freeze() {
    this.#child.kill("SIGSTOP");
  }

  async exitCode() {
    const [code] = await within(EXIT_PATIENCE, "the server to end", this.#exit);
    return code;
  }

  terminate() {
    this.#child.kill("SIGTERM");
  }

  get ended() {
    return this.#ended;
  }

  get #ended() {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async #gone() {
    try {
      await within(EXIT_PATIENCE, "the server to end", this.#exit);
    } catch (error) {
      this.#child.kill("SIGKILL");
      await this.#exit;
      throw error;
    }
  }

  #assertAlive() {
    const { exitCode, signalCode } = this.#child;
    throw new Error(`the server ended by itself (${exitCode ?? signalCode})\n${this.#complaints}`);
  }

  #assertNoPanic() {
    if (this.#complaints.includes("panicked")) throw new Error(`the server panicked\n${this.#complaints}`);
  }
}

/**
 * A port for a server that has to come back on it. It lies below the range from which
 * systems usually take the local ports of clients, so no client holds it meanwhile.
 */
export async function reservePort() {
  // Never the same twice: tests overlap, and a port looks free until its server listens.
  for (;;) {
    const port = nextPort++;
    if (await isFree(port)) return String(port);
  }
}

function isFree(port) {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}
