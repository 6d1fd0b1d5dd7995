// A page of the forum. It works without this file; with it, it is live.

import { METERS, measure, meterRequests, serverClock } from "./meter.mjs";

const POSTS_MAX = 500;
const PENDING_MAX = 50;
const ACK_MS = 5_000;
const PAUSE_MS = 1_000;
const TRANSPORTS = { auto: ["polling", "websocket"], websocket: ["websocket"], polling: ["polling"] };
const NAMES = { polling: "long-polling", websocket: "WebSocket" };

const $ = (id) => document.getElementById(id);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const page = document.body.dataset;
const topic = page.topic && Number(page.topic);

// What is shown.

/** All posts up to this one were in the page when it came. */
const first = Number(page.seen);
/** Those behind it that are shown. */
const shown = new Set();

/** Shows a post, whichever way it came by, once. */
function show(post) {
  if (post.id <= first || shown.has(post.id)) return;
  shown.add(post.id);
  if (topic) showInTopic(post);
  else showInList(post);
  settle(post.key);
}

function showInTopic(post) {
  const item = $("post-template").content.cloneNode(true).firstElementChild;
  item.id = `post-${post.id}`;
  item.dataset.testid = "post";
  item.dataset.key = post.key;
  item.querySelector(".name").textContent = post.name;
  item.querySelector(".text").textContent = post.text;
  const time = item.querySelector("time");
  time.dateTime = new Date(post.time).toISOString();
  time.textContent = local(post.time);

  const list = $("posts");
  const isAtEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 40;
  let before = list.lastElementChild;
  while (before && Number(before.id.slice("post-".length)) > post.id) before = before.previousElementSibling;
  if (before) before.after(item);
  else list.prepend(item);
  if (list.children.length > POSTS_MAX) list.firstElementChild.remove();
  $("empty").hidden = true;
  if (isAtEnd) scrollTo({ top: document.documentElement.scrollHeight });
}

function showInList(post) {
  const item = $("topics").querySelector(`[data-id="${post.topic}"]`);
  if (!item) return;
  const count = item.querySelector(".count b");
  count.textContent = Number(count.textContent) + 1;
  item.querySelector(".last").textContent = `${post.name}: ${post.text}`;
}

function local(time) {
  return new Date(time).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

// What this page has said and has no answer for. It is kept over a reload.

const KEPT = `pending ${topic}`;
let pending = restore();
let isSending = false;

function restore() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? [];
  } catch {
    return [];
  }
}

function keep() {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(pending));
  } catch {
    // Without storage it is kept for as long as the page is.
  }
  $("pending")?.replaceChildren(...pending.map(pendingItem));
  tell();
}

function pendingItem(draft) {
  const item = $("pending-template").content.cloneNode(true).firstElementChild;
  item.querySelector(".name").textContent = draft.name || "guest";
  item.querySelector(".text").textContent = draft.text;
  item.querySelector(".state").textContent = draft.error ?? "waits to be stored";
  item.classList.toggle("failed", Boolean(draft.error));
  const back = item.querySelector("button");
  // What may have arrived already cannot be taken back.
  back.hidden = !draft.error;
  back.addEventListener("click", () => {
    $("text").value = draft.text;
    $("text").focus();
    settle(draft.key);
  });
  return item;
}

/** The post of that key is stored, or is not to be. */
function settle(key) {
  const left = pending.filter((draft) => draft.key !== key);
  if (left.length === pending.length) return;
  pending = left;
  keep();
}

/** Sends what has no answer, one after the other. What is sent twice is stored once, by its key. */
async function flush() {
  if (isSending) return;
  isSending = true;
  while (socket.connected) {
    const draft = pending.find(({ error }) => !error);
    if (!draft) break;
    const sent = socket.timeout(ACK_MS).emitWithAck("post_from_client", topic, draft.text, draft.key, draft.name);
    const answer = await sent.catch(() => undefined);
    if (answer?.ok) {
      show(answer.ok);
      settle(draft.key);
    } else if (!answer || ["rate_limited", "internal_error"].includes(answer.error.code)) {
      await pause(PAUSE_MS);
    } else {
      draft.error = answer.error.message;
      keep();
    }
  }
  isSending = false;
}

function submit(event) {
  event.preventDefault();
  const [name, text] = [$("name").value.trim(), $("text").value.trim()];
  if (!text || pending.length >= PENDING_MAX) return;
  const random = crypto.getRandomValues(new Uint8Array(16));
  const key = [...random].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  pending.push({ key, text, name });
  $("text").value = "";
  keep();
  void flush();
}

// The connection.

const auth = (give) => give({ topic: page.topic && Number(page.topic) });
// A forum has few pages open at once: they may all come back soon.
const options = { auth, autoConnect: false, reconnectionDelay: 500, reconnectionDelayMax: 2_000 };
const socket = page.old === undefined ? globalThis.io?.({ ...options, transports: TRANSPORTS.auto }) : undefined;
/** `connecting`, `connected`, `reconnected`, `offline` or `refused`. */
let state = "connecting";
let why = "";
let connections = 0;

function become(next, reason = "") {
  [state, why] = [next, reason];
  tell();
  compare();
}

