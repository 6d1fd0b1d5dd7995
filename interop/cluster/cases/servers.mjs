// The servers themselves.
import assert from "node:assert/strict";

/** As long as servers wait for each other, which is time enough on a machine that stalls. */
const TIMEOUT = 5_000;

export default [
  {
    title: "servers are counted",
    async test(bench) {
      for (const end of bench.keepers) assert.equal(await end.do("serverCount"), 2);
    },
  },
  {
    // It would be missing in the cases beside it as well.
    isLast: true,
    title: "a server that is frozen is missed, and the others' answers are there",
    async test(bench) {
      const room = bench.key("room");
      const members = await bench.crowd({ room });
      await bench.frozen();
      const [servers, clients, sockets] = await Promise.all([
        bench.from.do("serverSideAck", { event: "ask", args: [room] }),
        bench.from.do("emitAck", { rooms: [room], timeout: TIMEOUT, event: "ask", args: [] }),
        bench.from.do("fetch", { rooms: [room] }).catch((error) => error),
      ]);
      assert.deepEqual(servers.answers.map(({ got }) => got), [[room]]);
      assert.equal(typeof servers.error, "string");
      assert.deepEqual(clients.answers.map(([name]) => name), members.map(({ name }) => name).sort());
      assert.equal(typeof clients.error, "string");
      // A server may fail here, or be content with what it has.
      if (!(sockets instanceof Error)) assert.equal(sockets.length, members.length);
    },
  },
];
