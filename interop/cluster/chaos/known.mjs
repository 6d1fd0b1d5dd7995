// Rules that official servers break by themselves: what is excluded, and why. An entry is about one check on these
// engines, where an official server is the cause. Each was seen in a run with `--official`, which excludes nothing.
const SHARDED = ["sharded", "sharded-static", "sharded-private"];
const ALL = ["redis", ...SHARDED, "streams", "postgres"];
const ENDS = "a command under way when the connection is lost fails, nobody catches that, and Node.js ends the process";
const WAITS = "`fetchSockets` waits for the answer of Redis to NUMSUB before its own time begins";

const OVERTAKES =
  "the official adapter looks for what a client has missed, and lets it into its rooms, at two moments that are not one";

const known = [
  { engines: ALL, check: "servers live", says: "ended by itself", reason: ENDS },
  { engines: ["streams"], check: "once", says: "", reason: OVERTAKES, isRecovered: true },
  { engines: ["streams"], check: "order", says: "", reason: OVERTAKES, isRecovered: true },
  { engines: ["redis", ...SHARDED, "streams"], check: "requests end", says: "fetch", reason: WAITS },
];

/** Why a fault does not count, if it is all an official server's doing. */
export function excuse(engine, check, { text, kinds, isRecovered = false }) {
  // Of a client that came back to an official server, whoever has sent what it heard.
  const isOfficial = isRecovered ? kinds[0] === "node" : kinds.every((kind) => kind === "node");
  if (!isOfficial) return undefined;
  const isMeant = (entry) => {
    const { engines, says, isRecovered: isAboutRecovered = false } = entry;
    const fits = isAboutRecovered === isRecovered || !isAboutRecovered;
    return fits && engines.includes(engine) && entry.check === check && text.includes(says);
  };
  return known.find(isMeant)?.reason;
}
