// A server that is killed and comes back: one address for its clients, and one for its engine, for all its lives.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../../proxies/ports.mjs";
import { find } from "../services.mjs";
import { Proxy } from "./proxy.mjs";

const HOME = fileURLToPath(new URL("..", import.meta.url));
const LISTENING = /^listening on http:\/\/127\.0\.0\.1:(\d+)$/;
const START_PATIENCE = 15_000;
const TRY_AGAIN = 300;
/** What is kept of what it says. */
const LINES = 40;

const COMMANDS = {
  node: [process.execPath, "node-server.mjs"],
  rust: process.env.SERVER?.trim().split(/\s+/),
};

const running = new Set();
// Whatever ends this process, no server outlives it.
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

export class Node {
  #options;
  #child;
  #isMeantToRun = false;
  #isOver = false;
  /** How often it has come to life. */
  life = 0;
  /** What went wrong by itself, each as a text. */
  faults = [];
  /** Told of each new life, with the port of this one. */
  onLife = () => {};
  onDeath = () => {};

  static async start(index, kind, engine, engineName, recovers) {
    const node = new Node();
    Object.assign(node, { index, kind, name: `${kind}-${index}` });
    node.links = await Proxy.start(await freePort());
    node.bus = await Proxy.start(await freePort());
    node.bus.target = engine.port;
    node.#options = ["--engine", engineName, "--url", engine.url(node.bus.port)];
    if (recovers) node.#options.push("--recovery", "yes");
    await node.begin();
    return node;
  }

  /** Where its clients find it, in all its lives. */
  get url() {
    return `http://127.0.0.1:${this.links.port}`;
  }

  get isUp() {
    return this.#isMeantToRun;
  }

  /** Tries until it is there: without its engine it is not. */
  async begin() {
    while (!this.#isOver) {
      const port = await this.#attempt();
      if (port !== undefined) {
        this.#isMeantToRun = true;
        this.life += 1;
        this.links.target = port;
        this.onLife(port);
        return;
      }
      await sleep(TRY_AGAIN);
    }
  }

  /** Its port, or nothing. */
  async #attempt() {
    const command = ["--pdeathsig", "KILL", ...COMMANDS[this.kind], ...this.#options];
    const child = spawn(find("setpriv"), command, { cwd: HOME, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    running.add(child);
    child.once("exit", () => running.delete(child));
    child.said = [];
    createInterface({ input: child.stderr }).on("line", (line) => {
      child.said.push(line);
      if (child.said.length > LINES) child.said.shift();
      if (line.includes("panicked")) this.faults.push(`${this.name} panicked: ${line}`);
    });
    const exit = once(child, "exit").then(([code, signal]) => this.#ended(child, code ?? signal));
    const listening = new Promise((resolve) => {
      createInterface({ input: child.stdout }).on("line", (line) => {
        const found = line.match(LISTENING);
        if (found) resolve(Number(found[1]));
      });
    });
    const port = await Promise.race([listening, exit, sleep(START_PATIENCE, undefined, { ref: false })]);
    if (port === undefined) child.kill("SIGKILL");
    return port;
  }

  #ended(child, why) {
    if (child !== this.#child || !this.#isMeantToRun) return;
    // The event loop may hand on the last lines later.
    setTimeout(() => {
      this.faults.push(`${this.name} ended by itself (${why})\n    ${child.said.slice(-12).join("\n    ")}`);
    }, 100);
    this.#isMeantToRun = false;
    this.links.target = undefined;
    this.onDeath();
    if (!this.#isOver) this.begin();
  }

  async kill() {
    this.#isMeantToRun = false;
    this.links.target = undefined;
    this.onDeath();
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }

  async stop() {
    this.#isOver = true;
    this.#isMeantToRun = false;
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = once(this.#child, "exit");
      this.#child.kill("SIGKILL");
      await gone;
    }
    await Promise.all([this.links.stop(), this.bus.stop()]);
  }
}
