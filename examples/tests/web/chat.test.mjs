// The chat, as people and as programs of its kind use it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { io } from "socket.io-client";
import { App, DESKTOP, PHONE, isAccessible, launch, picture, visit, within } from "./app.mjs";

let browser;

before(async () => {
  browser = await launch();
});

after(() => browser?.close());

const sockets = [];

async function withChat(use) {
  const app = await App.start("chat");
  try {
    await use(app);
  } finally {
    // One that is left would keep this program alive, and call again for ever.
    for (const socket of sockets.splice(0)) socket.disconnect();
    await app.close();
  }
}

/** A client, connected; `options` as those of the official client. */
async function connected(app, options = {}) {
  const socket = io(app.url, { forceNew: true, ...options });
  sockets.push(socket);
  await within(new Promise((resolve, reject) => socket.on("connect", resolve).on("connect_error", reject)), "connect");
  return socket;
}

const heard = (socket, event) => within(new Promise((resolve) => socket.once(event, resolve)), event);
const stateIs = (page, state) => page.locator(`#state[data-state="${state}"]`).waitFor();
// Before that, the end of the server may be noticed by the heartbeat only: a client that loses it in the middle of the
// upgrade has stopped polling.
const isUpgraded = async (page) => {
  await stateIs(page, "connected");
  await page.waitForFunction(() => socket.io.engine.transport.name === "websocket");
};

test("a message comes back, and the server says who comes and goes", () =>
  withChat(async (app) => {
    assert.equal(app.lines[0], `listening on port ${app.port}`);
    const socket = await connected(app);
    const id = socket.id;
    await app.says(new RegExp(`^user connected ${id}$`));
    socket.emit("message", "hello");
    assert.equal(await heard(socket, "message"), `${id.slice(0, 3)} said hello`);
    socket.disconnect();
    await app.says(new RegExp(`^user disconnected ${id}$`));
  }));

test("pages of any origin may come", () =>
  withChat(async (app) => {
    const answer = await fetch(`${app.url}/socket.io/?EIO=4&transport=polling`, { headers: { origin: "https://example.org" } });
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get("access-control-allow-origin"), /^(\*|https:\/\/example\.org)$/);
  }));

test("a message goes to whoever sent it, and to nobody else", () =>
  withChat(async (app) => {
    const [ada, bob] = [await connected(app), await connected(app)];
    const others = [];
    bob.onAny((...event) => others.push(event));
    ada.emit("message", "for me");
    await heard(ada, "message");
    bob.emit("message", "mine");
    await heard(bob, "message");
    assert.deepEqual(others, [["message", `${bob.id.slice(0, 3)} said mine`]]);
  }));

test("what is wrong is answered, or ends a connection, and hurts nobody else", () =>
  withChat(async (app) => {
    await assert.rejects(connected(app, { auth: { name: "x".repeat(21) } }), /a name has at most 20 characters/);
    await assert.rejects(connected(app, { auth: { name: 7 } }));
    const [ada, bob] = [await connected(app), await connected(app)];
    const misfit = await within(ada.emitWithAck("message", { not: "a text" }), "the answer to a wrong type");
    assert.equal(misfit.error.code, "invalid_arguments", JSON.stringify(misfit));
    const deep = await within(ada.emitWithAck("message", JSON.parse("[".repeat(100) + "]".repeat(100))), "the answer to a deep one");
    assert.equal(deep.error.code, "invalid_arguments", JSON.stringify(deep));
    ada.emit("message", "x".repeat(2_000_000));
    await heard(ada, "disconnect");
    bob.emit("message", "still here");
    assert.match(await heard(bob, "message"), /still here$/);
  }));

test("whoever floods waits, loses nothing, and holds nobody else up", () =>
  withChat(async (app) => {
    const [ada, bob] = [await connected(app), await connected(app)];
    const came = [];
    // 100 may come at once, and the others take so long that there is time to look.
    const FLOOD = 500;
    const [some, all] = [100, FLOOD].map((count) => new Promise((resolve) => {
      ada.on("message", () => came.length >= count && resolve());
    }));
    ada.prependAny((_, text) => came.push(text));
    for (let n = 0; n < FLOOD; n += 1) ada.emit("message", `${n}`);
    await within(some, "what may come at once");
    bob.emit("message", "meanwhile");
    assert.match(await heard(bob, "message"), /meanwhile$/);
    assert.ok(came.length < FLOOD, "the one who floods is not done yet");
    await within(all, "all that was said");
    assert.deepEqual(came, Array.from({ length: FLOOD }, (_, n) => `${ada.id.slice(0, 3)} said ${n}`));
  }));

test("the page shows what is said, and each state of the connection", () =>
  withChat(async (app) => {
    const page = await visit(browser, app.url);
    await stateIs(page, "connected");
    await isAccessible(page, "empty");
    await page.getByLabel("Name").fill("Ana");
    await page.getByRole("button", { name: "Use this name" }).click();
    await page.getByText("connected as Ana").waitFor();
    await page.getByLabel("Message").fill("hello <b>all</b>");
    await page.keyboard.press("Enter");
    await page.getByText("said hello <b>all</b>").waitFor();
    await picture(page, "chat-light");

    await isUpgraded(page);
    await app.kill();
    await stateIs(page, "offline");
    await page.getByLabel("Message").fill("written offline");
    await page.keyboard.press("Enter");
    await isAccessible(page, "offline");
    await app.again();
    await stateIs(page, "connected");
    await page.getByText("said written offline").waitFor();

    await page.getByLabel("Name").fill("x".repeat(21));
    await page.getByRole("button", { name: "Use this name" }).click();
    await stateIs(page, "refused");
    await page.getByText("refused: a name has at most 20 characters").waitFor();
    await isAccessible(page, "refused");
    await page.emulateMedia({ colorScheme: "dark" });
    await isAccessible(page, "refused, dark");
    assert.deepEqual(page.problems, []);
    await page.context().close();
  }));

test("five pages come back by themselves after a crash and after a restart", () =>
  withChat(async (app) => {
    const pages = await Promise.all(Array.from({ length: 5 }, () => visit(browser, app.url)));
    for (const end of ["kill", "stop"]) {
      await Promise.all(pages.map(isUpgraded));
      await app[end]();
      // All have lost it: what they say from now on waits for the next.
      await Promise.all(pages.map((page) => stateIs(page, "offline")));
      await app.again();
      for (const [at, page] of pages.entries()) {
        await page.getByLabel("Message").fill(`${end} ${at}`);
        await page.keyboard.press("Enter");
        await page.getByText(new RegExp(`said ${end} ${at}$`)).waitFor();
        assert.equal(await page.getByText(new RegExp(`said ${end} ${at}$`)).count(), 1);
      }
    }
    for (const page of pages) await page.context().close();
  }));

test("the page fits a phone, light and dark", () =>
  withChat(async (app) => {
    for (const colorScheme of ["light", "dark"]) {
      const page = await visit(browser, app.url, { ...PHONE, colorScheme });
      await stateIs(page, "connected");
      await page.getByLabel("Message").fill("a message from a phone");
      await page.keyboard.press("Enter");
      await page.getByText("said a message from a phone").waitFor();
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(overflow, 0);
      await isAccessible(page, `phone, ${colorScheme}`);
      await picture(page, `chat-phone-${colorScheme}`);
      await page.context().close();
    }
    const page = await visit(browser, app.url, { ...DESKTOP, colorScheme: "dark" });
    await stateIs(page, "connected");
    await picture(page, "chat-dark");
    await page.context().close();
  }));
