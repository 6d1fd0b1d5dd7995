// What docs/deploy.md says of setups that are wrong: what a client sees then. Each is a documented file
// in which one thing is as many people have it.
import assert from "node:assert/strict";
import { PATIENCE, within } from "../node/support/wait.mjs";
import { ask, happened, losses } from "./bench.mjs";
import { ours } from "./files.mjs";
import { openSession, request } from "./request.mjs";
import { modes, setups } from "./setups.mjs";

const [polling, webSocket] = modes;
const DEFAULT_HEARTBEAT = {};
/** How long a proxy waits that waits too little: less than a heartbeat, and longer than a busy machine stalls. */
const TOO_LITTLE = "4s";

/** As { title, row, start, test }: `start` are the options of the front. */
export const symptoms = [
  symptom("nginx waits for less than a heartbeat: polling ends with 504", "nginx", polling, {
    changes: [["proxy_read_timeout 60s", `proxy_read_timeout ${TOO_LITTLE}`]],
    env: DEFAULT_HEARTBEAT,
    test: async (bench) => assert.match(await lost(await bench.connect()), /^transport error.* 504$/),
  }),
  symptom("nginx waits for less than a heartbeat: a WebSocket ends", "nginx", webSocket, {
    changes: [["proxy_read_timeout 60s", `proxy_read_timeout ${TOO_LITTLE}`]],
    env: DEFAULT_HEARTBEAT,
    test: async (bench) => assert.match(await lost(await bench.connect()), /^transport close/),
  }),
  symptom("the tunnel of HAProxy ends before a heartbeat: a WebSocket ends", "HAProxy, inserted cookie", webSocket, {
    changes: [["timeout tunnel 1h", `timeout tunnel ${TOO_LITTLE}`]],
    env: DEFAULT_HEARTBEAT,
    test: async (bench) => assert.match(await lost(await bench.connect()), /^transport close/),
  }),
  symptom("HAProxy waits for less than a heartbeat: polling ends with 504", "HAProxy, inserted cookie", polling, {
    changes: [["timeout server 60s", `timeout server ${TOO_LITTLE}`]],
    env: DEFAULT_HEARTBEAT,
    test: async (bench) => assert.match(await lost(await bench.connect()), /^transport error.* 504$/),
  }),
  symptom("requests go to any of two nodes: 400, Session ID unknown", "nginx, ip_hash", polling, {
    file: ours("round-robin.conf"),
    test: isUnknownElsewhere,
  }),
  symptom("the client keeps no cookies: 400, Session ID unknown", "HAProxy, inserted cookie", polling, {
    test: (bench) => isUnknownElsewhere(bench, { withoutCookies: true }),
  }),
  symptom("nginx takes only small bodies: 413, and the session ends", "nginx", polling, {
    changes: [["client_max_body_size 8m", "client_max_body_size 1k"]],
    test: async (bench) => {
      const socket = await bench.connect();
      socket.emit("echo", "x".repeat(20_000));
      assert.match(await lost(socket), /^transport error.* 413$/);
    },
  }),
  symptom("the server is not there: 502", "nginx", polling, {
    test: async (bench) => {
      const [node] = bench.front.nodes;
      await node.stop();
      bench.front.nodes = [];
      assert.equal((await request(bench.front, {})).status, 502);
    },
  }),
];

function symptom(title, name, mode, { file, changes, env, test }) {
  const setup = { ...setups.find((one) => one.name === name) };
  if (file !== undefined) setup.file = file;
  return { title, row: { setup, mode, name: title }, start: { changes, env }, test };
}

/** Why the client lost its connection. */
async function lost(socket) {
  if (socket.connected) await within(PATIENCE, "the client to lose its connection", happened(socket, "disconnect"));
  return losses(socket)[0];
}

/** Of many requests of a session some come to where it is not known. */
async function isUnknownElsewhere({ front }, { withoutCookies = false } = {}) {
  const { query, headers } = await openSession(front);
  const options = { query, headers: withoutCookies ? {} : headers };
  let body = "40";
  for (let i = 0; i < 20; i++) {
    const answer = await request(front, { method: "POST", body, ...options });
    if (answer.status === 400) {
      assert.deepEqual(JSON.parse(answer.body), { code: 1, message: "Session ID unknown" });
      return;
    }
    body = '42["count","events"]';
  }
  assert.fail("all requests came to one node");
}
