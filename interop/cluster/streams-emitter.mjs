// Writes to the stream what `@socket.io/redis-streams-emitter` 0.1 writes there, for the npm registry does not have
// that package: an entry with the fields uid, nsp, type and data, and data as JSON or, with bytes in it, as MessagePack
// in Base64.
import { encode } from "@msgpack/msgpack";

const UID = "emitter";
const STREAM = "socket.io";
const MAX_LENGTH = 10_000;
const EVENT = 2;
const TYPES = { BROADCAST: 3, JOIN: 4, LEAVE: 5, DISCONNECT: 6, SERVER_SIDE: 9 };

export class StreamsEmitter {
  #client;
  #nsp;
  #rooms;
  #except;

  constructor(client, nsp = "/", rooms = [], except = []) {
    this.#client = client;
    this.#nsp = nsp;
    this.#rooms = rooms;
    this.#except = except;
  }

  of(nsp) {
    return new StreamsEmitter(this.#client, nsp);
  }

  to(rooms) {
    return new StreamsEmitter(this.#client, this.#nsp, [...this.#rooms, ...rooms], this.#except);
  }

  except(rooms) {
    return new StreamsEmitter(this.#client, this.#nsp, this.#rooms, [...this.#except, ...rooms]);
  }

  emit(event, ...args) {
    const packet = { type: EVENT, data: [event, ...args], nsp: this.#nsp };
    this.#publish(TYPES.BROADCAST, { packet, opts: this.#selection });
  }

  socketsJoin(rooms) {
    this.#publish(TYPES.JOIN, { opts: this.#selection, rooms });
  }

  socketsLeave(rooms) {
    this.#publish(TYPES.LEAVE, { opts: this.#selection, rooms });
  }

  disconnectSockets(close) {
    this.#publish(TYPES.DISCONNECT, { opts: this.#selection, close });
  }

  serverSideEmit(event, ...args) {
    this.#publish(TYPES.SERVER_SIDE, { packet: [event, ...args] });
  }

  get #selection() {
    return { rooms: this.#rooms, except: this.#except, flags: {} };
  }

  #publish(type, data) {
    const text = hasBytes(data) ? Buffer.from(encode(data)).toString("base64") : JSON.stringify(data);
    const entry = { uid: UID, nsp: this.#nsp, type: String(type), data: text };
    const trim = { strategy: "MAXLEN", strategyModifier: "~", threshold: MAX_LENGTH };
    this.#client.xAdd(STREAM, "*", entry, { TRIM: trim });
  }
}

function hasBytes(value) {
  if (value === null || typeof value !== "object") return false;
  return ArrayBuffer.isView(value) || Object.values(value).some(hasBytes);
}
