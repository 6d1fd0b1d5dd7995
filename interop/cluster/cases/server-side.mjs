// Events between servers.
import assert from "node:assert/strict";
import { bytes, buffered } from "../../node/support/values.mjs";
import { range } from "../../node/support/wait.mjs";

const MANY = 20;
/** How long official servers wait for the answers of others; it cannot be chosen for each question. */
const TIMEOUT = 5_000;
const SLACK = 500;

export default [
  {
    title: "server-side event",
    async test(bench) {
      await expectSeen(bench, bench.from, ["schön 雪", { a: [1, null] }]);
    },
  },
  {
    title: "server-side event with bytes",
    async test(bench) {
      await expectSeen(bench, bench.from, [bytes(20), { more: bytes(3) }]);
    },
  },
  {
    title: "server-side events in order",
    async test(bench) {
      const key = bench.key("value");
      await Promise.all(range(MANY).map((i) => bench.from.do("serverSide", { event: "hello", args: [key, i] })));
      await bench.until("all events to be seen", async () => (await bench.seen(bench.to, key)).length >= MANY);
      assert.deepEqual((await bench.seen(bench.to, key)).map(([, , i]) => i), range(MANY));
    },
  },
  {
    title: "server-side event with answers",
    async test(bench) {
      await expectAnswer(bench, ["schön", { a: [null, 1.5] }]);
    },
  },
  {
    title: "server-side event and answers with bytes",
    async test(bench) {
      await expectAnswer(bench, [bytes(20)]);
    },
  },
  {
    title: "server-side event that is never answered",
    waits: true,
    async test(bench) {
      const key = bench.key("value");
      const began = performance.now();
      const { answers, error } = await bench.from.do("serverSideAck", { event: "mute", args: [key] });
      const took = performance.now() - began;
      assert.deepEqual(answers, []);
      assert.equal(typeof error, "string");
      assert.ok(took > TIMEOUT - SLACK && took < 3 * TIMEOUT, `after ${took} ms`);
      assert.deepEqual(await bench.seen(bench.to, key), [["mute", key]]);
    },
  },
];

/** What `speaker` tells the other servers is seen once, not by itself, and not in another namespace. */
export async function expectSeen(bench, speaker, args) {
  const [key, last] = [bench.key("value"), bench.key("value")];
  await speaker.do("serverSide", { event: "hello", args: [key, ...args] });
  // Of the same kind and size, as a fence is.
  await speaker.do("serverSide", { event: "hello", args: [last, ...args] });
  await bench.until("the last event to be seen", async () => (await bench.seen(bench.to, last)).length > 0);
  assert.deepEqual(await bench.seen(bench.to, key), [["hello", key, ...args]]);
  if (speaker === bench.from) assert.deepEqual(await bench.seen(bench.from, key), []);
  const elsewhere = await bench.beside(await bench.connect("to"));
  assert.deepEqual(await bench.seen(elsewhere, key), []);
}

async function expectAnswer(bench, args) {
  const key = bench.key("value");
  const { answers, error } = await bench.from.do("serverSideAck", { event: "ask", args: [key, ...args] });
  assert.equal(error, null);
  assert.equal(answers.length, 1);
  assert.match(answers[0].from, new RegExp(`^${bench.column.to}-\\d+$`));
  assert.deepEqual(buffered(answers[0].got), [key, ...args]);
  assert.deepEqual(await bench.seen(bench.to, key), [["ask", key, ...args]]);
  assert.deepEqual(await bench.seen(bench.from, key), []);
}
