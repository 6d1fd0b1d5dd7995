// The social network in a real browser: people, tabs, phones, sessions, crashes.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, afterEach, before, test } from "node:test";
import { App, DESKTOP, PHONE, isAccessible, launch, picture } from "./app.mjs";

const PASSWORD = "correct horse battery";
const SEND = `mutation ($to: String!, $text: String!, $key: String!) {
  sendMessage(to: $to, text: $text, key: $key) { id }
}`;
const POST = "mutation ($text: String!, $key: String!) { post(text: $text, key: $key) { id } }";
const FOLLOW = "mutation ($handle: String!) { followUnfollowUser(handle: $handle, follow: true) { handle } }";
/** A request that does not go on holds the stop up for so long: pages that give up after 5 s have time to come back. */
const STOP_MS = "500";

let browser;
let app;
let opened = [];
let keys = 0;

before(async () => {
  [browser, app] = await Promise.all([launch(), App.start("social", { env: { STOP_MS } })]);
});
after(async () => {
  await browser.close();
  await app.close();
});
afterEach(async () => {
  const problems = opened.flatMap(({ problems }) => problems);
  const contexts = new Set(opened.map((page) => page.context()));
  opened = [];
  await Promise.all([...contexts].map((context) => context.close()));
  if (app.process.exitCode !== null || app.process.signalCode !== null) await app.again();
  assert.deepEqual(problems, []);
});

/** Somebody, as a program that has their session. */
class Person {
  constructor(handle, answer) {
    this.handle = handle;
    this.cookies = answer.headers.getSetCookie().map((line) => {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
      return { name, value, url: app.url, sameSite: "Strict", httpOnly: /HttpOnly/i.test(line) };
    });
  }

  static async #enter(way, about, server = app) {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${server.url}/api/${way}`, { method: "POST", headers, body: JSON.stringify(about) });
    assert.equal(answer.status, 200, await answer.text());
    return new Person(about.handle, answer);
  }

  static signUp(handle, name, server) {
    return Person.#enter("signup", { handle, name, password: PASSWORD }, server);
  }

  /** The same person on another device. */
  again() {
    return Person.#enter("login", { handle: this.handle, password: PASSWORD });
  }

  #post(path, about) {
    const cookie = this.cookies.map(({ name, value }) => `${name}=${value}`).join("; ");
    const headers = { "content-type": "application/json", cookie };
    return fetch(app.url + path, { method: "POST", headers, body: JSON.stringify(about) });
  }

  /** Logs out. */
  async ends() {
    assert.equal((await this.#post("/api/logout", {})).status, 204);
  }

  async ask(query, variables) {
    const answer = await this.#post("/graphql", { query, variables });
    const { data, errors } = await answer.json();
    assert.equal(errors, undefined);
    return data;
  }

  tells(to, text) {
    return this.ask(SEND, { to, text, key: `from-test-${(keys += 1)}` });
  }

  posts(text) {
    return this.ask(POST, { text, key: `from-test-${(keys += 1)}` });
  }
}

/** Notes what a page complains of, other than that the server is away, and all that it hears by Socket.IO. */
function watch(page) {
  page.problems = [];
  page.heard = [];
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("console", (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) page.problems.push(message.text());
  });
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => page.heard.push(String(payload))));
  page.on("response", (response) => {
    if (!response.url().includes("/socket.io/")) return;
    response.text().then((text) => page.heard.push(text), () => {});
  });
  opened.push(page);
  return page;
}

/** A browser of somebody, or of nobody. */
async function device(who, options = DESKTOP) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(20_000);
  if (who) await context.addCookies(who.cookies);
  return context;
}

async function tab(context, path, server = app) {
  const page = watch(await context.newPage());
  await page.addInitScript(() => {
    globalThis.states = [];
    const note = () => {
      const { state } = document.documentElement.dataset;
      if (globalThis.states.at(-1) !== state) globalThis.states.push(state);
    };
    new MutationObserver(note).observe(document, { attributes: true, subtree: true, attributeFilter: ["data-state"] });
  });
  await page.goto(server.url + path);
  return page;
}

