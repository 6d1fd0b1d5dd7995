// A built application, started and stopped as a user would, and what the browser sees of it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export { launch } from "../../../interop/browser/visitor.mjs";

/** How long anything may take before a test fails. */
export const PATIENCE_MS = 20_000;

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const BIN = process.env.BIN_DIR ?? join(ROOT, "target/debug");
// `SCREENSHOTS=docs` replaces the pictures of the documentation.
const PICTURES = join(ROOT, process.env.SCREENSHOTS === "docs" ? "docs/examples" : "target/screenshots");
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** Fails when `promise` takes longer than anything may. */
export async function within(promise, what = "what was waited for") {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not happen within ${PATIENCE_MS} ms`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A port that is free now. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** An application in a directory of its own, which outlives a restart. */
export class App {
  /** All lines that it has written. */
  lines = [];
  #waiting = new Set();

  /** Starts `name`; `env` is added to the environment, `args` are those of the command line. */
  static async start(name, { env = {}, args = [] } = {}) {
    const app = new App();
    app.name = name;
    app.args = args;
    app.directory = await mkdtemp(join(tmpdir(), `roomful-${name}-`));
    app.port = await freePort();
    app.env = { ...process.env, HOST: "127.0.0.1", PORT: String(app.port), DATA: app.directory, ...env };
    app.url = `http://127.0.0.1:${app.port}`;
    await app.again();
    return app;
  }

  /** Starts it again, at the same address and with the same data. */
  async again() {
    const from = this.lines.length;
    this.process = spawn(join(BIN, this.name), this.args, { env: this.env, cwd: this.directory });
    this.ended = once(this.process, "exit");
    for (const stream of [this.process.stdout, this.process.stderr]) {
      createInterface({ input: stream }).on("line", (line) => this.#heard(line));
    }
    const died = this.ended.then(([code]) => {
      throw new Error(`${this.name} ended with ${code} before it listened:\n${this.lines.slice(from).join("\n")}`);
    });
    // Later it may end.
    died.catch(() => {});
    await Promise.race([died, this.says(/^listening on /, from)]);
  }

  #heard(line) {
    this.lines.push(line);
    for (const look of [...this.#waiting]) look();
  }

  /** Waits for a line, of those from `from` on. */
  says(pattern, from = 0) {
    const said = new Promise((resolve) => {
      const look = () => {
        const line = this.lines.slice(from).find((line) => pattern.test(line));
        if (line === undefined) return;
        this.#waiting.delete(look);
        resolve(line);
      };
      this.#waiting.add(look);
      look();
    });
    return within(said, `${this.name} says ${pattern}`);
  }

  /** Kills it, as a crash of the machine would. */
  async kill() {
    this.process.kill("SIGKILL");
    await within(this.ended, `the end of ${this.name}`);
  }

  /** Asks it to end, and sees that it does so in order. */
  async stop(signal = "SIGTERM") {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    this.process.kill(signal);
    const [code] = await within(this.ended, `the end of ${this.name}`);
    assert.equal(code, 0, `${this.name} ended with ${code}:\n${this.lines.join("\n")}`);
  }

  /** Stops it, and forgets its data. */
  async close() {
    await this.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}

export const DESKTOP = { viewport: { width: 1280, height: 800 } };
export const PHONE = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };

/** A page of a browser context of its own: one person. What goes wrong in it is in `page.problems`. */
export async function visit(browser, url, options = DESKTOP) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(String(error)));
  await page.goto(url);
  return page;
}

/** axe finds nothing serious in the page as it is. */
export async function isAccessible(page, state) {
  await page.evaluate(await readFile(AXE, "utf8"));
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const said = serious.map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.map(({ html }) => html).join("\n  ")}`);
  assert.deepEqual(said, [], `axe, ${state}`);
}

/** Takes a picture: `NAME-WHAT.png`. */
export async function picture(page, name) {
  await mkdir(PICTURES, { recursive: true });
  await page.screenshot({ path: join(PICTURES, `${name}.png`) });
}
