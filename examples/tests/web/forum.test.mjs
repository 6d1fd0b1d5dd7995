// The forum in a real browser: people, tabs, transports, crashes.

import assert from "node:assert/strict";
import { after, before, beforeEach, afterEach, test } from "node:test";
import { App, DESKTOP, PHONE, isAccessible, launch, picture, visit, within } from "./app.mjs";

const LIVE = '[data-testid="status"]:is([data-state="connected"], [data-state="reconnected"])';

let browser;
let app;
let opened;

before(async () => {
  browser = await launch();
});
after(() => browser.close());

beforeEach(async () => {
  opened = [];
  app = await App.start("forum");
});

afterEach(async () => {
  const problems = opened.flatMap(({ problems }) => problems);
  await Promise.all(opened.map((page) => page.context().close()));
  await app.close();
  assert.deepEqual(problems, []);
});

/** Notes what a page complains of, other than that the server is away. */
function watch(page) {
  page.problems ??= [];
  page.on("console", (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) page.problems.push(message.text());
  });
  opened.push(page);
  return page;
}

/** A page of a new person. */
async function person(path = "/topics/1", options = DESKTOP) {
  const page = watch(await visit(browser, app.url + path, options));
  if (options.javaScriptEnabled !== false) await isUpgraded(page);
  return page;
}

/** Another tab of the same person. */
async function tab(page, path) {
  const other = watch(await page.context().newPage());
  other.on("pageerror", (error) => other.problems.push(String(error)));
  await other.goto(app.url + path);
  await isUpgraded(other);
  return other;
}

const at = (page, id) => page.getByTestId(id);
const isLive = (page) => page.locator(LIVE).waitFor();
const state = (page, name) => page.locator(`[data-testid="status"][data-state="${name}"]`).waitFor();
const isOn = (page, transport) => page.locator(`[data-testid="now"][data-transport="${transport}"]`).waitFor();
// Before that, the end of a browser or of the server may be noticed by the heartbeat only: a browser that polls has no
// connection that ends with it, and a client that loses its server in the middle of the upgrade has stopped polling.
const isUpgraded = async (page) => {
  await isLive(page);
  await isOn(page, "websocket");
};
const texts = (page) => page.locator("#posts .text").allTextContents();

async function say(page, text) {
  await at(page, "text").fill(text);
  await at(page, "send").click();
}

const shows = (page, text) => at(page, "post").filter({ hasText: text }).waitFor();

/** Waits until `count` visitors are shown. */
const visitors = (page, count) => at(page, "visitors").and(page.getByText(String(count), { exact: true })).waitFor();

/** Waits until a figure of a way is more than `least`. */
const costs = (page, way, figure, least = 0) =>
  page.waitForFunction(
    ([way, figure, least]) => {
      const told = document.querySelector(`[data-testid="meter-${way}"] .${figure}`);
      return told.dataset.value !== "" && Number(told.dataset.value) > least;
    },
    [way, figure, least],
  );

/** Waits until a page shows so many posts and waits for none. */
const settled = (page, count) =>
  page.waitForFunction(
    (count) =>
      document.querySelectorAll("#posts > li").length === count &&
      document.querySelectorAll("#pending > li").length === 0,
    count,
  );

