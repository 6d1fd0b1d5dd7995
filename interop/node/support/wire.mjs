// A wire between clients and the server: it can be cut, and it hears what goes through.
import { EventEmitter } from "node:events";
import { connect, createServer } from "node:net";
import { takenIn } from "./raw.mjs";
import { next } from "./wait.mjs";

export class Wire {
  #server;
  #door;
  #strands = new Set();
  #news = new EventEmitter().setMaxListeners(0);
  #whole = true;
  url;

  static async to(server) {
    const wire = new Wire();
    wire.#server = server;
    wire.#door = createServer({ allowHalfOpen: true }, (client) => wire.#take(client));
    await new Promise((resolve) => wire.#door.listen(0, "127.0.0.1", resolve));
    wire.url = `http://127.0.0.1:${wire.#door.address().port}`;
    return wire;
  }

  /** Ends all connections without a goodbye; new ones end at once until the wire is mended. */
  cut() {
    this.#whole = false;
    for (const strand of this.#strands) strand.cut();
  }

  mend() {
    this.#whole = true;
  }

  /**
   * A GET of a client waits at the server. Without one the server cannot see that polling was cut:
   * between two requests a client is allowed to be silent.
   */
  async waitingGet() {
    const waiting = () => [...this.#strands].find((strand) => strand.poll !== undefined);
    for (;;) {
      if (!waiting()) await next(this.#news, "up", { accept: waiting });
      const strand = waiting();
      const { poll } = strand;
      await takenIn(this.#server, poll);
      // Otherwise it was answered meanwhile, and the next one has to arrive.
      if (strand.poll === poll) return;
    }
  }

  /** The WebSocket connections so far, each as { extensions, down, up } with the frames each way. */
  get webSockets() {
    return [...this.#strands].filter((strand) => strand.extensions !== undefined);
  }

  close() {
    this.cut();
    this.#door.close();
  }

  #take(client) {
    if (!this.#whole) return client.destroy();
    this.#strands.add(new Strand(client, this.#server.port, this.#news));
  }
}

/** One TCP connection through the wire. */
class Strand {
  #client;
  #server;
  #opening = Buffer.alloc(0);
  #plain = false;
  /** What the poll asks for that was passed on and has no answer yet, if there is one. */
  poll;
  /** What the server agreed on; undefined as long as this is no WebSocket. */
  extensions;
  down = [];
  up = [];

  constructor(client, port, news) {
    this.#client = client;
    this.#server = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const readers = { down: new FrameReader(this.down), up: new FrameReader(this.up) };
    client.on("data", (chunk) => {
      if (this.extensions !== undefined) readers.up.read(chunk);
      this.poll = pollOf(chunk);
      this.#server.write(chunk);
      news.emit("up");
    });
    this.#server.on("data", (chunk) => {
      this.poll = undefined;
      const frames = this.extensions === undefined ? this.#opened(chunk) : chunk;
      if (frames) readers.down.read(frames);
      client.write(chunk);
    });
    for (const [from, to] of [[client, this.#server], [this.#server, client]]) {
      from.on("end", () => to.end());
      from.on("close", () => this.#end(to));
      from.on("error", () => this.#end(to));
    }
  }

  #end(other) {
    this.poll = undefined;
    other.destroy();
  }

  cut() {
    for (const end of [this.#client, this.#server]) end.resetAndDestroy();
  }

  /** The frames behind the answer that opens a WebSocket, once it is there. */
  #opened(chunk) {
    if (this.#plain) return undefined;
    this.#opening = Buffer.concat([this.#opening, chunk]);
    const end = this.#opening.indexOf("\r\n\r\n");
    if (end < 0) return undefined;
    const [status, ...headers] = this.#opening.subarray(0, end).toString().split("\r\n");
    this.#plain = !status.includes(" 101 ");
    if (this.#plain) return undefined;
    const header = headers.find((line) => /^sec-websocket-extensions:/i.test(line)) ?? ":";
    this.extensions = header.slice(header.indexOf(":") + 1).trim();
    return this.#opening.subarray(end + 4);
  }
}

/** What a request asks for that is a poll of a session; undefined if it is none. */
function pollOf(request) {
  const [line] = request.subarray(0, 1_000).toString("latin1").split("\r\n");
  const [method, url] = line.split(" ");
  return method === "GET" && url?.includes("transport=polling") && url.includes("sid=") ? url : undefined;
}

/** Tells frames apart by their heads; what they hold is none of its business. */
class FrameReader {
  #rest = Buffer.alloc(0);
  #frames;

  constructor(frames) {
    this.#frames = frames;
  }

  read(chunk) {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (let frame; (frame = head(this.#rest)); ) {
      this.#frames.push(frame);
      this.#rest = this.#rest.subarray(frame.bytes);
    }
  }
}

/** The first frame of `data`, if all of it is there. `bytes` counts its head as well. */
function head(data) {
  if (data.length < 2) return undefined;
  const short = data[1] & 0x7f;
  const extended = short === 127 ? 8 : short === 126 ? 2 : 0;
  if (data.length < 2 + extended) return undefined;
  const length = extended === 8 ? Number(data.readBigUInt64BE(2)) : extended === 2 ? data.readUInt16BE(2) : short;
  const bytes = 2 + extended + (data[1] & 0x80 ? 4 : 0) + length;
  if (data.length < bytes) return undefined;
  return { opcode: data[0] & 0x0f, compressed: (data[0] & 0x40) !== 0, bytes };
}
