// What events hold.
import { bytes, values } from "../../node/support/values.mjs";

const LARGE = 200_000;
const LARGE_BYTES = 100_000;
/** Such keys are lost in some of the official codecs; large numbers are a case of their own. */
const NOT_HERE = ["keys that mean something in JavaScript", "the edges of floats"];
const odd = values.filter(([what]) => !NOT_HERE.includes(what)).map(([, value]) => value);

const events = [
  ["no arguments", []],
  ["text and nested values", ["schön 雪 😀", null, { deep: [1, null, { a: ["b", {}] }] }, true, ""]],
  ["odd values", odd],
  ["numbers", [0, -1, -33, -129, 127, 128, 255, 256, 65_536, 2 ** 31, 2 ** 32, -(2 ** 31) - 1, 0.1, -1e-7, 1 / 3]],
  ["numbers beyond 64 bits", [2 ** 64, 1e21, -1e21, Number.MAX_VALUE, Number.MIN_VALUE]],
  ["200 KB of text", ["schön 雪 😀 ".repeat(LARGE / 16)]],
  ["bytes in an object", ["picture", { name: "schön", data: bytes(1_000), more: [bytes(3)] }]],
  ["two lots of bytes", [bytes(300), null, bytes(0)]],
  ["100 KB of bytes", [bytes(LARGE_BYTES)]],
];

export default events.map(([what, args]) => ({
  title: `event with ${what}`,
  async test(bench) {
    const room = bench.key("room");
    const members = await bench.crowd({ room });
    await bench.crowd();
    await bench.expectHearing({ rooms: [room] }, members, { args });
  },
}));
