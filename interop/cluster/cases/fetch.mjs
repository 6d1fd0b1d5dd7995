// The sockets of all servers, and what is known of them.
import assert from "node:assert/strict";
import { ids } from "../bench.mjs";
import { BESIDE } from "../client.mjs";

export default [
  {
    title: "fetch all",
    async test(bench) {
      const crowd = await bench.crowd();
      const found = (await bench.from.do("fetch")).filter(({ data }) => !data.name.endsWith(BESIDE));
      assert.deepEqual(ids(found), ids([...crowd, ...bench.keepers]));
    },
  },
  {
    title: "fetch a room: rooms, data and handshake",
    async test(bench) {
      const room = bench.key("room");
      const crowd = await Promise.all(["from", "from", "to", "to"].map(async (where, i) => {
        const tag = `schön ${i} & more`;
        return Object.assign(await bench.connect(where, { room, tag }), { tag });
      }));
      await bench.crowd();
      const found = await bench.from.do("fetch", { rooms: [room] });
      const expected = crowd.map(({ id, name, tag }) => {
        return { id, rooms: [id, room].sort(), data: { name }, query: tag, secure: false };
      });
      assert.deepEqual(found, expected.toSorted((a, b) => (a.id < b.id ? -1 : 1)));
    },
  },
  {
    title: "fetch two rooms except a third",
    async test(bench) {
      const [one, other, third] = [bench.key("room"), bench.key("room"), bench.key("room")];
      const first = await bench.crowd({ room: one });
      const second = await bench.crowd({ room: other });
      const out = [first[1], second[0]];
      await bench.from.do("join", { rooms: ids(out), into: [one, other, third] });
      await bench.members(third, out);
      const found = await bench.from.do("fetch", { rooms: [one, other], except: [third] });
      assert.deepEqual(ids(found), ids([...first, ...second].filter((client) => !out.includes(client))));
    },
  },
  {
    title: "fetch an empty room",
    async test(bench) {
      assert.deepEqual(await bench.from.do("fetch", { rooms: [bench.key("room")] }), []);
    },
  },
];
