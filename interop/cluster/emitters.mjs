// Official emitters: programs that are no servers and speak to the clients of all of them. Each does some of the
// operations that a client has its server do, with the same parameters: `do(op, params)`.
import { Emitter as PostgresEmitter } from "@socket.io/postgres-emitter";
import { Emitter as RedisEmitter } from "@socket.io/redis-emitter";
import pg from "pg";
import { createClient } from "redis";
import { StreamsEmitter } from "./streams-emitter.mjs";

/** By engine; the others have none. */
const OPENERS = {
  async redis(url) {
    const client = await createClient({ url }).connect();
    return [new RedisEmitter(client), () => client.close()];
  },
  async streams(url) {
    const client = await createClient({ url }).connect();
    return [new StreamsEmitter(client), () => client.close()];
  },
  async postgres(url) {
    // What is sent over several connections comes in any order.
    const pool = new pg.Pool({ connectionString: url, max: 1 });
    return [new PostgresEmitter(pool), () => pool.end()];
  },
};

export async function openEmitter(engine, url, nsp) {
  // A log of ours is beside the official wire.
  const [emitter, close] = await OPENERS[engine.replace("-log", "")](url);
  return new Speaker(emitter.of(nsp), close);
}

class Speaker {
  #emitter;

  constructor(emitter, close) {
    this.#emitter = emitter;
    this.close = close;
  }

  async do(op, params) {
    await this[op](this.#select(params), params);
  }

  emit(selection, { event, args }) {
    selection.emit(event, ...args);
  }

  join(selection, { into }) {
    selection.socketsJoin(into);
  }

  leave(selection, { from }) {
    selection.socketsLeave(from);
  }

  disconnect(selection, { close }) {
    selection.disconnectSockets(close);
  }

  serverSide(_selection, { event, args }) {
    this.#emitter.serverSideEmit(event, ...args);
  }

  #select({ rooms = [], except = [] }) {
    return this.#emitter.to(rooms).except(except);
  }
}
