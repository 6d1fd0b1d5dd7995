import assert from "node:assert/strict";
import { ask } from "../bench.mjs";
import { oneNode } from "../missing.mjs";

const CLIENTS = 10;
const CLIENTS_MAX = 60;

/** What a client asks is answered by its node, and clients come to both nodes where a cookie says which. */
export default {
  title: "two nodes",
  missing: oneNode,
  async test(bench) {
    const inside = await Promise.all(bench.front.nodes.map((node) => bench.direct(node)));
    const counts = async () => Promise.all(inside.map(async (one) => (await ask(one, "members", bench.room)).length));
    const join = async () => {
      const socket = await bench.connect();
      await ask(socket, "join", bench.room);
      return socket;
    };

    const sockets = await Promise.all(Array.from({ length: CLIENTS }, join));
    const spread = bench.setup.cookies ? (n) => n.every((members) => members > 0) : () => true;
    // Where the node of a client is drawn by lot, many may draw the same.
    while (!spread(await counts()) && sockets.length < CLIENTS_MAX) sockets.push(await join());
    const found = await counts();
    assert.ok(spread(found), `clients per node: ${found}`);
    // Nodes that are one tell of the members of all of them.
    const tellers = bench.setup.joined ? found.length : 1;
    assert.equal(found.reduce((sum, n) => sum + n), sockets.length * tellers);

    for (let i = 1; i <= 5; i++) {
      const answers = await Promise.all(sockets.map((socket) => ask(socket, "count", "events")));
      assert.deepEqual(answers, sockets.map(() => i));
    }
  },
};
