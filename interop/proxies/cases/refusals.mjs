import assert from "node:assert/strict";
import { isReference } from "../../node/support/server.mjs";
import { PATIENCE, within } from "../../node/support/wait.mjs";
import { ask, happened, losses } from "../bench.mjs";
import { noRefusals } from "../missing.mjs";
import { knockAsWebSocket, openSession, request } from "../request.mjs";

const SIZES = [0, 20_000, 300_000, 1_500_000, 5_000_000];
const PAYLOAD_BYTES_MAX = 10_000;
const UNKNOWN = { sid: "AAAAAAAAAAAAAAAAAAAA" };
// The official server refuses no origin by itself.
const STRANGE = isReference ? undefined : { origin: "https://elsewhere.example" };

/** Every refusal arrives as what it is, and nobody else notices. */
export default {
  title: "refusals",
  missing: noRefusals,
  async test(bench) {
    if (bench.mode === "websocket" && !bench.setup.webSocket) return webSockets(bench.front);

    const at = await bench.start({ env: { MAX_PAYLOAD: String(PAYLOAD_BYTES_MAX) } });
    const others = await bench.connectAll(at.nodes.length, { at });
    if (bench.mode === "polling") await bodies(at);
    if (bench.mode === "upgraded") await bodiesAfterUpgrade(bench, at);
    if (bench.setup.webSocket) {
      await webSockets(at);
      await tooLargeMessage(bench, at);
    }
    for (const other of others) {
      assert.equal(await ask(other, "echo-ack", 1), 1);
      assert.deepEqual(losses(other), []);
    }
  },
};

/** All that fails is told, since what it has in common says more than its first line. */
async function bodies(front) {
  const faults = [];
  for (const size of SIZES) {
    for (const chunked of size === 0 ? [false] : [false, true]) {
      const body = Buffer.alloc(size, "4");
      const tries = [
        [400, "an unknown session", { query: UNKNOWN }],
        [400, "no session", {}],
      ];
      if (STRANGE) tries.push([403, "a strange origin", { headers: STRANGE }]);
      if (size > PAYLOAD_BYTES_MAX) tries.push([413, "a living session", await openSession(front)]);
      for (const [status, what, options] of tries) {
        const expected = size > front.setup.bodyBytesMax ? 413 : status;
        const name = `POST of ${size} bytes${chunked ? " in chunks" : ""} for ${what}`;
        const answer = await request(front, { method: "POST", body, chunked, ...options }).catch((error) => error);
        const got = answer.status ?? answer.message;
        if (answer.status === undefined && size >= front.setup.cutsFromBytes) continue;
        if (got !== expected) faults.push(`${name}: ${got} instead of ${expected}`);
      }
    }
  }
  assert.equal((await request(front, { query: UNKNOWN })).status, 400);
  if (STRANGE) assert.equal((await request(front, { headers: STRANGE })).status, 403);
  assert.deepEqual(faults, []);
}

/** A session that has become a WebSocket takes no bodies any more. */
async function bodiesAfterUpgrade(bench, front) {
  if (!bench.setup.webSocket) return;
  const socket = await bench.connect({ at: front });
  const { id } = socket.io.engine;
  const cookies = [...(socket.io.engine._cookieJar?.cookies ?? [])].map(([name, { value }]) => `${name}=${value}`);
  const headers = cookies.length > 0 ? { cookie: cookies.join("; ") } : {};
  // Its answer says that the server has seen the end of the upgrade.
  assert.equal(await ask(socket, "echo-ack", 1), 1);
  for (const size of [1, 20_000, 300_000]) {
    const body = Buffer.alloc(size, "4");
    const answer = await request(front, { method: "POST", query: { sid: id }, headers, body });
    assert.equal(answer.status, 400, `POST of ${size} bytes to a session that is a WebSocket`);
  }
  assert.equal(await ask(socket, "echo-ack", 1), 1);
}

async function webSockets(front) {
  if (STRANGE) assert.equal((await knockAsWebSocket(front, { headers: STRANGE })).status, 403);
  assert.equal((await knockAsWebSocket(front, { query: UNKNOWN })).status, 400);
}

/** A WebSocket has no status: its end is what arrives. */
async function tooLargeMessage(bench, front) {
  if (bench.transport !== "websocket") return;
  const socket = await bench.connect({ at: front });
  const lost = happened(socket, "disconnect");
  socket.emit("echo", "x".repeat(2 * PAYLOAD_BYTES_MAX));
  const [reason] = await within(PATIENCE, "the end of a connection", lost);
  assert.equal(reason, "transport close");
}
