// The playground of a running hub (HUB_URL), used by two people at a time as they would.

import assert from "node:assert/strict";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { buffer } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { HUB_URL, launch, Visitor } from "./visitor.mjs";

const SCREENSHOTS = fileURLToPath(new URL("screenshots/", import.meta.url));
const PHONE = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };
const VIEWS = ["rooms", "chat", "emit", "log"];
const CLIENT_PATH = "**/socket.io/socket.io.esm.min.js";

let browser;

before(async () => {
  await mkdir(SCREENSHOTS, { recursive: true });
  browser = await launch();
});

after(() => browser?.close());

// A hub may have other visitors, and a test is run many times: no room is used twice.
const freshRoom = (name) => `${name}-${randomUUID().slice(0, 8)}`;

async function withVisitors(options, use) {
  const visitors = [];
  for (const each of options) visitors.push(await Visitor.open(browser, each));
  try {
    await use(...visitors);
  } catch (error) {
    // What went wrong in the pages usually explains why the wait was in vain.
    error.message += visitors.flatMap((visitor) => visitor.problems).map((problem) => `\n${problem}`).join("");
    throw error;
  }
  for (const visitor of visitors) await visitor.close();
}

const screenshot = (visitor, name) => visitor.page.screenshot({ path: `${SCREENSHOTS}${name}.png` });

async function chatBothWays(ada, bob) {
  await ada.say("Hello from <b>Ada</b> & co");
  await bob.hears("Hello from <b>Ada</b> & co", { own: false });
  await ada.hears("Hello from <b>Ada</b> & co", { own: true });
  await bob.say("Hello back");
  await ada.hears("Hello back", { own: false });
  await bob.hears("Hello back", { own: true });
}

async function emitsJson(ada, bob, room) {
  await ada.emitJson("draw", '[{"x": 1, "label": "näh ✓"}, 42, null]');
  const args = bob.logRow("in", "draw").getByTestId("log-args");
  assert.equal(await args.textContent(), '{ "x": 1, "label": "näh ✓" }, 42, null');
  await ada.ackIs(true);
  const ack = JSON.parse(await ada.at("ack-body").textContent());
  assert.equal(ack.ok, true);
  assert.equal(ack.room, room);
  assert.match(await ada.at("ack-ms").textContent(), /^\d+(\.\d)? ms$/);
  await ada.logRow("ack", "draw").waitFor();
}

async function emitsFile(ada, bob) {
  const bytes = randomBytes(300_123);
  await ada.emitFile("file", { name: "noise.bin", mimeType: "application/octet-stream", buffer: bytes });
  const arrived = bob.logRow("in", "file");
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  await arrived.getByTestId("binary-sha256").filter({ hasText: sha256 }).waitFor();
  assert.equal(await arrived.getByTestId("binary-size").getAttribute("data-bytes"), "300123");
  assert.equal(await arrived.getByTestId("binary-name").textContent(), "noise.bin");
  await arrived.getByTestId("binary-hex").waitFor();
  assert.deepEqual(await downloaded(bob, arrived), bytes);
}

async function downloaded(visitor, row) {
  const [download] = await Promise.all([
    visitor.page.waitForEvent("download"),
    row.getByTestId("binary-download").click(),
  ]);
  return buffer(await download.createReadStream());
}

async function leavesAndReturns(ada, bob, room, ids) {
  await bob.leave(room);
  await ada.hasMembers(room, [ids.ada]);
  await bob.join(room);
  await ada.hasMembers(room, [ids.ada, ids.bob]);
}

async function disconnectsAndReturns(ada, bob, room, ids, choice) {
  await bob.disconnect();
  await ada.hasMembers(room, [ids.ada]);
  const bobAgain = await bob.connect(choice);
  assert.notEqual(bobAgain, ids.bob);
  await ada.hasMembers(room, [ids.ada, bobAgain]);
  await bob.hasMembers(room, [ids.ada, bobAgain]);
}

