// A line to a front that takes its time: it passes a piece in each direction, then rests.
import { connect, createServer } from "node:net";

const PIECE_BYTES = 16_384;
const REST = 5;

export class SlowLine {
  #door;
  #ends = new Set();

  static async to(front) {
    const line = new SlowLine();
    line.#door = createServer((client) => line.#take(client, connect(front.port, "127.0.0.1")));
    await new Promise((resolve) => line.#door.listen(0, "127.0.0.1", resolve));
    line.url = `${new URL(front.url).protocol}//127.0.0.1:${line.#door.address().port}`;
    return line;
  }

  close() {
    this.#ends.forEach((end) => end.destroy());
    this.#door.close();
  }

  #take(client, server) {
    for (const [from, to] of [[client, server], [server, client]]) {
      this.#ends.add(from);
      from.on("error", () => to.destroy());
      from.on("close", () => this.#ends.delete(from));
      trickle(from, to).catch(() => to.destroy());
    }
  }
}

async function trickle(from, to) {
  for await (const chunk of from) {
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
      if (!to.write(chunk.subarray(at, at + PIECE_BYTES))) await drained(to);
      await new Promise((resolve) => setTimeout(resolve, REST));
    }
  }
  to.end();
}

function drained(stream) {
  return new Promise((resolve, reject) => {
    stream.once("drain", resolve);
    stream.once("close", () => reject(new Error("the other end has gone")));
  });
}
