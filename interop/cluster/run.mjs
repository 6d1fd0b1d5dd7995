// Usage: node run.mjs [--engine NAME...] [--pairs FROM-TO...] [WORD...]
// Puts an official server and the server under test (SERVER, see README.md) into one cluster, on every engine and in
// both directions, and prints the table of what works. With words, only the cases whose names hold all of them:
// node run.mjs --engine redis --pairs node-rust "disconnect and close". Exit code 1 when anything fails.
import { within } from "../node/support/wait.mjs";
import { parseArguments } from "./arguments.mjs";
import { Bench } from "./bench.mjs";
import { cases } from "./cases.mjs";
import { Cluster } from "./cluster.mjs";
import { closeEngines } from "./engines.mjs";
import { known, stale } from "./known.mjs";
import { toText } from "./table.mjs";

const NAMESPACES = ["/", "/named", "/dynamic-7"];
const TEST_PATIENCE = 60_000;
const COLUMNS_AT_ONCE = 4;
const LINES_OF_A_FAULT = 30;

const { columns, words } = understood(process.argv.slice(2));
const nameOf = (column, nsp, one) => `${column.name} · ${nsp} · ${one.title}`;
const chosen = cases.filter((one) => words.every((word) => one.title.includes(word)));
const results = [];
const failures = [];
const faults = stale(cases.map(({ title }) => title)).map((title) => new Error(`known.mjs names no case: ${title}`));

const began = Date.now();
// What fails when its case has ended, or beside it, is a fault all the same.
process.on("unhandledRejection", (error) => faults.push(error));
await runAll();
await closeEngines().catch((error) => faults.push(error));
report();

function understood(given) {
  try {
    return parseArguments(given);
  } catch (error) {
    console.error(`run.mjs: ${error.message}`);
    process.exit(2);
  }
}

/** Columns overlap: they mostly wait. */
async function runAll() {
  const waiting = columns.values();
  const work = async () => {
    for (const column of waiting) {
      await judgeColumn(column).catch((error) => faults.push(new Error(`${column.name}: ${error.message}`)));
    }
  };
  await Promise.all(Array.from({ length: COLUMNS_AT_ONCE }, work));
}

async function judgeColumn(column) {
  for (const one of chosen) {
    const reason = known(column, one.title);
    if (reason !== undefined) results.push({ column, one, reason, outcome: "missing" });
  }
  const there = chosen.filter((one) => known(column, one.title) === undefined);
  if (there.length === 0) return;

  const cluster = await Cluster.start(column);
  const waiting = there.filter(({ waits }) => waits);
  try {
    // Namespaces have nothing to do with one another; the cases of one of them follow each other.
    await Promise.all(NAMESPACES.map(async (nsp) => {
      for (const one of there.filter(({ isLast, waits }) => !isLast && !waits)) await judge(cluster, nsp, one);
      await Promise.all(waiting.map((one) => judge(cluster, nsp, one)));
    }));
    for (const one of there.filter(({ isLast }) => isLast)) await judge(cluster, NAMESPACES[0], one);
  } finally {
    faults.push(...(await cluster.stop()));
  }
}

async function judge(cluster, nsp, one) {
  const { column } = cluster;
  const fault = await attempt(cluster, nsp, one);
  results.push({ column, one, outcome: fault === undefined ? "passed" : "failed" });
  if (fault === undefined) return;
  const told = `✗ ${nameOf(column, nsp, one)}\n${explained(fault)}`;
  console.log(told);
  failures.push(told);
}

/** What went wrong, if anything did. */
async function attempt(cluster, nsp, one) {
  let bench;
  try {
    bench = await Bench.open(cluster, nsp);
    await within(TEST_PATIENCE, "the case to end", one.test(bench));
    await bench.clear();
  } catch (error) {
    await bench?.clear().catch(() => {});
    return error;
  }
}

function report() {
  const titles = chosen.filter((one) => results.some((result) => result.one === one)).map(({ title }) => title);
  if (titles.length > 0) console.log(`\n${toText(columns, titles, outcomeOf, reasons())}\n`);
  // Once more behind the table: of a long output its end is what is kept.
  for (const told of failures) console.log(told);
  for (const fault of faults) console.log(`✗ beside the cases: ${fault.stack ?? fault}`);

  const count = (outcome) => results.filter((result) => result.outcome === outcome).length;
  const failed = count("failed") + faults.length;
  console.log(`in ${((Date.now() - began) / 1_000).toFixed(1)} s, each case in ${NAMESPACES.length} namespaces`);
  console.log(`${count("passed")} passed, ${failed} failed`);
  process.exit(failed > 0 || count("passed") === 0 ? 1 : 0);
}

/** A case works if it does in all namespaces. */
function outcomeOf(column, title) {
  const found = results.filter((result) => result.column === column && result.one.title === title);
  const has = (outcome) => found.some((result) => result.outcome === outcome);
  return ["failed", "missing", "passed"].find(has) ?? "skipped";
}

/** Each reason why something does not exist, once, behind what it is about. */
function reasons() {
  const about = new Map();
  for (const { column, one, reason } of results.filter(({ outcome }) => outcome === "missing")) {
    if (!about.has(reason)) about.set(reason, { titles: new Set(), engines: new Set() });
    about.get(reason).titles.add(one.title);
    about.get(reason).engines.add(column.engine.name);
  }
  return [...about].map(([reason, { titles, engines }]) => {
    return [`${shortened([...titles])} (${[...engines].join(", ")})`, reason];
  });
}

function shortened([first, ...more]) {
  return more.length > 1 ? `${first}, and ${more.length} more` : [first, ...more].join(", ");
}

/** The message, and of the stack what belongs to the case. */
function explained(error) {
  const where = (error.stack ?? "").split("\n").filter((line) => line.includes("/cases/"));
  const message = error.message.split("\n").slice(0, LINES_OF_A_FAULT);
  return [...message, ...where.map((line) => line.trim())].join("\n").replace(/^/gm, "    ");
}
