// What each way to hear of posts costs, measured where it matters: in the browser.

/** What the lanes show. */
const LANE_MS = 30_000;
/** What the figures are of. */
const MINUTE_MS = 60_000;
/** What a browser counts for the headers of an answer, which it does not tell. */
const HEADER_BYTES = 300;
const DELAYS_MAX = 20;
const MARKS_MAX = 2_000;
const SVG = "http://www.w3.org/2000/svg";

/** The server's clock, as far as it is known here. */
export const serverClock = {
  offset: 0,
  error: Infinity,
  /** The server's clock was `time` when it answered a question, between these two moments. */
  tell(time, asked, answered) {
    if (answered - asked > this.error) return;
    this.error = answered - asked;
    this.offset = time - (asked + answered) / 2;
  },
  now() {
    return Date.now() + this.offset;
  },
};

/** One way, and what it has cost in the last minute. */
class Meter {
  /** Requests and bytes: `{ at, requests, bytes }`. */
  #costs = [];
  /** When a request was open: `{ from, to }`. */
  #spans = [];
  /** When posts arrived. */
  #dots = [];
  #delays = [];
  /** How many things are open all the time, and since when. */
  #open = 0;
  #openSince = 0;

  constructor(element) {
    this.element = element;
    const template = document.getElementById("way-template");
    element.append(template.content.cloneNode(true));
    [this.spanGroup, this.dotGroup] = element.querySelectorAll(".lane g");
  }

  /** A request has ended. */
  request(from, to, bytes) {
    this.cost(1, bytes, to);
    push(this.#spans, { from, to });
    // A long poll is followed by the next one at once.
    if (this.#open) this.#openSince = to;
  }

  cost(requests, bytes, at = performance.now()) {
    push(this.#costs, { at, requests, bytes });
  }

  /** From now on something is open all the time. */
  opened() {
    if (this.#open++ === 0) this.#openSince = performance.now();
  }

  closed() {
    if (--this.#open === 0) push(this.#spans, { from: this.#openSince, to: performance.now() });
  }

  /** A post has arrived this way. */
  heard(post) {
    push(this.#dots, performance.now());
    this.#delays.push(Math.max(0, serverClock.now() - post.time));
    if (this.#delays.length > DELAYS_MAX) this.#delays.shift();
  }

  /** What is told in figures. */
  figures(now) {
    drop(this.#costs, ({ at }) => at < now - MINUTE_MS);
    const sum = (name) => this.#costs.reduce((total, cost) => total + cost[name], 0);
    const sorted = this.#delays.toSorted((a, b) => a - b);
    const isUsed = this.#costs.length > 0 || this.#open > 0;
    return {
      requests: isUsed ? sum("requests") : undefined,
      bytes: isUsed ? sum("bytes") : undefined,
      delay: sorted[Math.floor(sorted.length / 2)],
    };
  }

  /** Forgets all that was measured. */
  reset() {
    for (const list of [this.#costs, this.#spans, this.#dots, this.#delays]) list.length = 0;
    this.#openSince = performance.now();
  }

  drawLane(now) {
    const from = now - LANE_MS;
    drop(this.#spans, ({ to }) => to < from);
    drop(this.#dots, (at) => at < from);
    const x = (at) => Math.max(0, ((at - from) / LANE_MS) * 300);
    const spans = this.#open ? [...this.#spans, { from: this.#openSince, to: now, isOpen: true }] : this.#spans;
    this.spanGroup.replaceChildren(
      ...spans.map((span) => {
        const width = Math.max(2.5, x(span.to) - x(span.from) - (span.isOpen ? 0 : 1));
        return shape("rect", { x: x(span.from), y: 9, width, height: 6, rx: 1 });
      }),
    );
    this.dotGroup.replaceChildren(...this.#dots.map((at) => shape("rect", { x: x(at) - 1, y: 3, width: 2, height: 18 })));
  }
}

/** By the names of the transports; `short` is short polling. */
export const METERS = Object.fromEntries(
  [...document.querySelectorAll("[data-way]")].map((element) => [element.dataset.way, new Meter(element)]),
);

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function push(list, mark) {
  list.push(mark);
  if (list.length > MARKS_MAX) list.shift();
}

function drop(list, isOver) {
  while (list.length > 0 && isOver(list[0])) list.shift();
}

/** Counts requests as the browser tells of them: those of polls, short and long. */
export function meterRequests() {
  const observer = new PerformanceObserver((list) => {
    for (const { name, startTime, responseEnd, transferSize } of list.getEntries()) {
      const { pathname, searchParams } = new URL(name);
      const isLong = pathname === "/socket.io/" && searchParams.get("transport") === "polling";
      const isShort = pathname === "/api/posts" && searchParams.get("way") === "short";
      const meter = isLong ? METERS.polling : isShort ? METERS.short : undefined;
      meter?.request(startTime, responseEnd, transferSize);
    }
    performance.clearResourceTimings();
  });
  observer.observe({ type: "resource", buffered: true });
  draw();
  setInterval(draw, 500);
}

/** Measures a connection, and calls `changed` when it is on another transport. */
export function measure(manager, changed = () => {}) {
  manager.on("open", () => {
    const { engine } = manager;
    let meter;
    const use = () => {
      meter?.closed();
      meter = METERS[engine.transport.name];
      meter?.opened();
      // The browser tells nothing of the request that becomes a WebSocket, nor of what comes through it.
      if (engine.transport.name === "websocket") meter?.cost(1, HEADER_BYTES);
      changed();
    };
    engine.on("upgrade", use);
    engine.on("packet", (packet) => engine.transport.name === "websocket" && meter?.cost(0, frameBytes(packet)));
    engine.on("close", () => {
      meter?.closed();
      meter = undefined;
    });
    use();
  });
}

/** The bytes of a packet in its frame: a type, the text, and a header of 2 to 4 bytes. */
function frameBytes({ data }) {
  const bytes = 1 + (typeof data === "string" ? new TextEncoder().encode(data).length : (data?.byteLength ?? 0));
  return bytes + (bytes < 126 ? 2 : 4);
}

function inBytes(bytes) {
  return bytes < 1_000 ? `${bytes} B` : `${(bytes / 1_000).toFixed(1)} kB`;
}

function inTime(ms) {
  if (ms < 1) return "< 1 ms";
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

const FORMATS = { requests: String, bytes: inBytes, delay: inTime };

function draw() {
  const now = performance.now();
  const meters = Object.values(METERS);
  const figures = meters.map((meter) => meter.figures(now));
  for (const meter of meters) meter.drawLane(now);
  for (const [name, format] of Object.entries(FORMATS)) {
    const most = Math.max(1, ...figures.map((figure) => figure[name] ?? 0));
    meters.forEach((meter, index) => {
      const value = figures[index][name];
      const told = meter.element.querySelector(`.${name}`);
      told.textContent = value === undefined ? "–" : format(value);
      told.dataset.value = value ?? "";
      told.parentElement.querySelector("i").style.transform = `scaleX(${(value ?? 0) / most})`;
    });
  }
}
