// A satellite in JavaScript: the same as src/satellite.rs, with the official client.
// node satellite.mjs URL NAME GROUP ROOM

import { setTimeout as sleep } from "node:timers/promises";
import { Manager } from "socket.io-client";

const [url, name, group, subgroup] = process.argv.slice(2);
const COLOURS = [32, 33, 34, 35, 36, 31];
const isTerminal = process.stdout.isTTY && !process.env.NO_COLOR;

// Whoever reads the traffic may have read enough, which is no reason to end.
process.stdout.on("error", () => {});

function show(way, event, args, peer) {
  if (!isTerminal) {
    console.log(JSON.stringify({ at: Date.now(), who: name, way, event, args, peer }));
    return;
  }
  const colour = COLOURS[[...Buffer.from(name)].reduce((sum, byte) => sum + byte, 0) % COLOURS.length];
  const sign = { sends: "→", hears: "←", notes: "·" }[way];
  console.log(`\x1b[${colour}m${name.padEnd(8)}\x1b[0m ${sign} \x1b[1m${event}\x1b[0m ${JSON.stringify(args)} \x1b[2m${peer}\x1b[0m`);
}

// One connection, and a namespace for all and one for its group.
const manager = new Manager(url, { reconnectionDelay: 500, reconnectionDelayMax: 500 });
const io = manager.socket("/", { auth: { name, subgroup } });
const crew = manager.socket(`/groups/${group}`, { auth: { name, subgroup } });
for (const socket of [io, crew]) {
  // The last argument of an event that is to be answered is a function.
  socket.onAny((event, ...args) => show("hears", event, args.filter((arg) => typeof arg !== "function"), "from the hub"));
  socket.onAnyOutgoing((event, ...args) => show("sends", event, args, "to the hub"));
  socket.on("connect_error", (error) => {
    if (socket.active) return;
    console.error(`${name} was refused: ${error.message}`);
    process.exit(1);
  });
}
io.on("observe", async (sector, answer) => {
  await sleep(300);
  answer(`${(sector * 31) % 100} stars`);
});

const whom = ["all", { satellite: "vega" }, { group }, { subgroup: [group, subgroup] }];
let turn = 0;
setInterval(() => {
  if (!io.connected) return;
  io.emit("speak", { text: `${name} is well`, to: whom[turn++ % whom.length] });
  // Nobody listens, which hurts nobody.
  io.emit("static", ["noise"]);
}, 2000);
