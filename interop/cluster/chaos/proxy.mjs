// Between two programs, to cut, stall and delay what they say. Its port stays the same whoever is behind it.
import { once } from "node:events";
import { connect, createServer } from "node:net";

export class Proxy {
  #server;
  #links = new Set();
  #delay = 0;
  #isStalled = false;
  /** The port of who is behind it; while there is nobody, connections are closed at once. */
  target;

  static async start(port) {
    const proxy = new Proxy();
    proxy.#server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => proxy.#link(near));
    proxy.#server.listen(port, "127.0.0.1", 2_048);
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port() {
    return this.#server.address().port;
  }

  /** Ends all connections, in the middle of what is under way. */
  cut() {
    for (const link of this.#links) link.cut();
  }

  /** Hands nothing on, until `flow`; whatever was said meanwhile comes then. */
  stall() {
    this.#isStalled = true;
    for (const link of this.#links) link.ways.forEach((way) => way.hold());
  }

  delay(ms) {
    this.#delay = ms;
  }

  flow() {
    this.#isStalled = false;
    this.#delay = 0;
    for (const link of this.#links) link.ways.forEach((way) => way.release());
  }

  async stop() {
    this.#server.close();
    this.cut();
  }

  #link(near) {
    near.on("error", () => {});
    if (this.target === undefined) return near.destroy();
    const far = connect({ port: this.target, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const settings = { delay: () => this.#delay, isStalled: () => this.#isStalled };
    const link = {
      ways: [new Way(near, far, settings), new Way(far, near, settings)],
      cut: () => [near, far].forEach((end) => end.destroy()),
    };
    this.#links.add(link);
    for (const end of [near, far]) {
      end.on("error", () => link.cut());
      end.on("close", () => near.destroyed && far.destroyed && this.#links.delete(link));
    }
  }
}

/** One direction of a connection. */
class Way {
  #from;
  #to;
  #settings;
  /** Each { due, bytes }; no bytes are the end. */
  #waiting = [];
  #timer;

  constructor(from, to, settings) {
    [this.#from, this.#to, this.#settings] = [from, to, settings];
    from.on("data", (bytes) => this.#take(bytes));
    from.on("end", () => this.#take());
    from.on("close", () => from.errored && to.destroy());
    to.on("drain", () => settings.isStalled() || from.resume());
    if (settings.isStalled()) this.hold();
  }

  hold() {
    this.#from.pause();
  }

  release() {
    for (const item of this.#waiting) item.due = 0;
    this.#from.resume();
    this.#pump();
  }

  #take(bytes) {
    this.#waiting.push({ due: Date.now() + this.#settings.delay(), bytes });
    this.#pump();
  }

  #pump() {
    clearTimeout(this.#timer);
    while (this.#waiting.length > 0 && !this.#settings.isStalled()) {
      const left = this.#waiting[0].due - Date.now();
      if (left > 0) {
        this.#timer = setTimeout(() => this.#pump(), left);
        return;
      }
      const { bytes } = this.#waiting.shift();
      if (this.#to.destroyed) return;
      if (bytes === undefined) this.#to.end();
      else if (!this.#to.write(bytes)) this.#from.pause();
    }
  }
}
