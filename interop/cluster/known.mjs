// What does not exist in a column, and why. A case that this gives a reason for is not run.
//
// An entry is about one engine or several, about the cases whose titles begin so, and about one kind of server or
// both: `from` is the one that does things, `to` the one at which they arrive.

const BYTES = "server-side event with bytes";
const ANSWERED_BYTES = "server-side event and answers with bytes";
const FROZEN = "a server that is frozen";

const BEYOND_64_BITS = "notepack.io writes numbers without a fraction as integers, of at most 64 bits";
const BYTES_AS_JSON = "the adapter writes server-side events and their answers as JSON, in which bytes are an object";
const NO_EMITTER = "there is no official emitter";
const NO_NAMESPACE = "the emitter (0.1.1) does not say for which namespace, and the adapter (0.5.0) looks for that";
const ONE_PROCESS = "all servers are in one process";

const SHARDED = ["sharded", "sharded-static", "sharded-private"];

const entries = [
  { engines: ["redis"], titles: ["event with numbers beyond 64 bits"], from: "node", reason: BEYOND_64_BITS },
  { engines: ["redis"], titles: [BYTES, ANSWERED_BYTES], from: "node", reason: BYTES_AS_JSON },
  { engines: ["redis"], titles: [ANSWERED_BYTES], to: "node", reason: BYTES_AS_JSON },
  { engines: [...SHARDED, "nats", "nats-log", "memory"], titles: ["emitter: "], reason: NO_EMITTER },
  { engines: ["postgres"], titles: ["emitter: "], to: "node", reason: NO_NAMESPACE },
  { engines: ["memory"], titles: [FROZEN], reason: ONE_PROCESS },
];

export function known(column, title) {
  const isMeant = ({ engines, titles, from, to }) =>
    engines.includes(column.engine.name) &&
    titles.some((start) => title.startsWith(start)) &&
    [undefined, column.from].includes(from) &&
    [undefined, column.to].includes(to);
  return entries.find(isMeant)?.reason;
}

/** Entries that are about no case. */
export function stale(titles) {
  const all = entries.flatMap((entry) => entry.titles);
  return all.filter((start) => !titles.some((title) => title.startsWith(start)));
}
