// Usage: node run.mjs [--markdown FILE] [WORD...]
// Judges the server under test (SERVER, see ../README.md) with every generation of the official
// client, and prints the table of what works. With words, only the cells and features whose names
// hold all of them: node run.mjs 2.5 websocket. Exit code 1 when anything fails.
import { AsyncLocalStorage } from "node:async_hooks";
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { isReference } from "../support/server.mjs";
import { within } from "../support/wait.mjs";
import { Bench } from "./bench.mjs";
import { cells, startServers, stopServers } from "./cells.mjs";
import { features } from "./features.mjs";
import { knownReferenceFailures } from "./known-reference-failures.mjs";
import { toMarkdown, toText } from "./table.mjs";

const TEST_PATIENCE = 60_000;
const CELLS_AT_ONCE = 12;

const { values: options, positionals: words } = parseArgs({
  options: { markdown: { type: "string", default: process.env.MATRIX_MARKDOWN } },
  allowPositionals: true,
});

const matches = (name) => words.every((word) => name.includes(word));
const nameOf = (cell, feature) => `${cell.name} · ${feature.title}`;
const chosen = cells
  .map((cell) => ({ cell, chosen: features.filter((feature) => matches(nameOf(cell, feature))) }))
  .filter(({ chosen }) => chosen.length > 0);
const columns = features.filter((feature) => chosen.some((row) => row.chosen.includes(feature)));

// A client that is sent nonsense may throw where nobody can catch it: that ends the test it belongs to.
const testUnderWay = new AsyncLocalStorage();
process.on("uncaughtException", (error) => {
  const test = testUnderWay.getStore();
  if (test === undefined || test.passed) throw error;
  test.fail(error);
});

const began = Date.now();
assertListIsCurrent();
const servers = await startServers(chosen.map(({ cell }) => cell));
const rows = await runAll();
report(await stopServers(servers));

/** Cells overlap, the tests of one cell follow one another. */
async function runAll() {
  const rows = chosen.map(({ cell }) => ({ cell, results: [] }));
  const waiting = rows.values();
  const work = async () => {
    for (const row of waiting) {
      for (const feature of columns) row.results.push(await judge(row, feature));
    }
  };
  await Promise.all(Array.from({ length: CELLS_AT_ONCE }, work));
  return rows;
}

async function judge({ cell, results }, feature) {
  const { title } = feature;
  const missing = feature.missing?.(cell);
  if (missing !== undefined) return { title, outcome: "missing", reason: missing };

  // Who cannot connect would only wait for everything else.
  if (results.some((result) => result.title === "connect" && result.outcome === "failed")) {
    return { title, outcome: "failed" };
  }

  const name = nameOf(cell, feature);
  const known = isReference ? knownReferenceFailures.get(name) : undefined;
  const error = await attempt(cell, feature);
  if (known !== undefined && error !== undefined) return { title, outcome: "known", reason: known };
  if (known === undefined && error === undefined) return { title, outcome: "passed" };
  const fault = error ?? new Error("this passes now: take it off the list of known failures");
  console.log(`✗ ${name}\n${explained(fault)}`);
  return { title, outcome: "failed" };
}

/** What went wrong, if anything did. */
async function attempt(cell, feature) {
  const bench = new Bench(cell, servers.get(cell.setup), feature.title);
  const test = { passed: false };
  const ended = new Promise((resolve, reject) => {
    test.fail = reject;
    testUnderWay.run(test, () => feature.test(bench).then(resolve, reject));
  });
  try {
    await within(TEST_PATIENCE, "the test to end", ended);
    test.passed = true;
  } catch (error) {
    return error;
  } finally {
    bench.clear();
  }
}

function report(faults) {
  const titles = columns.map(({ title }) => title);
  console.log(`\n${toText(rows, titles)}\n`);
  if (options.markdown) writeFileSync(options.markdown, toMarkdown(rows, titles));

  for (const fault of faults) console.log(`✗ a server: ${fault.message}`);

  const all = rows.flatMap(({ results }) => results);
  const count = (outcome) => all.filter((result) => result.outcome === outcome).length;
  const rest = [`${count("missing")} do not exist`];
  if (count("known") > 0) rest.push(`${count("known")} known to fail`);
  const seconds = ((Date.now() - began) / 1_000).toFixed(1);
  console.log(`${count("passed")} passed, ${count("failed")} failed (${rest.join(", ")}) in ${seconds} s`);
  // Old clients leave timers behind.
  process.exit(count("failed") > 0 || faults.length > 0 || count("passed") === 0 ? 1 : 0);
}

function assertListIsCurrent() {
  const names = new Set(cells.flatMap((cell) => features.map((feature) => nameOf(cell, feature))));
  const stale = [...knownReferenceFailures.keys()].filter((name) => !names.has(name));
  if (stale.length > 0) throw new Error(`known failures that name no test: ${stale.join(", ")}`);
}

/** The message, and of the stack what belongs to the test. */
function explained(error) {
  const where = (error.stack ?? "").split("\n").filter((line) => line.includes("/features/"));
  return [error.message, ...where.map((line) => line.trim())].join("\n").replace(/^/gm, "    ");
}