for (const choice of ["upgrade", "websocket", "polling"]) {
  test(`two people share a room, transport: ${choice}`, () =>
    withVisitors([{}, {}], async (ada, bob) => {
      const room = freshRoom("lobby");
      const ids = { ada: await ada.connect(choice), bob: await bob.connect(choice) };
      await ada.join(room);
      await bob.join(room);
      await ada.hasMembers(room, [ids.ada, ids.bob]);
      await bob.hasMembers(room, [ids.ada, ids.bob]);
      await chatBothWays(ada, bob);
      await emitsJson(ada, bob, room);
      await emitsFile(ada, bob);
      await leavesAndReturns(ada, bob, room, ids);
      await disconnectsAndReturns(ada, bob, room, ids, choice);
      await bob.say("I am back");
      await ada.hears("I am back", { own: false });
    }));
}

// The answer to CONNECT and the upgrade are on their way at the same time, and either may be first. Here the
// upgrade waits until the page has said how it was connected.
test("the live transport changes with the upgrade", async () => {
  let letUpgrade;
  const mayUpgrade = new Promise((resolve) => (letUpgrade = resolve));
  const held = {
    prepare: (page) =>
      page.routeWebSocket(/\/socket\.io\//, async (socket) => {
        await mayUpgrade;
        socket.connectToServer();
      }),
  };
  await withVisitors([held], async (ada) => {
    await ada.connect("upgrade", { on: "polling" });
    assert.match(await ada.logRow("system", "connected").textContent(), /"transport": "polling"/);
    letUpgrade();
    await ada.isOn("websocket");
    assert.match(await ada.logRow("system", "upgraded").textContent(), /"transport": "websocket"/);
  });
});

test("a lost connection comes back into its rooms", async () => {
  let cut;
  const routed = {
    prepare: (page) =>
      page.routeWebSocket(/\/socket\.io\//, (socket) => {
        socket.connectToServer();
        cut ??= () => socket.close();
      }),
  };
  await withVisitors([routed, {}], async (ada, bob) => {
    const room = freshRoom("lost");
    const before = await ada.connect("websocket");
    const bobId = await bob.connect("websocket");
    await ada.join(room);
    await bob.join(room);
    await cut();
    await ada.page.waitForFunction(
      (id) => !["–", id].includes(document.querySelector('[data-testid="socket-id"]').textContent),
      before,
    );
    await ada.state("connected");
    await bob.hasMembers(room, [bobId, await ada.id()]);
    await ada.hasMembers(room, [bobId, await ada.id()]);
  });
});

test("a namespace the hub does not have is refused, and the next attempt may succeed", () =>
  withVisitors([{}], async (ada) => {
    await ada.at("advanced").locator("summary").click();
    await ada.at("namespace").fill("/no-such-namespace");
    await ada.at("auth").fill('{"token": "any"}');
    await ada.at("connect-button").click();
    await ada.state("refused");
    assert.notEqual(await ada.at("connection-message").textContent(), "");
    await ada.at("namespace").fill("/");
    await ada.connect();
  }));

test("mistakes are explained next to the field", () =>
  withVisitors([{}], async (ada) => {
    await ada.at("advanced").locator("summary").click();
    await ada.at("auth").fill("[1]");
    await ada.at("connect-button").click();
    await ada.shows("auth-error", 'Auth must be a JSON object, such as {"token": "…"}');
    await ada.at("auth").fill("");
    await ada.connect();
    await ada.join(freshRoom("mistakes"));
    await ada.emitJson("draw", "{x: 1}");
    await ada.at("emit-args-error").filter({ hasText: "Not valid JSON" }).waitFor();
    await ada.at("emit-args").fill('{"x": 1}');
    await ada.shows("emit-args-error", "");
    assert.equal(await ada.logRow("out", "draw").count(), 0);
    await ada.emitJson("", "1");
    await ada.shows("emit-event-error", "Type the name of an event.");
  }));

