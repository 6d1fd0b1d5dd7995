// Usage: node bench/cluster/scale.mjs [COSTS.json] [--clients N] [--rate N] [--room N] [--rooms N] [--churn N]
//        [--payload N] [--shards N] [--json]
// A cluster on paper: messages and bytes each second, for each node and for the engine, at 10, 100 and 1,000 nodes.
// It follows from the rules of each wire and from what an event costs, which `cost.mjs --json` has measured; without
// such a file, the CPU of nodes is left out.
//
// The mix: so many clients (1,000,000), spread evenly; each sends an event to one room so often a second (0.01); a
// room has so many members at random nodes (50), a client is in so many rooms (2); so many clients a second leave and
// others come (1,000); an event has so many bytes of arguments (200). All are in one namespace. Nobody fetches sockets.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

const NODES = [10, 100, 1_000];
const HEARTBEAT_S = 5;
const UID = "0123456789abcdef";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    clients: { type: "string", default: "1000000" },
    rate: { type: "string", default: "0.01" },
    room: { type: "string", default: "50" },
    rooms: { type: "string", default: "2" },
    churn: { type: "string", default: "1000" },
    payload: { type: "string", default: "200" },
    shards: { type: "string", default: "10" },
    json: { type: "boolean", default: false },
  },
});
const [clients, rate, room, rooms, churn, payload, shards] =
  ["clients", "rate", "room", "rooms", "churn", "payload", "shards"].map((name) => Number(options[name]));
const costs = positionals.length > 0 ? JSON.parse(readFileSync(positionals[0], "utf8")) : {};

/** Bytes of a packet on the wire of an engine: what the engine adds is about as much for all. */
const data = { opts: { rooms: ["room 12345"], except: [], flags: {} }, packet: { type: 2, data: ["said", "x".repeat(payload)], nsp: "/" } };
const envelope = JSON.stringify({ uid: UID, nsp: "/", type: 3, data }).length;
const channel = "socket.io#/#room 12345#".length;
const heartbeat = JSON.stringify({ uid: UID, nsp: "/", type: 2 }).length;
const bytes = {
  // msgpack has no quotes: two bytes less for each of about fourteen texts.
  redis: envelope - 28 + channel,
  sharded: envelope + channel,
  streams: envelope,
  postgres: envelope + channel,
  nats: envelope + channel,
};

/** How an engine brings an event for a room to nodes, where members are at `there` of `nodes`. */
const engines = {
  redis: { reach: ({ nodes }) => nodes, shards: 1, note: "a node drops by the channel what is for no room of its own" },
  sharded: { reach: ({ there }) => there, shards, follows: true, note: "only nodes with a member are sent it" },
  streams: { reach: ({ nodes }) => nodes, shards: 1, note: "every node reads the whole stream" },
  postgres: { reach: ({ nodes }) => nodes, shards: 1, beats: true, note: "one queue for all that listen" },
  nats: { reach: ({ nodes }) => nodes, shards: 1, beats: true, note: "a subject for each namespace" },
};

function at(nodes, name) {
  const engine = engines[name];
  const events = clients * rate;
  // Of `room` members at random nodes, how many nodes have one at least.
  const there = nodes * (1 - (1 - 1 / nodes) ** room);
  const reach = engine.reach({ nodes, there });
  // A node that has said something to all within the interval says no heartbeat: that is as good a sign of life.
  const beats = engine.beats ? (nodes / HEARTBEAT_S) * Math.exp((-events / nodes) * HEARTBEAT_S) : 0;
  const heardEach = (events * reach) / nodes;
  // Who comes into a room that nobody of this node is in has its channel subscribed, and the last one unsubscribed.
  const alone = (1 - 1 / nodes) ** (room - 1);
  const follows = engine.follows ? (2 * churn * rooms * alone) / nodes : 0;
  const out = events / nodes + beats / nodes + follows;
  const into = heardEach + beats;
  const cost = costs[name]?.roomful;
  const wanted = (events * there) / nodes;
  const cpu = cost && ((events / nodes) * cost.published + (heardEach - Math.min(wanted, heardEach)) * cost.passed) / 1e6;
  const delivered = cost && ((events * room) / nodes) * cost.delivered / 1e6;
  return {
    nodes,
    engine: name,
    node: {
      messagesOut: out,
      messagesIn: into,
      bytesOut: (events / nodes) * bytes[name] + (beats / nodes) * heartbeat,
      bytesIn: heardEach * bytes[name] + beats * heartbeat,
      cpuOfWire: cpu,
      cpuOfDelivery: delivered,
    },
    shard: {
      messages: (nodes * (out + into)) / engine.shards,
      bytesOut: (nodes * (heardEach * bytes[name] + beats * heartbeat)) / engine.shards,
      heartbeatsWhenIdle: (engine.beats ? (nodes * nodes) / HEARTBEAT_S : 0) / engine.shards,
    },
  };
}

const all = Object.keys(engines).flatMap((name) => NODES.map((nodes) => at(nodes, name)));
if (options.json) console.log(JSON.stringify(all, null, 2));
else print();

function print() {
  const count = (number) => (number >= 10_000 ? `${Math.round(number / 1000).toLocaleString("en")} k` : number >= 10 ? Math.round(number).toLocaleString("en") : number.toFixed(1));
  const size = (number) => (number >= 1e6 ? `${(number / 1e6).toFixed(1)} MB` : `${(number / 1e3).toFixed(1)} kB`);
  const share = (number) => (number === undefined ? "" : `${(100 * number).toFixed(1)} %`);
  console.log(
    `${clients.toLocaleString("en")} clients, ${count(clients * rate)} events/s of ${payload} bytes to rooms of ${room}, ` +
      `${churn.toLocaleString("en")} clients/s come and go; each second`,
  );
  const head = ["engine", "nodes", "node: says", "hears", "hears", "CPU: wire", "CPU: delivery", "shard: messages", "sends", "beats if idle"];
  const widths = [9, 6, 11, 9, 10, 10, 14, 16, 11, 14];
  const line = (cells) => console.log(cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(" "));
  line(head);
  for (const { nodes, engine, node, shard } of all) {
    line([
      engine, String(nodes), count(node.messagesOut), count(node.messagesIn), size(node.bytesIn), share(node.cpuOfWire),
      share(node.cpuOfDelivery), count(shard.messages), size(shard.bytesOut), count(shard.heartbeatsWhenIdle),
    ]);
  }
  console.log("");
  for (const [name, { note, shards, beats }] of Object.entries(engines)) {
    const grows = name === "sharded" ? "grows with the nodes that have members" : "grows with events × nodes";
    console.log(`${name}: ${note}; what the engine sends ${grows}, over ${shards} shard${shards > 1 ? "s" : ""}${beats ? "; heartbeats of idle nodes grow with nodes²" : ""}`);
  }
}