/** A page that is connected, on WebSocket: the end of the server would be noticed late in the middle of the upgrade. */
async function open(who, path = "/", options = DESKTOP) {
  const page = await tab(await device(who, options), path);
  await isUpgraded(page);
  return page;
}

/** Another tab of the same browser. */
async function another(page, path) {
  const other = await tab(page.context(), path);
  await isUpgraded(other);
  return other;
}

const at = (page, id) => page.getByTestId(id);
const marked = (page, selector) => page.locator(`html${selector}`).waitFor({ state: "attached" });
const state = (page, ...names) => marked(page, `:is(${names.map((name) => `[data-state="${name}"]`)})`);
const isLive = (page) => state(page, "connected", "reconnected");
const isUpgraded = async (page) => {
  await isLive(page);
  await marked(page, '[data-transport="websocket"]');
};
/** All states that the page was in since it was loaded. */
const statesOf = (page) => page.evaluate(() => globalThis.states);
const texts = (page, what = "message") => page.locator(`[data-testid="${what}"] .text`).allTextContents();
const shows = (page, text, what = "message") => at(page, what).filter({ hasText: text }).waitFor();
const isAt = (page, path) => page.waitForURL(`${app.url}${path}`);
const is = (locator, text) => locator.and(locator.page().getByText(text, { exact: true })).waitFor();
/** The number before what only a screen reader says. */
const badge = (locator, number) => locator.filter({ hasText: new RegExp(`^${number} unread$`) }).waitFor();
const gone = (locator) => locator.waitFor({ state: "detached" });

async function say(page, text) {
  await at(page, "message-text").fill(text);
  await at(page, "message-text").press("Enter");
}

async function post(page, text) {
  await at(page, "post-text").fill(text);
  await at(page, "post-send").click();
}

/** Waits until a page shows so many messages, or posts, and none that waits. */
const settled = (page, count, what = "message") =>
  page.waitForFunction(
    ([count, what]) =>
      document.querySelectorAll(`[data-testid="${what}"]`).length === count &&
      document.querySelectorAll('[data-testid="waiting"]').length === 0,
    [count, what],
  );

