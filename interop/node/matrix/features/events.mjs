import assert from "node:assert/strict";
import { ask, fence, gather } from "../bench.mjs";
import { range } from "../../support/wait.mjs";
import { values } from "../../support/values.mjs";

const ODD_NAMES = ['with "quotes"', "back\\slash", "line\nbreak", "schön 雪 😀", "a,b/c-1[2]", ""];

// The official msgpack parser changes these on its way out or in, whatever the server does.
const NOT_BY_MSGPACK = ["keys that mean something in JavaScript", "the edges of floats"];

export default {
  title: "events",

  async test(bench) {
    const socket = await bench.connect();
    const echoes = gather(socket, "echo");
    const sent = values
      .filter(([what]) => bench.setup.parser === "default" || !NOT_BY_MSGPACK.includes(what))
      .map(([, value]) => [value]);
    sent.push([], sent.flat(), ...range(100).map((i) => [i]));
    for (const args of sent) socket.emit("echo", ...args);
    await fence(socket);
    assert.deepEqual(echoes, sent);
    for (const name of ODD_NAMES) assert.equal(await ask(socket, name, name), name);
  },
};
