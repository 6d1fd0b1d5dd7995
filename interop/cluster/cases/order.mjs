// In which order events arrive.
import assert from "node:assert/strict";
import { range } from "../../node/support/wait.mjs";

const MANY = 200;

export default [
  {
    title: "200 events in order",
    async test(bench) {
      const room = bench.key("room");
      const members = await bench.crowd({ room });
      await expectOrder(bench, members, () => ({ rooms: [room] }));
    },
  },
  {
    title: "200 events in order, to all and to a room in turn",
    async test(bench) {
      const room = bench.key("room");
      const members = await bench.crowd({ room });
      await expectOrder(bench, members, (i) => (i % 2 ? { rooms: [room] } : {}));
    },
  },
];

async function expectOrder(bench, members, select) {
  const event = bench.key("tick");
  // None waits for the answer to the one before.
  await Promise.all(range(MANY).map((i) => bench.from.do("emit", { ...select(i), event, args: [i] })));
  for (const client of members) await client.hears(event, MANY);
  for (const client of members) assert.deepEqual(client.heard(event).flat(), range(MANY), client.name);
}