test("the log filters, pauses, clears, and keeps 500 rows", () =>
  withVisitors([{}], async (ada) => {
    const room = freshRoom("flood");
    await ada.connect();
    await ada.join(room);
    await ada.emitJson("tick", "1");
    await ada.logRow("ack", "tick").waitFor();

    await ada.at("log-hide-system").check();
    await ada.at("log-count").filter({ hasText: /^3 of \d+$/ }).waitFor();
    await ada.at("log-direction").selectOption("in");
    assert.equal(await visibleRows(ada), 1);
    await ada.at("log-direction").selectOption("all");
    await ada.at("log-text").fill("TICK");
    assert.equal(await visibleRows(ada), 3);
    await ada.at("log-text").fill("nothing of the kind");
    assert.equal(await visibleRows(ada), 0);
    await ada.at("log-text").fill("");
    await ada.at("log-hide-system").uncheck();

    await ada.at("log-pause").click();
    const rows = await ada.at("log-row").count();
    await ada.emitJson("quiet", "1");
    await ada.shows("log-paused", "Paused, 3 waiting");
    assert.equal(await ada.at("log-row").count(), rows);
    await ada.at("log-pause").click();
    await ada.logRow("in", "quiet").waitFor();

    await ada.page.evaluate(flood, room);
    await ada.logRow("in", "flooded").waitFor();
    // The last that happens.
    await ada.logRow("in", "room:left").waitFor();
    await ada.shows("log-count", "500");
    assert.equal(await ada.at("log-row").count(), 500);
    await ada.at("log-clear").click();
    await ada.shows("log-count", "0");
  }));

const visibleRows = (visitor) => visitor.page.locator('[data-testid="log-row"]:visible').count();

// Runs in the page: a second socket that sends more events than the log keeps.
async function flood(room) {
  const { io } = await import("/socket.io/socket.io.esm.min.js");
  const socket = io("/", { forceNew: true, transports: ["websocket"] });
  await socket.emitWithAck("room:join", room);
  for (let number = 0; number < 600; number += 1) socket.emit("room:emit", room, "tick", { number });
  await socket.emitWithAck("room:emit", room, "flooded");
  socket.disconnect();
}

test("a hub without the client is explained", () => {
  const answer = { status: 404, contentType: "text/plain", body: "built without npm: no client here\n" };
  const prepare = (page) => page.route(CLIENT_PATH, (route) => route.fulfill(answer));
  return withVisitors([{ prepare }], async (ada) => {
    await ada.shows("client-missing-reason", "404: built without npm: no client here");
    assert.equal(await ada.at("connect-button").isDisabled(), true);
    // The browser itself reports the answers that this test is about.
    ada.problems = ada.problems.filter((problem) => !/\b404\b|socket\.io\.esm\.min\.js/.test(problem));
  });
});

const isDark = (visitor) =>
  visitor.page.evaluate(() => {
    const [red] = getComputedStyle(document.body).backgroundColor.match(/\d+/g);
    return Number(red) < 128;
  });

test("the theme follows the system until it is toggled, and is remembered", () =>
  withVisitors([{ colorScheme: "dark" }, { colorScheme: "light" }], async (ada, bob) => {
    assert.equal(await isDark(ada), true);
    assert.equal(await isDark(bob), false);
    await bob.at("theme-toggle").click();
    assert.equal(await isDark(bob), true);
    await bob.page.reload();
    assert.equal(await isDark(bob), true);
    await bob.at("theme-toggle").click();
    assert.equal(await isDark(bob), false);
  }));

async function furnish(visitor, friend, rooms) {
  await visitor.connect("upgrade");
  await friend.connect("websocket");
  for (const room of rooms) {
    await friend.join(room);
    await visitor.join(room);
  }
  await friend.at("chat-name").fill("Grace");
  await friend.say("The new build is on the hub.");
  await visitor.at("log-row").filter({ hasText: "The new build" }).waitFor({ state: "attached" });
}

