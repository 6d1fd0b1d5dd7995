// The planning documents in a real browser: people who write in the same one, and servers that die under them.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { App, DESKTOP, PATIENCE_MS, PHONE, isAccessible, launch, picture, visit } from "./app.mjs";

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000);
const PLAN = "/plans/ohio";
const NAMES = ["Ana", "Bo", "Cem", "Dee", "Eli", "Fay", "Gus", "Hana", "Ivo", "Jun"];
const SECTIONS = 5;

let browser;
let app;
let opened;

before(async () => {
  browser = await launch();
});
after(() => browser?.close());

beforeEach(async () => {
  opened = [];
  app = await App.start("collab");
});

afterEach(async () => {
  const problems = opened.flatMap(({ problems }) => problems);
  await Promise.all(opened.map((page) => page.context().close()));
  await app.close();
  assert.deepEqual(problems, []);
});

/** A random number generator of which the same seed gives the same numbers. */
function seeded(seed) {
  let a = seed >>> 0;
  const random = () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (end) => Math.floor(random() * end);
  return { below, oneOf: (list) => list[below(list.length)] };
}

/** A page that nobody is signed in at; `prepare(page)` runs before it loads. */
async function stranger(path = PLAN, { options = DESKTOP, prepare = () => {} } = {}) {
  const page = await visit(browser, "about:blank", options);
  page.on("console", (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) page.problems.push(message.text());
  });
  opened.push(page);
  await prepare(page);
  await page.goto(app.url + path);
  return page;
}

