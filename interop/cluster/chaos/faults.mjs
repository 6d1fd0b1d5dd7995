// What is done to a cluster, at moments that a seed gives.
import { setTimeout as sleep } from "node:timers/promises";

const SECOND = 1_000;
/** How long the engine stands still once in a long run. */
const LONG_STOP = 20;
const LONG_RUN = 45;

export const KINDS = ["kill", "engine restart", "engine stop", "cut", "delay", "stall", "bus cut", "bus stall"];

export class Faults {
  #random;
  #nodes;
  #engine;
  #isLong;
  #kinds;
  #busy = new Set();
  #running = new Set();
  /** Each { at, until, kind, where, ms }. */
  log = [];

  constructor({ random, nodes, engine, seconds, kinds }) {
    this.#kinds = kinds;
    this.#random = random;
    this.#nodes = nodes;
    this.#engine = engine;
    this.#isLong = seconds >= LONG_RUN;
  }

  /** For so many seconds; resolves when all of them are over. */
  async go(seconds) {
    const end = Date.now() + seconds * SECOND;
    const pause = this.#isLong ? [1, 3.5] : [0.4, 1.4];
    let deck = [];
    let longStops = this.#isLong ? 1 : 0;
    await sleep(SECOND);
    while (Date.now() < end) {
      if (deck.length === 0) deck = this.#random.shuffled(this.#kinds);
      const kind = deck.pop();
      // Drawn in any case, so that the order of what happens depends on the seed alone.
      const [node, length] = [this.#random.pick(this.#nodes), this.#random.next()];
      const isLongStop = kind === "engine stop" && longStops > 0;
      const hasBegun = this.#begin(kind, node, isLongStop ? LONG_STOP * SECOND : undefined, length);
      if (hasBegun && isLongStop) longStops -= 1;
      // Its place has another fault: it has its turn again.
      if (!hasBegun) deck.unshift(kind);
      await sleep(this.#random.between(...pause) * SECOND);
    }
    await Promise.all(this.#running);
  }

  /** Whether its place was free. */
  #begin(kind, node, ms, length) {
    const place = placeOf(kind, node);
    if (this.#busy.has(place) || (kind === "kill" && !node.isUp)) return false;
    const spread = (from, to) => Math.round(ms ?? from + length * (to - from));
    const entry = { at: Date.now(), kind, where: kind.startsWith("engine") ? "" : node.name, ms: 0 };
    const acts = {
      kill: async () => {
        await node.kill();
        await sleep((entry.ms = spread(200, 2_000)));
        await node.begin();
      },
      "engine restart": async () => {
        await this.#engine.kill();
        await sleep((entry.ms = spread(100, this.#isLong ? 3_000 : 1_500)));
        await this.#engine.start();
      },
      "engine stop": async () => {
        this.#engine.freeze();
        await sleep((entry.ms = spread(1_500, 4_000)));
        this.#engine.thaw();
      },
      cut: () => node.links.cut(),
      delay: () => {
        node.links.delay(spread(100, 800));
        return this.#later(node.links, (entry.ms = spread(1_000, 4_000)));
      },
      stall: () => {
        node.links.stall();
        return this.#later(node.links, (entry.ms = spread(1_000, 4_000)));
      },
      "bus cut": () => node.bus.cut(),
      "bus stall": () => {
        node.bus.stall();
        return this.#later(node.bus, (entry.ms = spread(1_000, this.#isLong ? 12_000 : 7_000)));
      },
    };
    this.log.push(entry);
    this.#busy.add(place);
    const running = Promise.resolve(acts[kind]()).finally(() => {
      entry.until = Date.now();
      this.#busy.delete(place);
      this.#running.delete(running);
    });
    this.#running.add(running);
    return true;
  }

  async #later(proxy, ms) {
    await sleep(ms);
    proxy.flow();
  }

  /** How many of each kind. */
  counts() {
    return KINDS.map((kind) => [kind, this.log.filter((entry) => entry.kind === kind).length]);
  }
}

/** What a fault has for itself while it lasts. */
function placeOf(kind, node) {
  if (kind.startsWith("engine")) return "engine";
  if (kind === "kill") return `${node.index} life`;
  return `${node.index} ${kind.startsWith("bus") ? "bus" : "links"}`;
}
