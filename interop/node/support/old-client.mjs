// The official client of Socket.IO 2, with the verbs of client.mjs, and Engine.IO 3 below it.
import io from "client-2.5";
import { modes } from "./client.mjs";
import { next, PATIENCE, within } from "./wait.mjs";

const DEFAULTS = { forceNew: true, reconnection: false };

/** A client that has only begun to connect; it leaves with the bench. */
export function openOld(bench, { mode = bench.mode, nsp = "/", ...options } = {}) {
  const socket = io(bench.server.url + nsp, { ...DEFAULTS, transports: mode.transports, ...options });
  bench.keep({
    close() {
      socket.io.reconnection(false);
      socket.io.close();
    },
  });
  return socket;
}

/** Connected, welcomed as `socket.welcome` says, and on its final transport. */
export async function connectOld(bench, { mode = bench.mode, ...options } = {}) {
  const socket = openOld(bench, { mode, ...options });
  const steps = [next(socket, "connect"), next(socket, "welcome")];
  if (mode.name === "upgraded") steps.push(next(socket.io.engine, "upgrade"));
  const refused = new Promise((_, reject) => {
    for (const event of ["connect_error", "error"]) socket.once(event, reject);
  });
  const [, [welcome]] = await Promise.race([Promise.all(steps), refused]);
  return Object.assign(socket, { welcome });
}

/** The first argument of the answer. */
export function askOld(socket, event, ...args) {
  const answer = new Promise((resolve) => socket.emit(event, ...args, resolve));
  return within(PATIENCE, `an answer to "${event}"`, answer);
}

/** A session below the client, which only polls. */
export class OldPolling {
  static async open(server, query = {}) {
    const session = new OldPolling();
    const url = (more) => `${server.url}/socket.io/?${new URLSearchParams({ EIO: "3", transport: "polling", ...query, ...more })}`;
    const response = await fetch(url({}));
    session.first = session.seen = await response.text();
    session.response = response;
    // In a script its quotes are escaped.
    session.handshake = JSON.parse(session.first.replaceAll('\\"', '"').match(/\{.*?\}/)[0]);
    session.url = url({ sid: session.handshake.sid });
    return session;
  }

  /** Bodies are sent as they are given. */
  post(body, type = "text/plain;charset=UTF-8") {
    return fetch(this.url, { method: "POST", body, headers: { "content-type": type } });
  }

  get() {
    return fetch(this.url);
  }

  /** Polls until what came from the beginning has this in it, and gives all that came. */
  async until(part) {
    while (!this.seen.includes(part)) {
      const response = await this.get();
      if (!response.ok) throw new Error(`${response.status} before ${part} came: ${this.seen}`);
      this.seen += await response.text();
    }
    return this.seen;
  }
}

export const websocket = modes.find((mode) => mode.name === "websocket");
