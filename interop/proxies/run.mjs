// Usage: node run.mjs [--short] [WORD...]
// Judges the server under test (SERVER, see ../node/README.md) behind real proxies with the official
// client, and prints the table of what works. --short leaves out proxies that are like others, and what
// takes long. With words, only the rows and cases whose names hold all of them: node run.mjs HAProxy idle.
// Exit code 1 when anything fails.
import { parseArgs } from "node:util";
import { within } from "../node/support/wait.mjs";
import { Bench } from "./bench.mjs";
import { cases } from "./cases.mjs";
import { startFront } from "./front.mjs";
import { Fronts } from "./fronts.mjs";
import { rows } from "./setups.mjs";
import { symptoms } from "./symptoms.mjs";
import { SIGNS, toText } from "./table.mjs";

const TEST_PATIENCE = 180_000;
const ROWS_AT_ONCE = 6;

const { values: options, positionals: words } = parseArgs({
  options: { short: { type: "boolean", default: false } },
  allowPositionals: true,
});

const nameOf = (row, one) => `${row.name} · ${one.title}`;
const isChosen = (row, one) => {
  if (options.short && (!row.setup.short || one.isLong)) return false;
  return words.every((word) => nameOf(row, one).includes(word));
};
const columns = cases.filter((one) => rows.some((row) => isChosen(row, one)));
const chosen = rows
  .map((row) => ({ row, results: columns.map((one) => ({ title: one.title, one, outcome: "missing" })) }))
  .filter(({ row }) => columns.some((one) => isChosen(row, one)));

const told = symptoms
  .filter(({ title }) => words.every((word) => title.includes(word)))
  .map((symptom) => ({ symptom, outcome: "missing" }));

const began = Date.now();
const unreachable = new Set();
const strays = [];
// What fails when its test has ended, or beside it, is a fault all the same.
process.on("unhandledRejection", (error) => strays.push(error));
const fronts = new Fronts(chosen.flatMap(({ row, results }) => results.map(({ one }) => ({ row, one }))));
// What only waits does so beside everything else.
await Promise.all([
  judgeAll((one) => one.isLong, Infinity),
  judgeAll((one) => !one.isLong, ROWS_AT_ONCE).then(judgeSymptoms),
]);
report([...(await fronts.stop()), ...strays]);

/** Rows overlap, the tests of one row follow one another. */
async function judgeAll(takes, atOnce) {
  const waiting = chosen.values();
  const work = async () => {
    for (const { row, results } of waiting) {
      for (const result of results.filter(({ one }) => takes(one))) await judge(row, result);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, chosen.length) }, work));
}

async function judge(row, result) {
  const { one } = result;
  try {
    if (!isChosen(row, one)) return;
    result.reason = one.missing?.(row);
    if (result.reason !== undefined) return;
    // Who cannot connect would only wait for everything else.
    if (unreachable.has(row)) return void (result.outcome = "failed");
    const fault = await attempt(row, one);
    result.outcome = fault === undefined ? "passed" : "failed";
    if (fault !== undefined && one.title === "connect") unreachable.add(row);
    if (fault !== undefined) console.log(`✗ ${nameOf(row, one)}\n${explained(fault)}`);
  } finally {
    await fronts.isDone(row, one);
  }
}

async function judgeSymptoms() {
  await Promise.all(told.map(async (result) => {
    const { row, start } = result.symptom;
    const fault = await attempt(row, result.symptom, (bench) => startFront(row.setup, start).then((front) => {
      bench.keep({ close: () => front.stop() });
      return front;
    }));
    result.outcome = fault === undefined ? "passed" : "failed";
    if (fault !== undefined) console.log(`✗ ${result.symptom.title}\n${explained(fault)}`);
  }));
}

/** What went wrong, if anything did. */
async function attempt(row, one, front = () => fronts.get(row, one)) {
  const bench = new Bench(row, one.title);
  try {
    bench.front = await front(bench);
    await within(TEST_PATIENCE, "the test to end", one.test(bench));
    await bench.clear();
  } catch (error) {
    await bench.clear().catch(() => {});
    return error;
  }
}

function report(faults) {
  if (chosen.length > 0) console.log(`\n${toText(chosen, columns.map(({ title }) => title))}\n`);
  for (const { symptom, outcome } of told) console.log(`${SIGNS[outcome]} ${symptom.title}`);
  for (const fault of faults) console.log(`✗ beside the tests: ${fault.stack ?? fault}`);

  const all = [...chosen.flatMap(({ results }) => results), ...told];
  const count = (outcome) => all.filter((result) => result.outcome === outcome).length;
  const failed = count("failed") + faults.length;
  const seconds = ((Date.now() - began) / 1_000).toFixed(1);
  console.log(`${count("passed")} passed, ${failed} failed in ${seconds} s`);
  process.exit(failed > 0 || count("passed") === 0 ? 1 : 0);
}

/** The message, and of the stack what belongs to the test. */
function explained(error) {
  const where = (error.stack ?? "").split("\n").filter((line) => line.includes("/cases/"));
  return [error.message, ...where.map((line) => line.trim())].join("\n").replace(/^/gm, "    ");
}