/** Says how it stands. */
function tell() {
  const kept = pending.filter(({ error }) => !error).length;
  const keeps = kept && state !== "connected" ? ` ${kept} of your posts ${kept === 1 ? "is" : "are"} kept here.` : "";
  const name = NAMES[transport()];
  const texts = {
    connecting: connections ? "Reconnecting…" : "Connecting…",
    connected: `Live, by ${name}`,
    reconnected: "Live again, and nothing is missing",
    offline: "Offline. Trying again…",
    refused: `This page was refused: ${why}. Go back to the topics, or reload it.`,
  };
  $("status").textContent = texts[state] + keeps;
  $("status").dataset.state = state;
  $("now").textContent = name ? `This page is on ${name} now.` : "This page is not connected now.";
  $("now").dataset.transport = transport() ?? "";
}

function transport() {
  return socket?.connected ? socket.io.engine.transport.name : undefined;
}

/** All posts up to this one are here, however the next connection ends. */
let seen = first;
/** The last one that this connection has told of. */
let newest = first;
let isCaughtUp = false;

function since(id, more = {}) {
  const query = new URLSearchParams({ since: id, ...(topic && { topic }), ...more });
  return fetch(`/api/posts?${query}`).then((answer) => (answer.ok ? answer.json() : Promise.reject(answer.status)));
}

/** Asks for what was missed while this page was not connected. */
async function catchUp() {
  const connection = socket.id;
  for (let more = true; more; ) {
    const answer = await since(seen).catch(() => pause(PAUSE_MS));
    // The next connection asks for itself.
    if (socket.id !== connection) return;
    if (!answer) continue;
    answer.posts.forEach(show);
    seen = answer.posts.at(-1)?.id ?? seen;
    more = answer.more;
  }
  seen = Math.max(seen, newest);
  isCaughtUp = true;
  $("main").removeAttribute("aria-busy");
  if (connections > 1) {
    become("reconnected");
    setTimeout(() => state === "reconnected" && become("connected"), 4_000);
  }
}

function isNews(post) {
  newest = post.id;
  if (isCaughtUp) seen = Math.max(seen, newest);
  METERS[transport()]?.heard(post);
  show(post);
}

function disconnected(reason) {
  if (reason === "io client disconnect") return;
  if (socket.active) become("connecting");
  else become("refused", "the server has put it out");
}

/** The server greets a page when that is in its room: what is said from now on it hears, the rest it asks for. */
async function greeted({ visitors }) {
  $("visitors").textContent = visitors;
  void catchUp();
  const asked = Date.now();
  const time = await socket.timeout(ACK_MS).emitWithAck("event_from_client", transport()).catch(() => undefined);
  if (time) serverClock.tell(time, asked, Date.now());
}

function connected() {
  connections += 1;
  isCaughtUp = false;
  become("connected");
  $("main").setAttribute("aria-busy", "true");
  void flush();
}

// The corner that shows what this costs.

let other;
let timer;

function listen(way) {
  const beside = globalThis.io({ ...options, forceNew: true, transports: TRANSPORTS[way] });
  measure(beside.io);
  beside.on("post_update", (post) => {
    METERS[way].heard(post);
    show(post);
  });
  beside.connect();
  return { way, beside };
}

/** Keeps the other transport open beside that of the page, if that is wanted. */
function compare() {
  const now = transport();
  if (!now) return;
  const wanted = $("beside-other").checked ? (now === "polling" ? "websocket" : "polling") : undefined;
  if (other?.way === wanted) return;
  other?.beside.disconnect();
  other = wanted && listen(wanted);
}

/** Begins to ask every few seconds, or ends it. */
function pollShortly() {
  clearInterval(timer);
  if (!$("beside-short").checked) return;
  let last = Math.max(seen, newest);
  const ask = async () => {
    const answer = await since(last, { way: "short" }).catch(() => undefined);
    const posts = answer?.posts ?? [];
    for (const post of posts.filter(({ id }) => id > last)) {
      METERS.short.heard(post);
      show(post);
      last = post.id;
    }
  };
  void ask();
  timer = setInterval(ask, 1_000 * Number($("every").value));
}

function choose(way) {
  socket.disconnect();
  connections = 0;
  become("connecting");
  socket.io.opts.transports = TRANSPORTS[way];
  socket.connect();
}

function live() {
  socket.on("connect", connected);
  socket.on("disconnect", disconnected);
  socket.on("connect_error", ({ message }) => become(socket.active ? "offline" : "refused", message));
  socket.on("event_from_server", greeted);
  socket.on("post_update", isNews);
  socket.on("visitors", (count) => ($("visitors").textContent = count));
  meterRequests();
  measure(socket.io, () => become(state, why));

  $("using").hidden = false;
  for (const way of document.getElementsByName("way")) way.addEventListener("change", () => choose(way.value));
  for (const id of ["beside-short", "every"]) $(id).addEventListener("change", pollShortly);
  $("beside-other").addEventListener("change", compare);
  $("again").addEventListener("click", () => Object.values(METERS).forEach((meter) => meter.reset()));
  if (topic) {
    $("say").addEventListener("submit", submit);
    $("text").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("say").requestSubmit();
    });
    for (const { dataset } of $("posts").children) settle(dataset.key);
    keep();
  }
  tell();
  socket.connect();
}

for (const time of document.querySelectorAll("time[data-time]")) time.textContent = local(Number(time.dataset.time));
if (socket) live();