async function isFine(page, what) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await isAccessible(page, `${what}, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
}

test("one signs up, logs out and logs in, and what is wrong is said where it is", async () => {
  await Person.signUp("taken", "Somebody else");
  const page = await tab(await device(), "/people");
  await isAt(page, "/portal");
  await state(page, "signed-out");
  await isFine(page, "the portal");
  await page.getByLabel("Handle").fill("nobody");
  await page.getByLabel("Password").fill("not the password");
  await at(page, "enter").click();
  await at(page, "error").getByText("do not fit").waitFor();
  await isFine(page, "a log-in that failed");

  await at(page, "switch").click();
  const fill = async (handle, name, password) => {
    await page.getByLabel("Handle").fill(handle);
    await page.getByLabel("Name").fill(name);
    await page.getByLabel("Password").fill(password);
    await page.getByLabel("Password").press("Enter");
  };
  const isAbout = (label) =>
    page.waitForFunction((label) => document.activeElement?.labels?.[0]?.textContent === label, label);
  await fill("x", "Pia Park", PASSWORD);
  await at(page, "error").getByText("A handle has").waitFor();
  await isAbout("Handle");
  await fill("taken", "Pia Park", PASSWORD);
  await at(page, "error").getByText("Somebody else has this handle").waitFor();
  await fill("pia", "Pia Park", "short");
  await at(page, "error").getByText("A password has").waitFor();
  await isAbout("Password");
  await isFine(page, "a sign-up that was refused");
  await picture(page, "social-portal");
  await fill("Pia", "Pia Park", PASSWORD);
  // Where one wanted to go at first.
  await isAt(page, "/people");
  await isUpgraded(page);
  await page.reload();
  await isUpgraded(page);

  const other = await another(page, "/chats");
  // Its socket hears it first.
  await page.route("**/api/logout", async (route) => {
    const response = await route.fetch();
    await isAt(page, "/portal");
    await route.fulfill({ response });
  });
  await at(page, "log-out").click();
  await isAt(page, "/portal");
  await state(page, "signed-out");
  // The other tab is told, and says why it is there.
  await isAt(other, "/portal");
  await at(other, "refused").getByText("Your session is over").waitFor();
  await isFine(other, "the end of a session");
  assert.deepEqual(await page.context().cookies(), []);
  await page.getByLabel("Handle").fill("pia");
  await page.getByLabel("Password").fill(PASSWORD);
  await at(page, "enter").click();
  await isAt(page, "/");
  await isLive(page);
});

test("three tabs and a phone of one person hear all of a conversation, and nobody else does", async () => {
  const [ann, bob, eve] = await Promise.all([
    Person.signUp("ann", "Ann Archer"),
    Person.signUp("bob", "Bob Baker"),
    Person.signUp("eve", "Eve Ekman"),
  ]);
  const first = await open(ann, "/chats/bob");
  await first.getByText("Nothing was said yet").waitFor();
  await isFine(first, "a conversation with nothing in it");
  const tabs = [first, await another(first, "/chats/bob"), await another(first, "/chats")];
  const phone = await open(await ann.again(), "/chats/bob", PHONE);
  const [his, hers] = [await open(bob, "/chats/ann"), await open(eve, "/chats/ann")];

  await say(tabs[0], "Hello Bob, from my first tab");
  await say(his, "Hello Ann, on all of them");
  await say(phone, "And this is from the phone");
  for (const page of [tabs[0], tabs[1], phone, his]) {
    await settled(page, 3);
    const said = ["Hello Bob, from my first tab", "Hello Ann, on all of them", "And this is from the phone"];
    assert.deepEqual((await texts(page)).sort(), said.sort());
  }
  const listed = at(tabs[2], "chat").and(tabs[2].locator('[data-handle="bob"]'));
  await listed.getByText("You: And this is from the phone").waitFor();

  // It is said once a second, and shown for a few seconds.
  const areTold = Promise.all([tabs[0], tabs[1], phone].map((page) => is(at(page, "typing"), "Bob Baker is typing…")));
  await at(his, "message-text").pressSequentially("so I have heard", { delay: 100 });
  await areTold;
  await say(his, "so I have heard it");
  for (const page of [tabs[0], tabs[1], phone]) {
    await shows(page, "so I have heard it");
    await at(page, "typing").filter({ hasText: /^$/ }).waitFor({ state: "attached" });
  }

  // Somebody else asks for it, and hears nothing that is not her own.
  await hers.getByText("Nothing was said yet").waitFor();
  await ann.tells("eve", "only for Eve");
  await shows(hers, "only for Eve");
  assert.deepEqual(await texts(hers), ["only for Eve"]);
  const strange = hers.heard.filter((heard) => /first tab|on all of them|the phone|heard it|typing|"bob"/.test(heard));
  assert.deepEqual(strange, []);

  for (const [from, text] of [
    [his, "Shall we meet at the lake on Sunday?"],
    [tabs[0], "Gladly. I bring the boat, you bring what one eats in boats."],
    [his, "Bread, cheese, and the big umbrella"],
  ]) {
    await say(from, text);
    await shows(tabs[0], text);
  }
  await isFine(tabs[0], "a conversation");
  await isFine(phone, "a conversation on a phone");
  await shows(phone, "big umbrella");
  await picture(phone, "social-phone");
  await tabs[0].emulateMedia({ colorScheme: "dark" });
  await picture(tabs[0], "social-dark");
});

test("unread messages are counted on all devices, until one of them shows them", async () => {
  const [ulf, vic] = [await Person.signUp("ulf", "Ulf Unger"), await Person.signUp("vic", "Vic Vance")];
  const desk = await open(ulf);
  const phone = await open(await ulf.again(), "/chats", PHONE);
  await at(phone, "empty").waitFor();
  await isFine(phone, "no conversations");
  const list = await another(desk, "/chats");
  await vic.tells("ulf", "one");
  for (const page of [desk, phone, list]) await badge(at(page, "unread-total"), 1);
  await at(desk, "notices").getByText("New message from @vic").waitFor();
  await vic.tells("ulf", "two");
  for (const page of [desk, phone, list]) await badge(at(page, "unread-total"), 2);
  for (const page of [phone, list]) await badge(at(page, "unread"), 2);
  await desk.waitForFunction(() => document.title === "(2) Feed · Social");
  await isFine(list, "unread messages");

  await at(phone, "chat").click();
  await shows(phone, "two");
  for (const page of [desk, phone, list]) await gone(at(page, "unread-total"));
  await vic.tells("ulf", "three");
  await shows(phone, "three");
  await at(list, "chat").getByText("three").waitFor();
  for (const page of [desk, phone, list]) await gone(at(page, "unread-total"));
  // Also where it is loaded anew.
  await list.reload();
  await at(list, "chat").getByText("three").waitFor();
  assert.equal(await at(list, "unread").count(), 0);
});

test("people are found, and whom one follows hears of it at once", async () => {
  const [kim, lou] = [await Person.signUp("kim", "Kim Kessler"), await Person.signUp("lou", "Lou <i>Lind</i>")];
  const [page, theirs] = [await open(kim, "/people"), await open(lou, "/")];
  const looking = await another(theirs, "/people/kim");
  await at(page, "search").fill("lou <i>");
  await page.waitForFunction(() => document.querySelectorAll('[data-testid="person"]').length === 1);
  await is(page.locator('[data-testid="person"] .name'), "Lou <i>Lind</i>");
  await is(at(theirs, "followers"), "0");
  await at(page, "follow").click();
  await is(at(page, "followers"), "1");
  await is(at(theirs, "followers"), "1");
  await at(theirs, "notices").getByText("Kim Kessler follows you now").waitFor();
  await is(at(looking, "following"), "1");
  await looking.getByText("follows you", { exact: true }).waitFor();
  await isFine(page, "people");
  await isFine(looking, "a person");

  await page.getByRole("button", { name: "Unfollow Lou" }).click();
  await is(at(theirs, "followers"), "0");
  await is(at(looking, "following"), "0");
  await at(page, "search").fill("zzzz");
  await at(page, "empty").getByText("Nobody is called like that").waitFor();
  await page.goto(`${app.url}/people/nobody_at_all`);
  await at(page, "failure").waitFor();
  await isFine(page, "nobody");
});

test("the feed is live, and shows those whom one follows", async () => {
  const [mia, noa, oda] = await Promise.all([
    Person.signUp("mia", "Mia Moreau"),
    Person.signUp("noa", "Noa Nilsen"),
    Person.signUp("oda", "Oda Olsen"),
  ]);
  const [page, stranger] = [await open(mia), await open(oda)];
  await at(page, "empty").waitFor();
  await isFine(page, "an empty feed");
  await mia.ask(FOLLOW, { handle: "noa" });
  const [other, theirs] = [await another(page, "/"), await open(noa)];
  await post(theirs, "The first snow, and nobody has walked on it yet.");
  await shows(page, "The first snow", "post");
  await post(page, "Does somebody lend me a sledge?");
  for (const each of [page, other]) {
    await shows(each, "The first snow", "post");
    await shows(each, "a sledge", "post");
    assert.equal(await at(each, "post").count(), 2, "each is shown once");
  }
  await post(stranger, "Only for those who follow me");
  await shows(stranger, "Only for those", "post");
  assert.equal(await at(stranger, "post").count(), 1);
  assert.deepEqual(stranger.heard.filter((heard) => /snow|sledge/.test(heard)), []);

  await noa.posts("I do! It is red, and has not been out since last year.");
  await noa.ask(FOLLOW, { handle: "mia" });
  await at(page, "notices").getByText("Noa Nilsen follows you now").waitFor();
  await shows(page, "It is red", "post");
  const names = await page.locator('[data-testid="post"] .name').allTextContents();
  assert.deepEqual(names, ["Noa Nilsen", "Mia Moreau", "Noa Nilsen"], "the newest first");
  await isFine(page, "a feed");
  await picture(page, "social-light");

  // What the server refuses is given back to its writer.
  await post(page, "x".repeat(501));
  await at(page, "waiting").getByText("Write 1 to 500 characters").waitFor();
  await isFine(page, "a post that was refused");
  await page.getByRole("button", { name: "Take it back" }).click();
  await gone(at(page, "waiting"));
  assert.equal((await at(page, "post-text").inputValue()).length, 501);
});

test("markup is text", async () => {
  const name = "<script>document.title=1</script>";
  const [mal, val] = [await Person.signUp("mal", name), await Person.signUp("val", "Val")];
  const markup = '<img src="x" onerror="document.title=2"><b>bold</b>';
  const [page, theirs] = [await open(mal), await open(val, "/chats/mal")];
  await post(page, markup);
  await shows(page, markup, "post");
  await mal.tells("val", markup);
  await shows(theirs, markup);
  await theirs.getByRole("heading", { name }).waitFor();
  for (const each of [page, theirs]) assert.equal(await each.locator("main :is(img, .text b, script)").count(), 0);
  assert.match(await theirs.title(), /· Social$/);
});

test("with a forged key nothing is heard, and the page goes to the portal without its cookies", async () => {
  const [fay, gus] = [await Person.signUp("fay", "Fay Fuchs"), await Person.signUp("gus", "Gus Grant")];
  const good = await open(await fay.again(), "/chats/gus");
  const context = await device(fay);
  const { value } = fay.cookies.find(({ name }) => name === "secretkey");
  const forged = value.replace(/^./, (letter) => (letter === "a" ? "b" : "a"));
  await context.addCookies([{ name: "secretkey", value: forged, url: app.url, sameSite: "Strict" }]);
  const page = await tab(context, "/chats/gus");
  await isAt(page, "/portal");
  await state(page, "refused");
  await at(page, "refused").waitFor();
  const left = (await context.cookies()).map(({ name }) => name);
  assert.deepEqual(left.filter((name) => name !== "session"), []);

  await gus.tells("fay", "not for whoever forges keys");
  await gus.ask(FOLLOW, { handle: "fay" });
  await shows(good, "not for whoever forges keys");
  await at(good, "notices").getByText("Gus Grant follows you now").waitFor();
  // Several packets may have come in the answer to one poll.
  const events = page.heard.join("\n").replaceAll("\x1e", "\n").match(/(?<=^42)\[.*\]$/gm);
  assert.deepEqual(events, ['["auth",false]']);
  assert.doesNotMatch(page.heard.join("\n"), /forges keys|followed|chatroom/);
});

test("a session that is over ends on its pages", async () => {
  const short = await App.start("social", { env: { SESSION_SECONDS: "8" } });
  try {
    const who = await Person.signUp("tim", "Tim Toll", short);
    // It is the server that says so: the browser would keep them longer.
    const context = await browser.newContext(DESKTOP);
    await context.addCookies(who.cookies.map((cookie) => ({ ...cookie, url: short.url })));
    const page = await tab(context, "/chats", short);
    await page.waitForURL(`${short.url}/portal`);
    assert.ok((await statesOf(page)).includes("connected"), "it was live before");
    await at(page, "refused").getByText("Your session is over").waitFor();
    assert.deepEqual((await context.cookies()).map(({ name }) => name), ["session"]);
  } finally {
    await short.close();
  }
});

/** Notes when the page tries to connect, from now on, by its own clock. */
const noteTries = (page) =>
  page.evaluate(() => {
    globalThis.tries = [];
    const { open } = XMLHttpRequest.prototype;
    XMLHttpRequest.prototype.open = function (method, url, ...more) {
      if (String(url).includes("/socket.io/")) globalThis.tries.push(performance.now());
      return open.call(this, method, url, ...more);
    };
  });

test("after five tries the page gives up and says so, and its button brings all back", async () => {
  const [ida, jan] = [await Person.signUp("ida", "Ida Iversen"), await Person.signUp("jan", "Jan Jansen")];
  for (let number = 0; number < 55; number += 1) await jan.tells("ida", `Kilometre ${number} of the long way to you`);
  const page = await open(ida, "/chats/jan");
  await settled(page, 50);
  await page.getByRole("button", { name: "Older messages" }).click();
  await settled(page, 55);
  // It stays at what one was reading.
  await page.getByText("Kilometre 5 of").waitFor();
  assert.ok(await page.evaluate(() => document.querySelector("[role=log]").scrollTop > 0));
  assert.ok(await page.evaluate(() => document.documentElement.scrollHeight <= innerHeight), "only the messages move");

  await noteTries(page);
  await app.kill();
  await state(page, "offline");
  await say(page, "kept while there is no server");
  await at(page, "waiting").waitFor();
  await isFine(page, "offline");
  await state(page, "gave-up");
  const tries = await page.evaluate(() => globalThis.tries);
  assert.equal(tries.length, 5);
  const gaps = tries.slice(1).map((time, index) => time - tries[index]);
  for (const gap of gaps) assert.ok(gap >= 900, `1,000 ms apart: ${gaps}`);
  await at(page, "trouble").getByText("There is no connection").waitFor();
  await isFine(page, "gave up");
  await at(page, "waiting").click({ trial: true });
  assert.ok(await page.evaluate(() => document.documentElement.scrollHeight <= innerHeight), "it all fits");
  await picture(page, "social-gave-up");

  await app.again();
  // More than what is loaded at once was missed.
  for (let number = 0; number < 56; number += 1) await jan.tells("ida", `You missed kilometre ${number}`);
  assert.equal(await at(page, "message").count(), 55, "it does not try by itself any more");
  await at(page, "try-again").click();
  await isLive(page);
  await settled(page, 112);
  const all = await texts(page);
  assert.equal(new Set(all).size, all.length, "each is shown once");
  assert.equal(all.at(-1), "kept while there is no server");
  assert.equal(await at(page, "trouble").count(), 0);
});

test("a server that is killed while five pages write loses and doubles nothing, and all come back", async () => {
  const EACH = 8;
  const [quin, ruth] = [await Person.signUp("quin", "Quin"), await Person.signUp("ruth", "Ruth")];
  const [desk, theirs] = [await open(quin, "/chats/ruth"), await open(ruth, "/chats/quin")];
  const chats = [desk, await another(desk, "/chats/ruth"), theirs, await another(theirs, "/chats/quin")];
  const feed = await open(await ruth.again(), "/", PHONE);
  const pages = [...chats, feed];
  const written = pages.map((_, who) => Array.from({ length: EACH }, (_, number) => `${number} of page ${who}`));
  const [said, posted] = [written.slice(0, -1).flat(), written.at(-1)];
  const write = async (page, who, from, to) => {
    for (const text of written[who].slice(from, to)) await (page === feed ? post : say)(page, text);
  };
  const acknowledged = [];
  for (const page of pages) {
    page.on("response", async (response) => {
      if (!response.url().endsWith("/graphql")) return;
      const { data } = await response.json().catch(() => ({}));
      if (data?.sendMessage) acknowledged.push(data.sendMessage.text);
    });
  }
  // It dies in the middle of what they write.
  const writing = Promise.all(pages.map((page, who) => write(page, who, 0, 6)));
  await quin.ask(FOLLOW, { handle: "ruth" });
  await desk.waitForFunction(() => document.querySelectorAll('[data-testid="message"]').length >= 8);
  await app.kill();
  const before = [...acknowledged];
  await writing;
  await Promise.all(pages.map((page, who) => write(page, who, 6, EACH)));
  for (const page of pages) await at(page, "waiting").first().waitFor();
  await app.again();
  await Promise.all(pages.map(isLive));
  await Promise.all(chats.map((page) => settled(page, said.length)));
  await settled(feed, EACH, "post");

  const lists = await Promise.all(chats.map((page) => texts(page)));
  assert.deepEqual([...lists[0]].sort(), [...said].sort(), "each is there once");
  for (const list of lists) assert.deepEqual(list, lists[0], "in the same order on all pages");
  assert.ok(before.length > 0);
  assert.deepEqual(before.filter((text) => !lists[0].includes(text)), [], "what was acknowledged is there");
  assert.deepEqual((await texts(feed, "post")).sort(), [...posted].sort());
  for (const page of pages) assert.ok(!(await statesOf(page)).includes("gave-up"));
  // That Quin follows Ruth was acknowledged, too.
  await desk.goto(app.url);
  await settled(desk, EACH, "post");
  assert.deepEqual((await texts(desk, "post")).sort(), [...posted].sort());
});

test("a server that is restarted in order is missed for a moment, and nothing is lost", async () => {
  const [wim, xia] = [await Person.signUp("wim", "Wim"), await Person.signUp("xia", "Xia")];
  const [desk, theirs] = [await open(wim, "/chats/xia"), await open(xia, "/chats/wim")];
  const pages = [desk, await open(await wim.again(), "/chats/xia", PHONE), theirs];
  await say(desk, "before");
  for (const page of pages) await shows(page, "before");
  // Somebody who opened a session and was never seen again, and a request that does not go on, hold nothing up for so
  // long that the pages give up.
  await fetch(`${app.url}/socket.io/?EIO=4&transport=polling`);
  const stuck = connect(app.port, "127.0.0.1").on("error", () => {});
  stuck.write(`POST /graphql HTTP/1.1\r\nHost: 127.0.0.1:${app.port}\r\nContent-Length: 9\r\n\r\n{`);
  await app.stop("SIGTERM");
  stuck.destroy();
  await say(theirs, "while there was none");
  await at(theirs, "waiting").waitFor();
  await app.again();
  const isBack = async (page) => {
    await page.waitForFunction(() => globalThis.states.some((state) => ["reconnected", "gave-up"].includes(state)));
    const states = await statesOf(page);
    assert.ok(!states.includes("gave-up"), states.join());
    await settled(page, 2);
    assert.deepEqual(await texts(page), ["before", "while there was none"]);
  };
  await Promise.all(pages.map(isBack));
});

test("what was stored, but whose answer is lost, is sent again and is there once", async () => {
  const [bea, cy] = [await Person.signUp("bea", "Bea"), await Person.signUp("cyd", "Cyd")];
  await cy.ask(FOLLOW, { handle: "bea" });
  const [page, theirs] = [await open(bea), await open(cy)];
  let lost;
  await page.route("**/graphql", async (route) => {
    if (lost || !route.request().postData().includes("mutation")) return route.continue();
    lost = await route.fetch();
    await route.abort();
  });
  // The first that has one.
  const answer = page.waitForResponse((answer) => answer.request().postData()?.includes("mutation"));
  await post(page, "said twice, stored once");
  assert.deepEqual(await (await answer).json(), await lost.json());
  for (const each of [page, theirs]) {
    await each.reload();
    await isLive(each);
    await settled(each, 1, "post");
  }
});

test("what waits is kept over a reload", async () => {
  const [yva, zoe] = [await Person.signUp("yva", "Yva"), await Person.signUp("zoe", "Zoe")];
  const page = await open(yva, "/chats/zoe");
  const theirs = await open(zoe, "/chats/yva");
  await app.kill();
  await state(page, "offline");
  await say(page, "kept over a reload");
  await at(page, "waiting").waitFor();
  await app.again();
  await page.reload();
  await settled(page, 1);
  await isLive(theirs);
  await settled(theirs, 1);
  assert.deepEqual(await texts(theirs), ["kept over a reload"]);
});

test("what waits when a session ends is not sent as whoever logs in next", async () => {
  const [abe, bev, cal] = await Promise.all([
    Person.signUp("abe", "Abe"),
    Person.signUp("bev", "Bev"),
    Person.signUp("cal", "Cal"),
  ]);
  const page = await open(abe, "/chats/cal");
  const isChange = (request) => request.postData().includes("mutation");
  await page.route("**/graphql", (route) => (isChange(route.request()) ? route.abort() : route.continue()));
  await say(page, "of Abe");
  await at(page, "waiting").waitFor();
  await abe.ends();
  await isAt(page, "/portal");
  await page.unroute("**/graphql");
  const logIn = async (handle) => {
    await page.getByLabel("Handle").fill(handle);
    await page.getByLabel("Password").fill(PASSWORD);
    await at(page, "enter").click();
    await isUpgraded(page);
    await page.goto(`${app.url}/chats/cal`);
    await isUpgraded(page);
  };
  await logIn("bev");
  await page.getByText("Nothing was said yet").waitFor();
  await say(page, "of Bev");
  await settled(page, 1);
  assert.deepEqual(await texts(page), ["of Bev"]);
  await at(page, "log-out").click();
  await isAt(page, "/portal");
  await logIn("abe");
  await settled(page, 1);
  assert.deepEqual(await texts(page), ["of Abe"]);
  const theirs = await open(cal, "/chats/abe");
  await settled(theirs, 1);
  assert.deepEqual(await texts(theirs), ["of Abe"]);
  await theirs.goto(`${app.url}/chats/bev`);
  await settled(theirs, 1);
  assert.deepEqual(await texts(theirs), ["of Bev"]);
});

test("the page can be used by keyboard, says where it went, and shows that it loads", async () => {
  const [hal] = [await Person.signUp("hal", "Hal Hart"), await Person.signUp("ina", "Ina")];
  const page = await open(hal);
  const focused = (name) => page.waitForFunction((name) => document.activeElement?.textContent === name, name);
  await page.keyboard.press("Tab");
  await focused("Skip to the content");
  let release;
  const held = new Promise((resolve) => (release = resolve));
  await page.route("**/graphql", (route) => held.then(() => route.continue()));
  await page.getByRole("navigation").getByRole("link", { name: "People" }).press("Enter");
  await focused("People");
  assert.equal(await page.title(), "People · Social");
  await at(page, "loading").waitFor();
  await isFine(page, "loading");
  release();
  await at(page, "person").first().waitFor();
  await at(page, "search").fill("ina");
  await page.getByRole("link", { name: "Ina @ina" }).press("Enter");
  await focused("Ina");
  await page.getByRole("link", { name: "Write a message" }).press("Enter");
  await focused("Ina");
  await page.goBack();
  await isAt(page, "/people/ina");
  await page.goto(`${app.url}/no/such/page`);
  await page.getByRole("heading", { name: "There is nothing here" }).waitFor();
  await isFine(page, "a page that does not exist");
});

test("all of it fits a phone", async () => {
  const [sam, una] = [await Person.signUp("sam", "Sam"), await Person.signUp("una", "U".repeat(40))];
  await sam.posts(`with_a_word_that_is_much_longer_than_the_screen_of_a_phone_is_wide_${"x".repeat(60)}`);
  await una.tells("sam", `and_a_message_of_one_long_word_${"y".repeat(80)}`);
  await una.ask(FOLLOW, { handle: "sam" });
  const page = await open(sam, "/", PHONE);
  for (const path of ["/", "/people", "/people/una", "/chats", "/chats/una"]) {
    await page.goto(app.url + path);
    await isLive(page);
    await gone(at(page, "loading"));
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360, path);
    await isFine(page, `${path} on a phone`);
  }
  const nobody = await tab(await device(undefined, PHONE), "/");
  await isAt(nobody, "/portal");
  assert.equal(await nobody.evaluate(() => document.documentElement.scrollWidth), 360);
  await isFine(nobody, "the portal on a phone");
});
