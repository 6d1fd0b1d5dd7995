// One person at the playground: a page of its own browser context, driven through its test ids.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

export const HUB_URL = process.env.HUB_URL ?? "http://127.0.0.1:3000";

const TIMEOUT_MS = 15_000;

const DESKTOP = { width: 1440, height: 900 };

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    // The flags below say which headless mode; the driver's own choice would be another binary.
    headless: false,
    args: [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

// The close packet of Engine.IO.
const CLOSE = "1";

// undefined where the URL names no session.
const sessionId = (url) => url.match(/[?&]sid=([^&]+)/)?.[1];

const escapeRegExp = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

const exactly = (text) => new RegExp(`^\\s*${escapeRegExp(text)}\\s*$`);

export class Visitor {
  problems = [];
  #requests = new Set();
  #ended = new Set();
  #whenIdle = () => {};

  // `prepare(page)` runs before the page loads; `contextOptions` are those of a browser context.
  static async open(browser, { prepare = () => {}, ...contextOptions } = {}) {
    const context = await browser.newContext({ viewport: DESKTOP, ...contextOptions });
    context.setDefaultTimeout(TIMEOUT_MS);
    const visitor = new Visitor(await context.newPage());
    await prepare(visitor.page);
    await visitor.page.goto(HUB_URL);
    return visitor;
  }

  constructor(page) {
    this.page = page;
    this.#watchProblems();
    this.#watchRequests();
  }

  #watchProblems() {
    this.page.on("pageerror", (error) => this.problems.push(`page error: ${error.stack ?? error}`));
    this.page.on("console", (message) => {
      if (message.type() !== "error" || this.#isLatePoll(message.location().url)) return;
      this.problems.push(`console error: ${message.text()}`);
    });
    this.page.on("requestfailed", (request) => {
      this.problems.push(`request failed: ${request.url()} ${request.failure()?.errorText}`);
    });
    this.page.on("response", (response) => {
      if (response.status() < 400 || this.#isLatePoll(response.url())) return;
      this.problems.push(`status ${response.status()}: ${response.url()}`);
    });
  }

  // The client may send a poll and the POST that ends its session together, on two connections.
  // Where the poll arrives second, its session is unknown (status 400): nobody waits for it.
  #isLatePoll(url) {
    return this.#ended.has(sessionId(url));
  }

  #noteEnd(request) {
    if (request.method() === "POST" && request.postData() === CLOSE) this.#ended.add(sessionId(request.url()));
  }

  #watchRequests() {
    const done = (request) => {
      this.#requests.delete(request);
      if (this.#requests.size === 0) this.#whenIdle();
    };
    this.page.on("request", (request) => {
      this.#requests.add(request);
      this.#noteEnd(request);
    });
    this.page.on("requestfinished", done);
    this.page.on("requestfailed", done);
  }

  at(testId) {
    return this.page.getByTestId(testId);
  }

  // The one element of that test id with exactly that text.
  async shows(testId, text) {
    await this.at(testId).filter({ hasText: exactly(text) }).waitFor();
  }

  async state(name) {
    await this.page.locator(`[data-testid="status"][data-state="${name}"]`).waitFor();
  }

  // Waits until the connection is `on` that transport: the last that the choice leads to, if not told.
  async connect(choice = "websocket", { on = choice === "polling" ? "polling" : "websocket" } = {}) {
    await this.at("transport-choice").selectOption(choice);
    await this.at("connect-button").click();
    await this.state("connected");
    await this.isOn(on);
    return this.id();
  }

  isOn(transport) {
    return this.shows("transport-live", transport);
  }

  async disconnect() {
    await this.at("connect-button").click();
    await this.state("disconnected");
  }

  id() {
    return this.at("socket-id").textContent();
  }

  room(name) {
    return this.page.locator(`[data-testid="room"][data-room="${name}"]`);
  }

  async join(name) {
    await this.at("room-name").fill(name);
    await this.at("join-button").click();
    await this.room(name).waitFor();
    await this.room(name).getByTestId("members-toggle").click();
  }

  async leave(name) {
    await this.room(name).getByTestId("leave-button").click();
    await this.room(name).waitFor({ state: "detached" });
  }

  // Waits until the opened list of the room holds these ids and no other.
  async hasMembers(name, ids) {
    const room = this.room(name);
    await room.getByTestId("member-count").filter({ hasText: exactly(String(ids.length)) }).waitFor();
    for (const id of ids) await room.locator(`[data-testid="member"][data-id="${id}"]`).waitFor();
    assert.equal(await room.getByTestId("member").count(), ids.length);
  }

  async say(text) {
    await this.at("chat-text").fill(text);
    await this.at("chat-send").click();
  }

  async hears(text, { own }) {
    const message = this.page.locator(`[data-testid="chat-message"][data-own="${own}"]`);
    await message.getByTestId("chat-message-text").filter({ hasText: exactly(text) }).waitFor();
  }

  async emitJson(event, json) {
    await this.at("emit-kind-json").check({ force: true });
    await this.at("emit-event").fill(event);
    await this.at("emit-args").fill(json);
    await this.at("emit-send").click();
  }

  async emitFile(event, file) {
    await this.at("emit-kind-file").check({ force: true });
    await this.at("emit-event").fill(event);
    await this.at("emit-file").setInputFiles(file);
    await this.at("emit-send").click();
  }

  logRow(direction, event) {
    return this.page.locator(`[data-testid="log-row"][data-direction="${direction}"][data-event="${event}"]`);
  }

  async ackIs(state) {
    await this.page.locator(`[data-testid="ack"][data-ok="${state}"]`).waitFor();
  }

  // Waits for the last answers, so that closing the page aborts nothing, and judges it all.
  async close() {
    if (await this.page.locator('[data-testid="connect-button"][data-action="disconnect"]').count()) await this.disconnect();
    await this.#idle();
    const problems = [...this.problems];
    await this.page.context().close();
    assert.deepEqual(problems, []);
  }

  async #idle() {
    if (this.#requests.size === 0) return;
    const pending = () => [...this.#requests].map((request) => request.url()).join(" ");
    let timer;
    await Promise.race([
      new Promise((resolve) => {
        this.#whenIdle = resolve;
      }),
      new Promise((_resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`still pending after the disconnect: ${pending()}`)), TIMEOUT_MS);
      }),
    ]);
    clearTimeout(timer);
  }
}
