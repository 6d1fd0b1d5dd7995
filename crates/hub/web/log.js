// The live log of everything in and out, bounded, with filters and pause.

import { byId, byteSize, element, isNearEnd, milliseconds, preciseClock, scrollToEnd } from "./dom.js";
import { describe, fileInfo, hexPreview, imageType, sha256, shorten } from "./values.js";

const MAX_ROWS = 500;
const ONE_LINE = 140;
const UNFOLDED_LINES = 8;
const UNFOLDED_LENGTH = 400;

// Rows are added in batches, so that a flood of events costs one layout and not thousands.
const BATCH_MS = 30;

const LABELS = { in: "in", out: "out", ack: "ack", system: "sys" };

export class Log {
  #list = byId("log-rows");
  #box = byId("log-box");
  #text = byId("log-text");
  #direction = byId("log-direction");
  #hideSystem = byId("log-hide-system");
  #pauseButton = byId("log-pause");
  #waiting = [];
  #rows = [];
  #timer = 0;
  #paused = false;

  constructor() {
    for (const field of [this.#text, this.#direction, this.#hideSystem]) {
      field.addEventListener("input", () => this.#filter());
    }
    this.#pauseButton.addEventListener("click", () => this.#togglePause());
    byId("log-clear").addEventListener("click", () => this.#clear());
    this.#showCounts();
  }

  // An entry is {direction, event, args} and, where they apply, room, system, via, ms and failed.
  add(entry) {
    this.#waiting.push({ ...entry, time: new Date() });
    if (this.#waiting.length > MAX_ROWS) this.#waiting.shift();
    if (this.#paused) this.#showCounts();
    else this.#timer ||= setTimeout(() => this.#flush(), BATCH_MS);
  }

  // A hidden box cannot scroll, so it has to catch up when it is shown.
  onShown() {
    scrollToEnd(this.#box);
  }

  #flush() {
    this.#timer = 0;
    const follow = isNearEnd(this.#box);
    const rows = this.#waiting.splice(0).map(makeRow);
    this.#rows.push(...rows);
    for (const old of this.#rows.splice(0, this.#rows.length - MAX_ROWS)) drop(old);
    for (const row of rows) row.item.hidden = !this.#matches(row);
    this.#list.append(...rows.map((row) => row.item));
    this.#showCounts();
    if (follow) scrollToEnd(this.#box);
  }

  #matches({ direction, system, search }) {
    if (this.#hideSystem.checked && system) return false;
    if (this.#direction.value !== "all" && this.#direction.value !== direction) return false;
    return search.includes(this.#text.value.trim().toLowerCase());
  }

  #filter() {
    for (const row of this.#rows) row.item.hidden = !this.#matches(row);
    this.#showCounts();
    scrollToEnd(this.#box);
  }

  #togglePause() {
    this.#paused = !this.#paused;
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#pauseButton.setAttribute("aria-pressed", String(this.#paused));
    if (this.#paused) this.#showCounts();
    else this.#flush();
  }

  #clear() {
    for (const row of this.#rows.splice(0)) drop(row);
    this.#waiting = [];
    this.#showCounts();
  }

  #showCounts() {
    const shown = this.#rows.filter((row) => !row.item.hidden).length;
    const total = this.#rows.length;
    byId("log-count").textContent = shown === total ? `${total}` : `${shown} of ${total}`;
    byId("log-paused").textContent = this.#paused ? `Paused, ${this.#waiting.length} waiting` : "";
    byId("log-empty").hidden = shown > 0;
    byId("log-empty").textContent = total > 0
      ? "Nothing matches the filters."
      : "Nothing yet. Every event in and out shows up here.";
  }
}

function drop(row) {
  row.item.remove();
  for (const url of row.urls) URL.revokeObjectURL(url);
}

function makeRow(entry) {
  const { direction, event, room, system = false } = entry;
  const described = describe(entry.args);
  const urls = [];
  const item = element(
    "li",
    {
      className: "entry",
      testid: "log-row",
      data: { direction, event, room: room ?? "", failed: String(entry.failed === true) },
    },
    entryHead(entry),
    argumentsView(described),
    ...described.binaries.map((bytes) => binaryView(bytes, fileInfo(entry.args), urls)),
  );
  const search = `${event} ${room ?? ""} ${described.compact}`.toLowerCase();
  return { item, urls, direction, system, search };
}

function entryHead({ time, direction, room, event, via, ms }) {
  return element(
    "div",
    { className: "entry-head" },
    element("time", { dateTime: time.toISOString(), textContent: preciseClock(time) }),
    element("span", { className: "direction", textContent: LABELS[direction] }),
    element("strong", { className: "entry-event", textContent: event }),
    room ? element("span", { className: "entry-room ellipsis", textContent: room, title: `Room ${room}` }) : null,
    via ? element("span", { className: "entry-via", textContent: via }) : null,
    ms === undefined ? null : element("span", { className: "entry-ms", textContent: milliseconds(ms) }),
  );
}

function argumentsView({ compact, pretty }) {
  if (compact === "") return null;
  const props = { className: "args", testid: "log-args" };
  if (compact.length <= ONE_LINE) return element("pre", { ...props, textContent: compact });
  const body = element("pre", { ...props, textContent: shorten(pretty), tabIndex: 0 });
  if (pretty.length <= UNFOLDED_LENGTH && pretty.split("\n").length <= UNFOLDED_LINES) return body;
  return element(
    "details",
    { className: "fold", testid: "log-fold" },
    element("summary", { className: "ellipsis", textContent: compact.slice(0, 160) }),
    body,
  );
}

// The blob has no type of its own, so a browser can only save it, never run it.
function binaryView(bytes, info, urls) {
  const type = imageType(bytes);
  const url = URL.createObjectURL(new Blob([bytes], { type: type ?? "application/octet-stream" }));
  urls.push(url);
  // As long as a digest, so that nothing moves when it is there.
  const digest = element("code", { className: "digest", testid: "binary-sha256", textContent: "·".repeat(64) });
  sha256(bytes).then((hex) => {
    digest.textContent = hex ?? "only on HTTPS or localhost";
  });
  return element(
    "div",
    { className: "binary", testid: "binary" },
    element(
      "div",
      { className: "binary-head" },
      element("span", { className: "ellipsis", testid: "binary-name", textContent: info.name || "binary" }),
      element("span", { className: "muted", testid: "binary-size", title: `${bytes.length} bytes`, data: { bytes: bytes.length }, textContent: byteSize(bytes.length) }),
      element("a", { className: "button button-small", testid: "binary-download", href: url, download: info.name || "binary.bin", textContent: "Download" }),
    ),
    type ? imagePreview(url, info) : element("pre", { className: "hex", testid: "binary-hex", textContent: hexPreview(bytes), tabIndex: 0 }),
    element("div", { className: "binary-digest" }, element("span", { className: "muted", textContent: "SHA-256" }), digest),
  );
}

function imagePreview(url, info) {
  const alt = info.name ? `Preview of ${info.name}` : "Preview";
  return element("img", { className: "preview", testid: "binary-image", src: url, alt });
}
