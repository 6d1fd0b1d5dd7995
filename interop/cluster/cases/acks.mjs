// Events that all who hear them answer.
import assert from "node:assert/strict";
import { bytes, buffered } from "../../node/support/values.mjs";

const LONG = 15_000;
/** Time enough for the answers that come, on a machine that stalls. */
const SHORT = 5_000;
/** Timers of two processes do not begin at once. */
const SLACK = 100;

export default [
  {
    title: "ack of all",
    async test(bench) {
      const crowd = await bench.crowd();
      await expectAnswers(bench, {}, [...crowd, ...bench.keepers], ["schön", { a: [null] }]);
    },
  },
  {
    title: "ack of a room",
    async test(bench) {
      const room = bench.key("room");
      const members = await bench.crowd({ room });
      await bench.crowd();
      await expectAnswers(bench, { rooms: [room] }, members, ["schön", 1]);
      await expectAnswers(bench, { rooms: [room], except: [members[1].id] }, [members[0], members[2]], []);
    },
  },
  {
    title: "ack of a room that is only elsewhere",
    async test(bench) {
      const room = bench.key("room");
      const far = await bench.connect("to", { room });
      await expectAnswers(bench, { rooms: [room] }, [far], ["far"]);
    },
  },
  {
    title: "ack with bytes",
    async test(bench) {
      const room = bench.key("room");
      const members = await bench.crowd({ room });
      await expectAnswers(bench, { rooms: [room] }, members, [bytes(500), { more: bytes(3) }]);
    },
  },
  {
    title: "ack with 200 KB of text",
    async test(bench) {
      const room = bench.key("room");
      const members = await bench.crowd({ room });
      await expectAnswers(bench, { rooms: [room] }, members, ["long ".repeat(40_000)]);
    },
  },
  {
    title: "ack: who is silent is missing, and the others' answers are there",
    waits: true,
    async test(bench) {
      const room = bench.key("room");
      const members = await bench.crowd({ room });
      await bench.connect("to", { room, isSilent: true });
      const began = performance.now();
      const { answers, error, missing } = await ask(bench, { rooms: [room] }, SHORT, ["who?"]);
      const took = performance.now() - began;
      assert.deepEqual(answers, expected(members, ["who?"]));
      assert.equal(typeof error, "string");
      assert.ok(missing === null || missing === 1, `${missing} are missing`);
      assert.ok(took > SHORT - SLACK, `after ${took} ms`);
    },
  },
  {
    title: "ack of an empty room comes at once",
    async test(bench) {
      const began = performance.now();
      const { answers, error, missing } = await ask(bench, { rooms: [bench.key("room")] }, LONG, []);
      assert.deepEqual(answers, []);
      assert.equal(error, null);
      assert.ok(missing === null || missing === 0, `${missing} are missing`);
      assert.ok(performance.now() - began < LONG / 2);
    },
  },
];

async function expectAnswers(bench, selection, clients, args) {
  const { answers, error, missing } = await ask(bench, selection, LONG, args);
  assert.equal(error, null);
  assert.ok(missing === null || missing === 0, `${missing} are missing`);
  assert.deepEqual(answers, expected(clients, args));
}

async function ask(bench, selection, timeout, args) {
  const reply = await bench.from.do("emitAck", { ...selection, timeout, event: "ask", args });
  return { ...reply, answers: byName(buffered(reply.answers)) };
}

const expected = (clients, args) => byName(clients.map(({ name }) => [name, ...args]));
const byName = (answers) => answers.toSorted(([a], [b]) => (a < b ? -1 : 1));
