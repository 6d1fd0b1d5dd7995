// Connections below the official client, to send what it never would.
// Both kinds share one shape: send(...packets), next(accept), drain(), close().
import { randomUUID } from "node:crypto";
import http from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import WebSocket from "ws";
import { next as nextEvent, PATIENCE, within } from "./wait.mjs";

const SEPARATOR = "\x1e";
const LOOK_AGAIN = 5;

export function engineUrl(server, query) {
  return `${server.url}/socket.io/?${new URLSearchParams({ EIO: "4", ...query })}`;
}

export class RawPolling {
  #inbox = [];
  #abort = new AbortController();

  static async open(server, { silent = false } = {}) {
    const raw = new RawPolling();
    raw.silent = silent;
    const response = await raw.#fetch(engineUrl(server, { transport: "polling" }));
    raw.handshake = JSON.parse((await response.text()).slice(1));
    raw.url = engineUrl(server, { transport: "polling", sid: raw.handshake.sid });
    raw.server = server;
    return raw;
  }

  /** All packets in one payload. */
  async send(...packets) {
    await (await this.post(packets.join(SEPARATOR))).text();
  }

  post(body, headers = {}) {
    const type = { "content-type": "text/plain;charset=UTF-8" };
    return this.#fetch(this.url, { method: "POST", body, headers: { ...type, ...headers } });
  }

  get() {
    return this.#fetch(this.url);
  }

  /**
   * A GET that waits at the server before anything is sent after this: two HTTP connections have no
   * order between them, so the server is asked for it. Gives the response, as `{ body }` with a promise of its text.
   */
  async waitingGet() {
    // A query that no other GET has.
    const url = `${this.url}&t=${randomUUID()}`;
    const request = http.get(url, { agent: false });
    const body = new Promise((resolve, reject) => {
      request.on("error", reject);
      request.on("response", (response) => resolve(text(response)));
    });
    // Its failure is seen by whoever awaits it, which may be later.
    body.catch(() => {});
    await takenIn(this.server, url);
    return { body };
  }

  async next(accept = () => true) {
    for (;;) {
      const packet = await this.#take();
      if (packet === undefined) throw new Error("the session has ended");
      if (accept(packet)) return packet;
    }
  }

  /** Everything until the server ends the session. */
  async drain() {
    const seen = [];
    for (let packet; (packet = await this.#take()) !== undefined; ) seen.push(packet);
    return seen;
  }

  close() {
    this.#abort.abort();
  }

  async #take() {
    while (this.#inbox.length === 0) {
      const response = await this.get();
      const body = await response.text();
      if (!response.ok) return undefined;
      this.#inbox.push(...body.split(SEPARATOR));
    }
    const packet = this.#inbox.shift();
    if (packet === "1") return undefined;
    if (packet !== "2") return packet;
    if (!this.silent) await this.send("3");
    return this.#take();
  }

  #fetch(url, options = {}) {
    const answer = fetch(url, { ...options, signal: this.#abort.signal });
    return within(PATIENCE, `an answer to ${options.method ?? "GET"}`, answer);
  }
}

export class RawWebSocket {
  #inbox = [];
  #socket;
  #ended = false;
  closeCode;

  static async open(server, { silent = false, query = {} } = {}) {
    const raw = new RawWebSocket(engineUrl(server, { transport: "websocket", ...query }), silent);
    await raw.#opened();
    if (!query.sid) raw.handshake = JSON.parse((await raw.next()).slice(1));
    return raw;
  }

  constructor(url, silent) {
    this.#socket = new WebSocket(url);
    this.#socket.on("message", (data, isBinary) => this.#receive(isBinary ? data : data.toString(), silent));
    this.#socket.on("close", (code) => {
      this.closeCode = code;
      this.#ended = true;
      this.#socket.emit("news");
    });
    this.#socket.on("error", () => {});
  }

  async #opened() {
    const open = new Promise((resolve) => this.#socket.once("open", resolve));
    const refused = new Promise((_, reject) => this.#socket.once("error", reject));
    await within(PATIENCE, "a WebSocket to open", Promise.race([open, refused]));
  }

  async send(...packets) {
    for (const packet of packets) this.#socket.send(packet);
  }

  async next(accept = () => true) {
    for (;;) {
      const packet = await this.#take();
      if (packet === undefined) throw new Error("the connection has ended");
      if (accept(packet)) return packet;
    }
  }

  async drain() {
    const seen = [];
    for (let packet; (packet = await this.#take()) !== undefined; ) seen.push(packet);
    return seen;
  }

  close() {
    this.#socket.terminate();
  }

  #receive(packet, silent) {
    if (packet === "2") {
      if (!silent) this.#socket.send("3");
      return;
    }
    this.#inbox.push(packet);
    this.#socket.emit("news");
  }

  async #take() {
    while (this.#inbox.length === 0) {
      if (this.#ended) return undefined;
      await nextEvent(this.#socket, "news");
    }
    return this.#inbox.shift();
  }
}

/** Walks a polling session over to WebSocket, step by step as the protocol wants it. */
export async function upgradeRaw(polling, { silent = false } = {}) {
  const { server, handshake } = polling;
  const pending = polling.get();
  const socket = await RawWebSocket.open(server, { silent, query: { sid: handshake.sid } });
  await socket.send("2probe");
  const probed = await socket.next();
  if (probed !== "3probe") throw new Error(`the probe was answered by ${probed}`);
  const last = (await (await pending).text()).split(SEPARATOR);
  await socket.send("5");
  // On a busy machine it may have been a ping that ended the poll.
  if (!silent && last.includes("2")) await socket.send("3");
  return Object.assign(socket, { handshake });
}

/** Opens a raw connection in the given mode. */
export async function openRaw(server, mode, options = {}) {
  if (mode.name === "websocket") return RawWebSocket.open(server, options);
  const polling = await RawPolling.open(server, options);
  return mode.name === "polling" ? polling : upgradeRaw(polling, options);
}

/**
 * Resolves when the server has taken in a poll, which then waits unless there was something to send. `url` is that of
 * its request, or as much of it as there is from its path on.
 */
export async function takenIn(server, url) {
  const asking = `${server.url}/socket.io/taken-in?${url.slice(url.indexOf("?") + 1)}`;
  const taken = async () => {
    while ((await (await fetch(asking)).text()) !== "true") await pause(LOOK_AGAIN);
  };
  await within(PATIENCE, "a poll to be taken in", taken());
  if (process.env.CLUSTER_URL !== undefined) await roundTheNodes(server);
}

/**
 * A poll that came to a node without its session goes on from there, and nobody says when it has arrived. Usually
 * that is while each node answers a request.
 */
async function roundTheNodes(server) {
  for (let i = 0; i < 3; i++) await (await fetch(engineUrl(server, { transport: "none" }))).text();
}