async function isFine(page, what) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await isAccessible(page, `${what}, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
}

test("two people with three tabs see each other's posts, and are two visitors", async () => {
  const ann = await person("/topics/1");
  const list = await tab(ann, "/");
  const bob = await person("/topics/1");
  for (const page of [ann, list, bob]) await visitors(page, 2);
  await at(ann, "empty").waitFor();
  await isFine(ann, "an empty topic");

  await at(ann, "name").fill("Ann");
  await say(ann, "Hello from Ann");
  await shows(bob, "Hello from Ann");
  await say(bob, "Hello from Bob");
  for (const page of [ann, bob]) await shows(page, "Hello from Bob");
  for (const page of [ann, bob]) assert.deepEqual(await texts(page), ["Hello from Ann", "Hello from Bob"]);
  const topic = list.locator('[data-testid="topic"][data-id="1"]');
  await topic.getByTestId("count").and(list.getByText("2", { exact: true })).waitFor();
  await topic.getByText("Hello from Bob").waitFor();
  await isFine(list, "the list of topics");
  await picture(list, "forum-list");

  // A reload shows the same, made by the server.
  await ann.reload();
  await isLive(ann);
  assert.deepEqual(await texts(ann), ["Hello from Ann", "Hello from Bob"]);
  await visitors(bob, 2);
  opened.splice(opened.indexOf(bob), 1);
  await bob.context().close();
  await visitors(ann, 1);
  await visitors(list, 1);
});

test("each transport can be forced, and is shown with what it costs", async () => {
  const page = await person();
  const other = await person();
  await isOn(page, "websocket");
  await at(page, "way-polling").check();
  await isOn(page, "polling");
  await say(other, "by long-polling");
  await shows(page, "by long-polling");
  await costs(page, "polling", "requests", 2);
  await costs(page, "polling", "bytes");
  await costs(page, "polling", "delay", -1);

  await at(page, "way-websocket").check();
  await isOn(page, "websocket");
  await say(other, "by WebSocket");
  await shows(page, "by WebSocket");
  await costs(page, "websocket", "requests");
  await costs(page, "websocket", "bytes");
  await costs(page, "websocket", "delay", -1);

  // All three beside each other; short polling asks although there is nothing new.
  await at(page, "beside-other").check();
  await at(page, "every").selectOption("1");
  await at(page, "beside-short").check();
  await costs(page, "short", "requests", 2);
  await at(page, "again").click();
  await at(other, "name").fill("Bo");
  const NEWS = ["Three ways to hear of this", "One asks every second", "One waits for the answer", "One is just told"];
  for (const [index, text] of NEWS.entries()) {
    await say(other, text);
    await shows(page, text);
    await costs(page, "short", "requests", 2 * index + 1);
  }
  await costs(page, "short", "delay", -1);
  assert.deepEqual(await texts(page), ["by long-polling", "by WebSocket", ...NEWS], "each once, by whichever way");
  await isOn(page, "websocket");
  await isFine(page, "a topic with all three ways");
  await page.evaluate(() => scrollTo(0, 0));
  await picture(page, "forum-light");
  await page.emulateMedia({ colorScheme: "dark" });
  await picture(page, "forum-dark");
  await at(page, "way-auto").check();
  await isOn(page, "websocket");
  await say(page, "and what works best");
  await shows(other, "and what works best");
});

test("a server that is killed while five pages post loses and doubles nothing, and all come back", async () => {
  const POSTS = 8;
  const pages = await Promise.all(Array.from({ length: 5 }, () => person()));
  await visitors(pages[0], 5);
  const all = pages.flatMap((_, who) => Array.from({ length: POSTS }, (_, number) => `Post ${number} of page ${who}`));
  const post = (page, who, from, to) =>
    all.slice(who * POSTS + from, who * POSTS + to).reduce((done, text) => done.then(() => say(page, text)), Promise.resolve());
  // It dies in the middle of what they say.
  const saying = Promise.all(pages.map((page, who) => post(page, who, 0, 6)));
  await pages[0].waitForFunction(() => document.querySelectorAll("#posts > li").length >= 8);
  await app.kill();
  await saying;
  await state(pages[0], "offline");
  // What is said meanwhile is kept, and shown as such.
  await Promise.all(pages.map((page, who) => post(page, who, 6, POSTS)));
  await at(pages[0], "pending").first().waitFor();
  await isFine(pages[0], "offline, with posts that wait");
  await picture(pages[0], "forum-offline");
  await app.again();
  for (const page of pages) {
    await isLive(page);
    await settled(page, all.length);
  }
  const lists = await Promise.all(pages.map(texts));
  assert.deepEqual([...lists[0]].sort(), [...all].sort(), "each is there once");
  for (const list of lists) assert.deepEqual(list, lists[0], "in the same order on all pages");
  for (const page of pages) await visitors(page, 5);
});

test("a server that is restarted in order is missed for a moment, and nothing is lost", async () => {
  const pages = await Promise.all([person(), person(), person()]);
  await say(pages[0], "before");
  await Promise.all(pages.map((page) => shows(page, "before")));
  await app.stop("SIGTERM");
  await say(pages[1], "while there was none");
  await at(pages[1], "pending").waitFor();
  await app.again();
  await Promise.all(
    pages.map(async (page) => {
      await state(page, "reconnected");
      await settled(page, 2);
      assert.deepEqual(await texts(page), ["before", "while there was none"]);
      await state(page, "connected");
    }),
  );
});

test("what waits is kept over a reload", async () => {
  const page = await person();
  await app.kill();
  await state(page, "offline");
  await say(page, "kept over a reload");
  await app.again();
  await page.reload();
  await shows(page, "kept over a reload");
  await settled(page, 1);
});

test("the count is right after the crash of a browser's page", async () => {
  const ann = await person();
  const bob = await person();
  await visitors(ann, 2);
  const crashed = new Promise((resolve) => bob.once("crash", resolve));
  bob.goto("chrome://crash").catch(() => {});
  await within(crashed, "the crash");
  await visitors(ann, 1);
});

test("without a script the pages work, and post by a form", async () => {
  const live = await person();
  const plain = await person("/topics/1", { ...DESKTOP, javaScriptEnabled: false });
  await say(plain, "by a form <b>alone</b>");
  await shows(plain, "by a form <b>alone</b>");
  await shows(live, "by a form <b>alone</b>");
  assert.equal(await plain.locator("#using").isVisible(), false);
  await plain.getByRole("link", { name: "All topics" }).click();
  await plain.getByText("by a form <b>alone</b>").waitFor();
});

test("markup in posts is text, and what the server refuses is given back to its writer", async () => {
  const page = await person();
  const markup = '<img src="x" onerror="document.title=1"><script>document.title=2</script>';
  await at(page, "text").fill(markup);
  await at(page, "text").press("Control+Enter");
  await shows(page, markup);
  assert.equal(await page.locator("#posts img, #posts script").count(), 0);
  await page.reload();
  await shows(page, markup);
  assert.equal(await page.title(), "Welcome · Forum");

  // Longer than what the form lets through.
  await at(page, "text").evaluate((text) => text.removeAttribute("maxlength"));
  await say(page, "x".repeat(2_001));
  await at(page, "pending").getByText("A post has 1 to 2,000 characters.").waitFor();
  await isFine(page, "a post that was refused");
  await at(page, "pending").getByRole("button").click();
  assert.equal((await at(page, "text").inputValue()).length, 2_001);
  await settled(page, 1);
});

test("a page that the server refuses says why", async () => {
  const page = await person();
  await page.evaluate(() => (document.body.dataset.topic = "99"));
  await at(page, "way-websocket").check();
  await state(page, "refused");
  await at(page, "status").getByText("no such topic").waitFor();
  await isFine(page, "refused");
});

test("all of it fits a phone", async () => {
  const page = await person("/topics/2", PHONE);
  await say(page, "From a phone, with_a_word_that_is_much_longer_than_the_screen_of_a_phone_is_wide_ever");
  await shows(page, "From a phone");
  await isFine(page, "a phone");
  for (const path of ["/topics/2", "/"]) {
    await page.goto(app.url + path);
    await isLive(page);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360, path);
  }
  await page.goto(`${app.url}/topics/2`);
  await isLive(page);
  await picture(page, "forum-phone");
});