test("light and dark on a desktop", () =>
  withVisitors([{ colorScheme: "light" }, {}], async (ada, grace) => {
    const room = freshRoom("design");
    await furnish(ada, grace, [freshRoom("lobby"), room]);
    await ada.at("chat-name").fill("Ada");
    await ada.say("Thanks, I see it. Here is the picture of the page.");
    await ada.hears("Thanks, I see it. Here is the picture of the page.", { own: true });
    const picture = await grace.page.screenshot({ clip: { x: 0, y: 0, width: 640, height: 360 } });
    await grace.emitFile("picture", { name: "page.png", mimeType: "image/png", buffer: picture });
    const image = ada.logRow("in", "picture").getByTestId("binary-image");
    await image.waitFor();
    assert.equal(await image.evaluate(async (img) => (await img.decode(), img.naturalWidth)), 640);
    await ada.emitJson("draw", '[{"shape": "circle", "at": [120, 80], "colour": "teal"}, 42]');
    await ada.ackIs(true);
    await ada.logRow("ack", "draw").waitFor();
    await screenshot(ada, "desktop-light");
    await ada.page.emulateMedia({ colorScheme: "dark" });
    assert.equal(await isDark(ada), true);
    await screenshot(ada, "desktop-dark");
  }));

// Boxes that scroll down count as well: they would scroll sideways by themselves.
async function assertNoSidewaysScroll(visitor, view) {
  const wide = await visitor.page.evaluate(() =>
    [document.documentElement, ...document.querySelectorAll("main, main *:not(pre, select, .ellipsis, .visually-hidden)")]
      .filter((box) => getComputedStyle(box).overflowX !== "visible" || box === document.documentElement)
      .filter((box) => box.scrollWidth > box.clientWidth)
      .map((box) => `${box.tagName} ${box.className}: ${box.scrollWidth} px in ${box.clientWidth} px`),
  );
  assert.deepEqual(wide, [], view);
}

test("a phone shows one view at a time without sideways scrolling", () =>
  withVisitors([PHONE, {}], async (ada, grace) => {
    const room = freshRoom("a-room-with-a-rather-long-name");
    const showView = (view) => ada.at(`view-${view}`).click();
    await furnish(ada, grace, [room]);
    await showView("chat");
    await ada.say("On the phone: https://example.org/a/rather/long/address/that/does/not/break/anywhere");
    await ada.hears("The new build is on the hub.", { own: false });
    await showView("emit");
    await ada.emitJson("note", JSON.stringify({ text: "long ".repeat(100) }));
    await ada.ackIs(true);
    await showView("log");
    await ada.logRow("ack", "note").waitFor();
    for (const view of VIEWS) {
      await showView(view);
      await assertNoSidewaysScroll(ada, view);
      await screenshot(ada, `phone-${view}`);
    }
    await showView("rooms");
  }));

test("every field and button has a name", () =>
  withVisitors([{}], async (ada) => {
    const nameless = await ada.page.evaluate(() =>
      [...document.querySelectorAll("input, select, textarea, button")]
        .filter((field) => !field.labels?.length && !field.ariaLabel && !field.textContent.trim())
        .map((field) => field.outerHTML),
    );
    assert.deepEqual(nameless, []);
  }));

test("every file of the page comes with its own content type", async () => {
  const types = {
    "/": "text/html",
    "/playground.css": "text/css",
    "/playground.js": "text/javascript",
    "/theme.js": "text/javascript",
    "/favicon.svg": "image/svg+xml",
  };
  for (const [path, type] of Object.entries(types)) {
    const response = await fetch(new URL(path, HUB_URL));
    assert.equal(response.status, 200, path);
    assert.equal(response.headers.get("content-type").split(";")[0], type, path);
    await response.body.cancel();
  }
});
