// Usage: node chaos.mjs [--engine NAME...] [--seconds N] [--clients N] [--seed N] [--short] [--official]
//        [--faults KIND,KIND...] [--recovery] [--verbose]
// A cluster whose nodes and engines die, see README.md. With --recovery clients get their sockets back at other nodes,
// on the engines that keep a log. Exit code 1 when a rule is broken.
import { parseArgs } from "node:util";
import { CHECKS } from "./chaos/checks.mjs";
import { KINDS } from "./chaos/faults.mjs";
import { Run } from "./chaos/run.mjs";
import { engines } from "./engines.mjs";

const { values: options } = parseArgs({
  options: {
    engine: { type: "string", multiple: true },
    seconds: { type: "string" },
    clients: { type: "string" },
    seed: { type: "string" },
    short: { type: "boolean", default: false },
    faults: { type: "string", default: KINDS.join() },
    verbose: { type: "boolean", default: false },
    official: { type: "boolean", default: false },
    recovery: { type: "boolean", default: false },
  },
});
const seconds = Number(options.seconds ?? (options.short ? 12 : 60));
const clients = Number(options.clients ?? (options.short ? 30 : 300));
const seed = Number(options.seed ?? Math.floor(Math.random() * 1e9));

const faultKinds = options.faults.split(",");
for (const kind of faultKinds) if (!KINDS.includes(kind)) refuse(`there is no fault ${kind}, only ${KINDS.join(", ")}`);

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
const rows = [];
for (const engine of chosen()) {
  console.log(`${engine.name}: seed ${seed}, ${clients} clients, ${seconds} s`);
  const { official: isOfficial, verbose: isVerbose } = options;
  const recovers = options.recovery && engine.recovers === true;
  const run = new Run({ engine, clients, seconds, seed, isOfficial, isVerbose, faultKinds, recovers });
  try {
    rows.push(await run.go());
  } finally {
    await run.stop();
  }
}
report();

function chosen() {
  const isThere = ({ isOneProcess, kinds }) => !isOneProcess && (!options.official || kinds.includes("node"));
  const all = engines.filter(isThere);
  const wanted = options.engine?.flatMap((names) => names.split(",")) ?? all.map(({ name }) => name);
  const unknown = wanted.find((name) => !all.some((engine) => engine.name === name));
  if (unknown !== undefined || (!options.official && !process.env.SERVER)) {
    const why = unknown === undefined ? "set SERVER, or say --official" : `there is no engine ${unknown}`;
    refuse(why);
  }
  return all.filter(({ name }) => wanted.includes(name));
}

function refuse(why) {
  console.error(`chaos.mjs: ${why}`);
  process.exit(2);
}

function report() {
  const lines = rows.map((row) => ({
    engine: row.name,
    clients,
    ...Object.fromEntries(row.faults),
    sent: row.sent,
    arrived: row.arrived,
    lost: row.lost.all.length,
    "at own node": row.lost.local.length,
    doubled: row.doubled,
    disorder: row.disordered,
    "wrong room": row.misplaced,
    requests: row.requests,
    ghosts: row.ghosts,
    recovered: row.back.recovered,
    anew: row.back.anew,
    "back after": row.recovered,
  }));
  const table = [Object.keys(lines[0]), ...lines.map((line) => Object.values(line).map(String))];
  const widths = table[0].map((_, i) => Math.max(...table.map((cells) => cells[i].length)));
  const text = table.map((cells) => cells.map((cell, i) => cell.padEnd(widths[i])).join("  ").trimEnd());
  console.log(`\n${text.join("\n")}\n`);
  for (const row of rows) {
    const excused = row.excused.map(({ check, reason }) => `official server at ${row.name}, ${check}: ${reason}`);
    for (const why of new Set(excused)) {
      console.log(`excluded: ${why} (${excused.filter((one) => one === why).length} times)`);
    }
  }
  const failed = rows.reduce((sum, row) => sum + row.failed.length, 0);
  console.log(`${rows.length * CHECKS.length - failed} passed, ${failed} failed`);
  process.exit(failed > 0 ? 1 : 0);
}
