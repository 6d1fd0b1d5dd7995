// A client that can be lost at one server and come back at another.
import assert from "node:assert/strict";
import { io } from "socket.io-client";
import { next, PATIENCE, within } from "../../node/support/wait.mjs";

const LOOK_AGAIN = 20;

/** Resolves when a socket is known to nobody. */
export async function gone(speaker, id) {
  const isGone = async () => (await speaker.do("fetch", { rooms: [id] })).length === 0;
  await within(PATIENCE, "a socket that was cut off to be gone", until(isGone));
}

export async function until(isSo) {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
}

export class Client {
  #log = [];

  static async connect(server, { room, auth = {} } = {}) {
    const client = new Client();
    client.socket = io(server.urls[0], {
      forceNew: true,
      reconnection: false,
      transports: ["websocket"],
      auth: { ...(room === undefined ? {} : { room }), ...auth },
    });
    client.socket.onAny((event, ...args) => client.#log.push([event, ...args]));
    await next(client.socket, "connect");
    client.id = await client.do("me");
    client.socket.io.opts.ownId = client.id;
    return client;
  }

  async do(op, params = {}) {
    const answer = await this.socket.timeout(PATIENCE).emitWithAck("do", op, params);
    if ("error" in answer) throw new Error(`${op}: ${answer.error}`);
    return answer.ok;
  }

  heard(event) {
    return this.#log.filter(([name]) => name === event).map(([, ...args]) => args);
  }

  async hears(event, count = 1) {
    await within(PATIENCE, `"${event}" to be heard`, until(() => this.heard(event).length >= count));
    assert.equal(this.heard(event).length, count);
  }

  /** Its connection ends without a word of Socket.IO. */
  async isCutOff() {
    const disconnected = next(this.socket, "disconnect");
    this.socket.io.engine.close();
    await disconnected;
  }

  async comesBack(server) {
    this.socket.io.uri = server.urls[0];
    this.socket.connect();
    await next(this.socket, "connect");
  }

  close() {
    this.socket.disconnect();
    this.socket.io.engine?.close();
  }
}