async function signIn(page, name, code = "ohio-demo") {
  await page.getByLabel("Your name").fill(name);
  await page.getByLabel("Invitation code").fill(code);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Somebody who is signed in, at a page that is connected as it will be. */
async function person(name, { code = "ohio-demo", transport = "websocket", path = PLAN, ...more } = {}) {
  const prepare = async (page) => {
    const answer = await page.context().request.post(`${app.url}/api/session`, { data: { name, code } });
    assert.equal(answer.status(), 200);
    await more.prepare?.(page);
  };
  const page = await stranger(path, { ...more, prepare });
  page.who = name;
  // Before that, the end of the server may be noticed by the heartbeat only: a client that loses it in the
  // middle of the upgrade has stopped polling.
  await isOn(page, transport);
  return page;
}

/** Waits until the root of the page has all that: `{ state: "connected" }`. */
const is = (page, data) =>
  page.waitForFunction((data) => Object.entries(data).every(([key, value]) => document.documentElement.dataset[key] === value), data);
const isLive = (page) => page.waitForFunction(() => /^(re)?connected$/.test(document.documentElement.dataset.state));
const isOn = async (page, transport) => {
  await isLive(page);
  await is(page, { transport });
};
const isReady = (page) => is(page, { document: "ready" });
const isSaved = (page) => is(page, { unsaved: "0" });

const field = (page, id) => page.locator(`[data-field="${id}"]`);
const control = (page, id) => page.locator(`[id="${id}"]`);
const write = (page, id, text) => control(page, id).fill(text);
const holds = (page, id, text) =>
  page.waitForFunction(([id, text]) => document.getElementById(id)?.value === text, [id, text]);
const standing = (page, id, name) => page.locator(`[data-field="${id}"][data-standing="${name}"]`).waitFor();
const at = (page, test) => page.locator(`[data-test="${test}"]`);
const told = (page, text) => at(page, "status").getByText(text).waitFor();

/** People in the plan of Ohio, which the first of them begins. */
async function team(names, more = {}) {
  const pages = await Promise.all(names.map((name) => person(name, more)));
  await pages[0].getByRole("button", { name: "Begin the plan" }).click();
  await Promise.all(pages.map(isReady));
  return pages;
}

/** The document as the server has it, asked for in the name of whoever is at that page. */
async function onServer(page) {
  const answer = await page.context().request.get(`${app.url}/api/documents/ohio`);
  assert.equal(answer.status(), 200);
  return answer.json();
}

/** The values of all fields as somebody at that page sees them. */
const onPage = (page) =>
  page.evaluate(() => {
    const plain = (text) => text.replaceAll(",", "");
    const rows = (box) =>
      [...box.querySelectorAll("tbody tr")].map((row) => {
        const [item, amount] = row.querySelectorAll("input");
        return { item: item.value, cents: Math.round(Number(plain(amount.value)) * 100) };
      });
    const value = (box) => {
      if (box.querySelector(".money")) return rows(box);
      const control = document.getElementById(box.dataset.field);
      if (!control.classList.contains("number")) return control.value;
      return control.value === "" ? null : Number(plain(control.value));
    };
    return Object.fromEntries([...document.querySelectorAll("[data-field]")].map((box) => [box.dataset.field, value(box)]));
  });

/** What a page is to show that shows these values, where the server has those fields. */
function wanted(shown, fields) {
  const empty = (id) => (Array.isArray(shown[id]) ? [] : id in NUMBERS ? null : "");
  const ids = [...Object.keys(shown), ...Object.keys(fields)];
  return Object.fromEntries(ids.map((id) => [id, fields[id]?.value ?? empty(id)]));
}

/** Waits until all pages show what the server has now, and nothing else. */
async function areSame(pages) {
  const { version, fields } = await onServer(pages[0]);
  const late = Date.now() + PATIENCE_MS;
  for (const page of pages) {
    let shown = await onPage(page);
    while (!isDeepStrictEqual(shown, wanted(shown, fields)) && Date.now() < late) {
      await page.waitForTimeout(50);
      shown = await onPage(page);
    }
    assert.deepEqual(shown, wanted(shown, fields), `at ${page.who}`);
  }
  return version;
}

/** Waits until so many edits are stored. */
async function areStored(page, count) {
  const late = Date.now() + PATIENCE_MS;
  for (;;) {
    const { version } = await onServer(page);
    if (version >= count) return;
    if (Date.now() > late) assert.fail(`${version} edits are stored, and not ${count}, after ${PATIENCE_MS} ms`);
    await page.waitForTimeout(20);
  }
}

/** Until the function is called that this gives, those pages do not learn what others write. */
async function holdChanges(...pages) {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  for (const page of pages) {
    await page.route("**/changes?**", async (route) => {
      await held;
      await route.continue();
    });
  }
  return release;
}

async function isFine(page, what) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await isAccessible(page, `${what}, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
}

/** Notes the names of all edits that the page sends, this page and the ones that it becomes by a reload. */
const noteKeys = (page) =>
  page.addInitScript(() => {
    globalThis.sentKeys = new Set();
    const set = Storage.prototype.setItem;
    // An edit is kept with its name before it is sent.
    Storage.prototype.setItem = function (place, text) {
      if (place.startsWith("edits of ")) for (const { sent } of JSON.parse(text)) if (sent) globalThis.sentKeys.add(sent.key);
      return set.call(this, place, text);
    };
  });
const keysOf = (page) => page.evaluate(() => [...globalThis.sentKeys]);

/** Notes when the page comes into which state, from now on. */
const noteStates = (page) =>
  page.evaluate(() => {
    globalThis.states = [];
    const note = () => {
      const { state } = document.documentElement.dataset;
      // It is set with each change of anything.
      if (globalThis.states.at(-1)?.state !== state) globalThis.states.push({ at: Date.now(), state });
    };
    new MutationObserver(note).observe(document.documentElement, { attributeFilter: ["data-state"] });
    note();
  });
/** Waits until a state is noted, of that time or later, and gives when it began. It may be over. */
async function wasIn(page, state, since = 0) {
  const found = await page.waitForFunction(
    ([state, since]) => globalThis.states.find((noted) => noted.state === state && noted.at >= since)?.at,
    [state, since],
  );
  return found.jsonValue();
}

const NUMBERS = { "overview.population": 9_000_000, "goals.target": 100 };
const CHOICES = {
  "goals.priority": ["low", "medium", "high"],
  "schedule.phase": ["draft", "review", "approved", "in force"],
  "budget.source": ["state", "federal", "shared"],
  "risks.likelihood": ["unlikely", "possible", "likely"],
};
const DATES = ["schedule.start", "schedule.review", "schedule.end"];
const TEXTS = [
  "overview.title",
  "overview.agency",
  "overview.contact",
  "overview.summary",
  "goals.first",
  "goals.second",
  "goals.measure",
  "budget.notes",
  "risks.main",
  "risks.mitigation",
];

async function fillIn(page) {
  const texts = {
    "overview.title": "Flood and winter storm plan",
    "overview.agency": "Department of Public Safety",
    "overview.contact": "R. Alvarez",
    "overview.population": "11799448",
    "overview.summary": "How the state warns, shelters and supplies people in the first three days of a flood or a winter storm.",
    "goals.first": "Every household knows where its shelter is.",
    "goals.target": "65",
    "schedule.start": "2027-01-15",
    "schedule.review": "2027-06-01",
    "budget.notes": "Shelters are paid by the counties, and refunded.",
  };
  for (const [id, text] of Object.entries(texts)) await write(page, id, text);
  await control(page, "budget.source").selectOption("shared");
  const items = [
    ["Warning sirens, 40 of them", "186000"],
    ["Shelter kits", "94250.50"],
    ["Training of volunteers", "31900"],
  ];
  for (const [index, [item, amount]] of items.entries()) {
    await page.getByRole("button", { name: "Add an item" }).click();
    await page.getByLabel(`Item ${index + 1}`, { exact: true }).fill(item);
    await page.getByLabel(`Amount ${index + 1}`, { exact: true }).fill(amount);
  }
  await isSaved(page);
}

test("from a code to a plan that several people write, light and dark", async () => {
  const ana = await stranger("/");
  await ana.getByRole("heading", { name: "Write it together" }).waitFor();
  await isAccessible(ana, "signing in");
  await signIn(ana, "Ana", "no-such-code");
  await at(ana, "problem").waitFor();
  await signIn(ana, "Ana");
  await at(ana, "plan").getByText("Not begun yet").waitFor();
  await isLive(ana);
  await isAccessible(ana, "the list");
  await at(ana, "plan").click();
  await is(ana, { document: "empty" });
  await isAccessible(ana, "an empty plan");
  await ana.getByRole("button", { name: "Begin the plan" }).click();
  await isReady(ana);

  const [bo, dee] = [await person("Bo Ruiz"), await person("Dee")];
  await fillIn(ana);
  assert.equal(await at(ana, "sum").textContent(), "312,150.50");
  await holds(bo, "budget.notes", "Shelters are paid by the counties, and refunded.");
  // Each hears where the others are, and a field that somebody is in says so.
  await control(bo, "goals.first").focus();
  await control(dee, "budget.notes").focus();
  await at(ana, "person").getByText("Dee is in Budget").waitFor();
  await at(ana, "person").getByText("Bo Ruiz is in Goals").waitFor();
  await field(ana, "budget.notes").getByText("Dee is in this field").waitFor();
  assert.equal(await at(ana, "lock").count(), 2);
  // Nobody is kept out by that.
  await write(ana, "budget.notes", "Counties pay for shelters, and are refunded.");
  await holds(dee, "budget.notes", "Counties pay for shelters, and are refunded.");
  await ana.getByRole("navigation").getByText("Budget").click();
  await is(ana, { state: "connected", unsaved: "0" });
  await isFine(ana, "a plan");
  await picture(ana, "collab-light");
  await ana.emulateMedia({ colorScheme: "dark" });
  await picture(ana, "collab-dark");
  assert.equal(await areSame([ana, bo, dee]), (await onServer(ana)).version);

  // Who leaves is no longer there.
  await bo.goto(`${app.url}/`);
  await at(ana, "person").getByText("Bo Ruiz").waitFor({ state: "detached" });
});

test("all of it fits a phone, and works by the keyboard", async () => {
  const [ana] = await team(["Ana"]);
  await fillIn(ana);
  const phone = await person("Bo", { options: PHONE });
  await isReady(phone);
  await control(ana, "goals.first").focus();
  await field(phone, "goals.first").getByText("Ana is in this field").waitFor();
  await isAccessible(phone, "a phone");
  const width = () => phone.evaluate(() => document.documentElement.scrollWidth);
  assert.equal(await width(), 360, "a plan");
  await phone.evaluate(() => scrollTo(0, 0));
  await picture(phone, "collab-phone");
  await phone.getByText("All plans").click();
  await at(phone, "plan").waitFor();
  assert.equal(await width(), 360, "the list");

  // From the section to its first field, and on.
  await ana.getByRole("link", { name: "Goals" }).focus();
  await ana.keyboard.press("Enter");
  await ana.keyboard.press("Tab");
  assert.equal(await ana.evaluate(() => document.activeElement.id), "goals.first");
  await ana.keyboard.press("Tab");
  await ana.keyboard.type("by keys alone");
  await isSaved(ana);
  assert.equal((await onServer(ana)).fields["goals.second"].value, "by keys alone");
});

test("of two who write in the same field both are shown, and one is chosen", async () => {
  const [ana, bo] = await team(["Ana", "Bo"]);
  // Bo does not learn what Ana writes before he has written himself.
  const release = await holdChanges(bo);
  await write(ana, "overview.title", "Flood and winter storm plan");
  await write(ana, "goals.first", "Ana's goal");
  await isSaved(ana);
  await write(bo, "overview.title", "Flood plan of the river counties");
  await standing(bo, "overview.title", "conflict");
  const conflict = field(bo, "overview.title").locator('[data-test="conflict"]');
  await conflict.getByText("Theirs, by Ana").waitFor();
  await conflict.getByText("Flood and winter storm plan").waitFor();
  await told(bo, "Choose what stays: Title of the plan.");
  await isFine(bo, "a conflict");
  await picture(bo, "collab-conflict");

  // It is kept over a reload, and still open.
  release();
  await bo.reload();
  await standing(bo, "overview.title", "conflict");
  await conflict.getByRole("button", { name: "Keep mine" }).click();
  await holds(ana, "overview.title", "Flood plan of the river counties");
  await isSaved(bo);
  await holds(bo, "goals.first", "Ana's goal");
  // Neither knows of the other's.
  const releaseBoth = await holdChanges(ana, bo);
  await Promise.all([write(ana, "overview.agency", "Agency of Ana"), write(bo, "overview.agency", "Agency of Bo")]);
  releaseBoth();
  // One of them was first, and the other has the choice.
  const chooser = await Promise.any([ana, bo].map((page) => standing(page, "overview.agency", "conflict").then(() => page)));
  const theirs = chooser === ana ? "Agency of Bo" : "Agency of Ana";
  await field(chooser, "overview.agency").getByRole("button", { name: "Take theirs" }).click();
  await holds(chooser, "overview.agency", theirs);
  await Promise.all([isSaved(ana), isSaved(bo)]);
  await areSame([ana, bo]);
});

test("one's own last edit can be undone, unless somebody has written over it", async () => {
  const [ana, bo] = await team(["Ana", "Bo"]);
  for (const text of ["first", "second"]) {
    await write(ana, "overview.title", text);
    await isSaved(ana);
  }
  await write(ana, "overview.agency", "an agency");
  await isSaved(ana);
  await holds(bo, "overview.agency", "an agency");
  await write(bo, "overview.agency", "an agency of Bo");
  await holds(ana, "overview.agency", "an agency of Bo");
  // Hers is gone, so the one before is her last.
  for (const text of ["first", ""]) {
    await at(ana, "undo").getByText("Title").waitFor();
    await at(ana, "undo").click();
    await holds(bo, "overview.title", text);
    await isSaved(ana);
  }
  assert.equal(await at(ana, "undo").isDisabled(), true);
  assert.equal(await control(ana, "overview.agency").inputValue(), "an agency of Bo");
  await at(bo, "undo").click();
  await holds(ana, "overview.agency", "an agency");
});

test("a value that the server refuses is shown at its field, and nowhere else", async () => {
  const [ana, bo] = await team(["Ana", "Bo"]);
  await write(ana, "goals.target", "140");
  await field(ana, "goals.target").locator('[data-test="refusal"]').waitFor();
  await told(ana, "Not saved, see there: Households prepared, in percent.");
  await write(ana, "overview.population", "many");
  await standing(ana, "overview.population", "refused");
  await isFine(ana, "refused values");
  // What was refused is kept, so that it can be mended.
  await ana.reload();
  await standing(ana, "overview.population", "refused");
  await field(ana, "overview.population").getByRole("button", { name: "Put back" }).click();
  await holds(ana, "overview.population", "");
  await write(ana, "goals.target", "40");
  await holds(bo, "goals.target", "40");
  await isSaved(ana);

  await ana.getByRole("button", { name: "Add an item" }).click();
  await ana.getByLabel("Item 1", { exact: true }).fill("Sand bags");
  await ana.getByLabel("Amount 1", { exact: true }).fill("a lot");
  await standing(ana, "budget.items", "refused");
  await ana.getByLabel("Amount 1", { exact: true }).fill("99.5");
  await standing(ana, "budget.items", "saved");
  // A row that was half made may have been stored before.
  await bo.waitForFunction(() => document.querySelector('[aria-label="Amount 1"]')?.value === "99.50");
  await areSame([ana, bo]);
});

test("a plan that is not open to somebody says so, and opens with its code", async () => {
  const [ana] = await team(["Ana"]);
  await write(ana, "overview.title", "not for everybody");
  await isSaved(ana);
  const bo = await person("Bo", { code: "oregon-demo" });
  await is(bo, { document: "refused" });
  await at(bo, "refused").getByText("This plan is not open to you").waitFor();
  assert.equal(await bo.getByText("not for everybody").count(), 0);
  await isFine(bo, "a plan of others");
  await bo.getByLabel("Invitation code").fill("ohio-demo");
  await bo.getByRole("button", { name: "Open it" }).click();
  await holds(bo, "overview.title", "not for everybody");
  await bo.goto(`${app.url}/plans/atlantis`);
  await is(bo, { document: "refused" });
});

test("a session that has ended is told, and what was typed is kept until the next", async () => {
  const [ana] = await team(["Ana"]);
  await app.kill();
  await is(ana, { state: "offline" });
  await write(ana, "overview.title", "typed before it ended");
  await told(ana, "1 edit of yours is kept here until the server is back.");
  await ana.context().clearCookies();
  await app.again();
  await is(ana, { state: "expired" });
  await at(ana, "expired").waitFor();
  await isAccessible(ana, "an ended session");
  await signIn(ana, "Ana");
  await isReady(ana);
  await isSaved(ana);
  assert.equal((await onServer(ana)).fields["overview.title"].value, "typed before it ended");

  // It also ends by itself, while somebody looks at it.
  await isOn(ana, "websocket");
  await app.kill();
  app.env.SESSION_SECONDS = "8";
  await ana.context().clearCookies();
  await app.again();
  await is(ana, { state: "expired" });
  await noteStates(ana);
  await signIn(ana, "Ana");
  await wasIn(ana, "connected");
  await is(ana, { state: "expired" });
  await at(ana, "expired").waitFor();

  // And where somebody ends it, on all of their pages.
  app.env.SESSION_SECONDS = "600";
  await app.kill();
  await app.again();
  await signIn(ana, "Ana");
  await isReady(ana);
  const tab = await ana.context().newPage();
  await tab.goto(app.url + PLAN);
  await isReady(tab);
  await tab.getByRole("button", { name: "Sign out" }).click();
  await is(ana, { state: "expired" });
});

/** Types texts into fields in one moment, and clicks: no pause tells that the typing has stopped. */
const typeAtOnce = (page, texts, selector) =>
  page.evaluate(
    ([texts, selector]) => {
      for (const [id, text] of Object.entries(texts)) {
        const input = document.getElementById(id);
        // That of the page itself would not tell it of a change.
        Object.getOwnPropertyDescriptor(Object.getPrototypeOf(input), "value").set.call(input, text);
        input.dispatchEvent(new Event("input", { bubbles: true }));
      }
      if (selector) document.querySelector(selector).click();
    },
    [texts, selector],
  );

test("what was typed last is saved before somebody leaves, and who cannot leave is told", async () => {
  const [ana, bo] = await team(["Ana", "Bo"]);
  await typeAtOnce(ana, { "overview.title": "typed before the list" }, "a.brand");
  await at(ana, "plan").waitFor();
  await holds(bo, "overview.title", "typed before the list");
  await isSaved(ana);
  await at(ana, "plan").click();
  await isReady(ana);
  await typeAtOnce(ana, { "overview.agency": "typed before the end" }, ".me button");
  await ana.getByRole("heading", { name: "Write it together" }).waitFor();
  await holds(bo, "overview.agency", "typed before the end");

  // A session that the server knows nothing of the end of goes on.
  await app.kill();
  await is(bo, { state: "offline" });
  await bo.getByRole("button", { name: "Sign out" }).click();
  await told(bo, "Not signed out: The server cannot be reached.");
  // Who closes the page is asked first.
  await write(bo, "overview.title", "typed before it is closed");
  await is(bo, { unsaved: "1" });
  const asked = bo.waitForEvent("dialog");
  await bo.close({ runBeforeUnload: true });
  const dialog = await asked;
  assert.equal(dialog.type(), "beforeunload");
  await dialog.dismiss();
  await app.again();
  await isSaved(bo);
  assert.equal((await onServer(bo)).fields["overview.title"].value, "typed before it is closed");
});

test("without WebSocket a page polls, and misses nothing", async () => {
  const [ana] = await team(["Ana"]);
  const bo = await person("Bo", {
    transport: "polling",
    prepare: (page) => page.addInitScript(() => delete globalThis.WebSocket),
  });
  await isReady(bo);
  await write(bo, "overview.title", "by polling");
  await holds(ana, "overview.title", "by polling");
  await write(ana, "overview.title", "by WebSocket");
  await holds(bo, "overview.title", "by WebSocket");
  await control(bo, "goals.first").focus();
  await at(ana, "person").getByText("Bo is in Goals").waitFor();
  await is(bo, { transport: "polling" });
});

/** Notes when the page asks for changes, and whether it had heard of one then that is not known to be its own. */
const noteAsks = (page) =>
  page.addInitScript(() => {
    globalThis.asks = [];
    let [heard, own, clock] = [0, 0, 0];
    const now = performance.now.bind(performance);
    // By the clock as it has read it: that it is held up between that and the request is no matter.
    performance.now = () => (clock = now());
    const { fetch, WebSocket } = globalThis;
    globalThis.fetch = (url, ...more) => {
      if (String(url).includes("/changes?")) globalThis.asks.push({ at: clock, hasNews: heard > own });
      return fetch(url, ...more);
    };
    globalThis.WebSocket = class extends WebSocket {
      constructor(...about) {
        super(...about);
        this.addEventListener("message", ({ data }) => {
          const [, kind, version] = /^4([23]).*"version":(\d+)/.exec(data) ?? [];
          if (kind === "2") heard = Math.max(heard, Number(version));
          if (kind === "3") own = Math.max(own, Number(version));
        });
      }
    };
  });

test("changes are asked for together, and not those that a page has made itself", async () => {
  const [ana, bo] = await team(["Ana", "Bo"], { prepare: noteAsks });
  for (const page of [ana, bo]) await page.evaluate(() => (globalThis.asks = []));
  await fillIn(ana);
  // However slowly that was done: of what is typed in one moment, some is stored before anybody asks again.
  await typeAtOnce(ana, Object.fromEntries(TEXTS.map((id) => [id, "typed in one moment"])));
  await isSaved(ana);
  const version = await areSame([bo]);
  const [hers, his] = await Promise.all([ana, bo].map((page) => page.evaluate(() => globalThis.asks)));
  assert.ok(version >= 20, `${version} edits`);
  // It asks where its own ack is late.
  assert.deepEqual(hers.filter(({ hasNews }) => !hasNews), []);
  assert.ok(hers.length < version / 2, `Ana asked ${hers.length} times for her own ${version} edits`);
  assert.ok(his.length > 0 && his.length < version, `Bo asked ${his.length} times for ${version} edits`);
  const pauses = his.slice(1).map(({ at }, index) => at - his[index].at);
  assert.ok(Math.min(Infinity, ...pauses) >= 200, `Bo asked after ${pauses} ms`);
});

test("a page whose socket is refused says why, and comes in when it may", async () => {
  // What a server says that is full, until it is not.
  const HANDSHAKE = { sid: "refused", upgrades: [], pingInterval: 10_000, pingTimeout: 5_000, maxPayload: 100_000 };
  const refuse = (page) => {
    let polls = 0;
    return page.route("**/socket.io/**", (route) => {
      if (route.request().method() === "POST") return route.fulfill({ body: "ok" });
      polls = route.request().url().includes("sid=") ? polls + 1 : 0;
      if (polls === 0) return route.fulfill({ body: `0${JSON.stringify(HANDSHAKE)}` });
      // The last one stays open, as a poll does that there is nothing for.
      if (polls === 1) return route.fulfill({ body: `44${JSON.stringify({ message: "too many are here already" })}` });
    });
  };
  const [ana] = await team(["Ana"]);
  await refuse(ana);
  await ana.reload();
  await is(ana, { state: "refused" });
  await told(ana, "The server has refused this page: too many are here already.");
  await isAccessible(ana, "refused");
  await ana.unrouteAll({ behavior: "ignoreErrors" });
  await isOn(ana, "websocket");
  await isReady(ana);
});

/** Notes what a page sends and what the server has stored of it, by the frames of its WebSocket. */
function noteFrames(page) {
  const asked = new Map();
  page.stored = new Map();
  page.on("websocket", (socket) => {
    socket.on("framesent", ({ payload }) => {
      const [, id, rest] = /^42(\d+)(\["editAPD".*)$/s.exec(payload) ?? [];
      if (id) asked.set(id, JSON.parse(rest)[1]);
    });
    socket.on("framereceived", ({ payload }) => {
      const [, id, rest] = /^43(\d+)(.*)$/s.exec(payload) ?? [];
      const edit = asked.get(id);
      const [answer] = edit ? JSON.parse(rest) : [];
      if (answer?.ok) page.stored.set(edit.key, { ...edit, version: answer.ok.version });
    });
  });
}

/** Somebody changes something somewhere. */
async function changeAnything(page, random) {
  const kind = random.oneOf(["text", "text", "text", "number", "date", "choice", "money"]);
  const word = () => `${page.who} ${random.below(1e6)}`;
  if (kind === "text") await write(page, random.oneOf(TEXTS), word());
  else if (kind === "number") {
    const [id, max] = random.oneOf(Object.entries(NUMBERS));
    await write(page, id, String(random.below(max)));
  } else if (kind === "date") await write(page, random.oneOf(DATES), `2027-0${1 + random.below(9)}-1${random.below(10)}`);
  else if (kind === "choice") {
    const [id, options] = random.oneOf(Object.entries(CHOICES));
    await control(page, id).selectOption(random.oneOf(options));
  } else await changeTable(page, random, word());
}

async function changeTable(page, random, item) {
  const rows = await page.locator(".money tbody tr").count();
  if (rows < 3 || random.below(3) === 0) await control(page, "budget.items").click();
  // Somebody else may have taken a row away meanwhile.
  const inputs = page.locator(".money tbody tr").last().locator("input");
  if ((await inputs.count()) === 0) return;
  await inputs.first().fill(item, { timeout: 500 }).catch(() => {});
}

/** Chooses in each conflict, whichever way. */
async function decide(page, random) {
  const late = Date.now() + 2 * PATIENCE_MS;
  while ((await at(page, "conflict").count()) > 0) {
    if (Date.now() > late) assert.fail(`a conflict cannot be decided:\n${await at(page, "conflict").first().innerText()}`);
    const action = random.oneOf(["Keep mine", "Take theirs"]);
    // It may have ended by itself: both have the same.
    await at(page, "conflict").first().getByRole("button", { name: action }).click({ timeout: 500 }).catch(() => {});
  }
  // A number that comes from elsewhere between two keys stands in front of those that follow: 62 and 31 become
  // 6231, which the server refuses.
  const refusal = at(page, "refusal").first().getByRole("button", { name: "Put back what was there" });
  if ((await refusal.count()) > 0) await refusal.click({ timeout: 500 }).catch(() => {});
}

test(`ten people who write at random end with the same document, and nothing is lost (SEED=${SEED})`, async () => {
  // Ten pages draw at the same time: small ones, then.
  const pages = await team(NAMES, { prepare: noteFrames, options: { viewport: { width: 600, height: 400 } } });
  await Promise.all(
    pages.map(async (page, who) => {
      const random = seeded(SEED + who);
      // Each field of these has an edit that is stored, whoever writes over it.
      await write(page, TEXTS[who], `${page.who} begins`);
      for (let turn = 0; turn < 5; turn += 1) {
        await changeAnything(page, random);
        await decide(page, random);
      }
    }),
  );
  const random = seeded(SEED);
  const isQuiet = () => Promise.all(pages.map((page) => page.evaluate(() => document.documentElement.dataset.unsaved)));
  const late = Date.now() + 2 * PATIENCE_MS;
  while ((await isQuiet()).some((unsaved) => unsaved !== "0")) {
    for (const page of pages) await decide(page, random);
    if (Date.now() < late) continue;
    // What each page keeps says which edit waits, and for what.
    const kept = await Promise.all(pages.map((page) => page.evaluate(() => JSON.stringify(sessionStorage))));
    assert.fail(`not all is saved:\n${kept.join("\n")}`);
  }
  const version = await areSame(pages);

  // Each edit that a page knows to be stored is there, once: the versions are all of those.
  const stored = pages.flatMap((page) => [...page.stored.values()]);
  const versions = stored.map(({ version }) => version).sort((a, b) => a - b);
  assert.deepEqual(versions, Array.from({ length: version }, (_, at) => at + 1));
  const { fields } = await onServer(pages[0]);
  for (const [id, { version, value }] of Object.entries(fields)) {
    assert.deepEqual(stored.find((edit) => edit.version === version).value, value, id);
  }
  assert.deepEqual(TEXTS.filter((id) => !fields[id]), [], "nobody has written there");
});

/** Five people, each at texts that nobody else writes in. */
async function fiveWriters() {
  const pages = await team(NAMES.slice(0, 5), { prepare: noteKeys });
  return pages.map((page, who) => ({ page, fields: [TEXTS[who], TEXTS[who + 5]] }));
}

/** Somebody types so many words, now in the one and now in the other of their fields, and as many more as `goesOn`. */
async function typeWords({ page, fields }, random, words, goesOn = () => false) {
  const said = ["", ""];
  for (let left = words; left > 0; left -= goesOn() ? 0 : 1) {
    const which = random.below(2);
    const word = `${page.who}${random.below(1_000)} `;
    await control(page, fields[which]).press("Control+End");
    await page.keyboard.type(word, { delay: 20 });
    said[which] += word;
    await page.waitForTimeout(random.below(700));
  }
  return said;
}

/** All that was typed is there, and each edit that was sent is stored once. */
async function nothingIsLost(writers, texts) {
  const pages = writers.map(({ page }) => page);
  await Promise.all(pages.map(isLive));
  await Promise.all(pages.map(isSaved));
  const { version, fields } = await onServer(pages[0]);
  for (const [who, { fields: ids }] of writers.entries()) {
    for (const [which, id] of ids.entries()) assert.equal(fields[id]?.value ?? "", texts[who][which], id);
  }
  await areSame(pages);
  const keys = (await Promise.all(pages.map(keysOf))).flat();
  assert.equal(new Set(keys).size, version, "as many edits are stored as were sent");
}

test(`a server that is killed while five people type loses and doubles nothing, and all come back (SEED=${SEED})`, async () => {
  const writers = await fiveWriters();
  const { page } = writers[0];
  // The second of the last two words is begun after the end.
  let isUp = true;
  const typing = Promise.all(writers.map((writer, who) => typeWords(writer, seeded(SEED + who), 2, () => isUp)));
  await areStored(page, 5 + (SEED % 12));
  await app.kill();
  isUp = false;
  await is(page, { state: "offline" });
  await page.waitForFunction(() => Number(document.documentElement.dataset.unsaved) > 0);
  await told(page, "kept here");
  await isAccessible(page, "offline");
  await app.again();
  const texts = await typing;
  await Promise.all(writers.map(({ page }) => isLive(page)));
  await nothingIsLost(writers, texts);
});

test("a server that is restarted in order is missed for a moment, and nothing is lost", async () => {
  const writers = await fiveWriters();
  const pages = writers.map(({ page }) => page);
  await Promise.all(pages.map(noteStates));
  const typing = Promise.all(writers.map((writer, who) => typeWords(writer, seeded(SEED + who), 5)));
  await areStored(pages[0], 5);
  await app.stop("SIGTERM");
  const ended = Date.now();
  await app.again();
  const texts = await typing;
  const returned = await Promise.all(pages.map((page) => wasIn(page, "reconnected", ended)));
  await nothingIsLost(writers, texts);
  for (const [who, page] of pages.entries()) {
    const away = returned[who] - ended;
    // They try every 2 s or so.
    assert.ok(away < 8_000, `${page.who} came back ${away} ms after the end of the server`);
    const states = await page.evaluate(() => globalThis.states);
    assert.ok(!states.some(({ state }) => state === "refused" || state === "expired"), JSON.stringify(states));
  }
});

test("a server that no longer answers is noticed, and what it was sent before is stored once", async () => {
  const [ana] = await team(["Ana"], { prepare: noteKeys });
  app.process.kill("SIGSTOP");
  try {
    await write(ana, "overview.title", "into the void");
    await write(ana, "overview.agency", "there, too");
    // Its connection is open, and nothing comes.
    await is(ana, { state: "connecting" });
    await is(ana, { unsaved: "2" });
  } finally {
    app.process.kill("SIGCONT");
  }
  await isLive(ana);
  await isSaved(ana);
  const { version, fields } = await onServer(ana);
  assert.equal(fields["overview.title"].value, "into the void");
  assert.equal(version, 2);
  assert.equal((await keysOf(ana)).length, 2);
});

test("what was typed is kept over a reload while the server is away", async () => {
  const [ana, bo] = await team(["Ana", "Bo"]);
  await fillIn(ana);
  await app.kill();
  await is(ana, { state: "offline" });
  const text = "A second shelter can be opened within a day.";
  await write(ana, "goals.second", text);
  await told(ana, "1 edit of yours is kept here until the server is back.");
  await ana.getByRole("link", { name: "Goals" }).click();
  await picture(ana, "collab-offline");
  await app.again();
  await ana.reload();
  await isReady(ana);
  await holds(bo, "goals.second", text);
  await isSaved(ana);
  assert.equal(await ana.getByRole("heading", { level: 2 }).count(), SECTIONS);
});
