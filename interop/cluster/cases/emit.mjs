// To whom events go.
import assert from "node:assert/strict";

const MAX_TRIES = 50;

export default [
  {
    title: "emit to all",
    async test(bench) {
      const crowd = await bench.crowd();
      await bench.expectHearing({}, crowd);
    },
  },
  {
    title: "emit to a room",
    async test(bench) {
      const room = bench.key("room");
      const members = await bench.crowd({ room });
      await bench.crowd({ room: bench.key("room") });
      await bench.expectHearing({ rooms: [room] }, members);
    },
  },
  {
    title: "emit to a room that is only elsewhere",
    async test(bench) {
      const room = bench.key("room");
      const far = await bench.connect("to", { room });
      await bench.crowd();
      await bench.expectHearing({ rooms: [room] }, [far]);
    },
  },
  {
    title: "emit to two rooms, once to who is in both",
    async test(bench) {
      const [one, other] = [bench.key("room"), bench.key("room")];
      const first = await bench.crowd({ room: one });
      const second = await bench.crowd({ room: other });
      await bench.crowd();
      await bench.from.do("join", { rooms: first.map(({ id }) => id), into: [other] });
      await bench.members(other, [...first, ...second]);
      await bench.expectHearing({ rooms: [one, other] }, [...first, ...second]);
    },
  },
  {
    title: "emit to all except a room",
    async test(bench) {
      const room = bench.key("room");
      await bench.crowd({ room });
      const others = await bench.crowd();
      await bench.expectHearing({ except: [room] }, others);
    },
  },
  {
    title: "emit to a room except some of it",
    async test(bench) {
      const room = bench.key("room");
      const [near, far, polling] = await bench.crowd({ room });
      await bench.crowd();
      await bench.expectHearing({ rooms: [room], except: [far.id] }, [near, polling]);
      await bench.expectHearing({ rooms: [room], except: [near.id, polling.id] }, [far]);
    },
  },
  {
    title: "emit to one socket by its id",
    async test(bench) {
      const crowd = await bench.crowd();
      for (const client of crowd) await bench.expectHearing({ rooms: [client.id] }, [client]);
    },
  },
  {
    title: "local: others hear nothing",
    async test(bench) {
      const room = bench.key("room");
      const [near] = await bench.crowd({ room });
      const outside = await bench.connect("from");
      await bench.expectHearing({ rooms: [room], flags: { local: true } }, [near]);
      await bench.expectHearing({ flags: { local: true } }, [near, outside]);
    },
  },
  {
    title: "volatile",
    async test(bench) {
      const room = bench.key("room");
      const members = [await bench.connect("from", { room }), await bench.connect("to", { room })];
      const [outside] = await bench.crowd();
      const event = bench.key("event");
      // One that comes while a connection is busy may be dropped.
      for (let i = 0; i < MAX_TRIES && members.some((client) => client.heard(event).length === 0); i++) {
        await bench.from.do("emit", { rooms: [room], flags: { volatile: true }, event, args: ["news"] });
        await bench.fence(bench.from);
      }
      for (const client of members) assert.deepEqual(client.heard(event)[0], ["news"]);
      assert.deepEqual(outside.heard(event), []);
    },
  },
  {
    title: "without compression",
    async test(bench) {
      const crowd = await bench.crowd();
      await bench.expectHearing({ flags: { compress: false } }, crowd, { args: ["long ".repeat(1_000)] });
    },
  },
  {
    title: "another namespace hears nothing",
    async test(bench) {
      const [, far] = await bench.crowd();
      const beside = await bench.beside(far);
      const [event, fence] = [bench.key("event"), bench.key("fence")];
      await bench.from.do("emit", { event, args: [] });
      // From the same server, and later.
      const near = await bench.connect("from");
      await (await bench.beside(near)).do("emit", { event: fence, args: [] });
      await beside.hears(fence);
      await far.hears(event);
      assert.deepEqual(beside.heard(event), []);
    },
  },
];
