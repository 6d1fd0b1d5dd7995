// Configuration files: those of docs/deploy are read as they are, and only what a machine has of
// its own is replaced in them: ports, certificates and directories.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const DOCS = new URL("../../docs/deploy/", import.meta.url);
const OURS = new URL("conf/", import.meta.url);

/** A file that docs/deploy.md shows. */
export const shown = (name) => fileURLToPath(new URL(name, DOCS));

/** One that only the tests have. */
export const ours = (name) => fileURLToPath(new URL(name, OURS));

/**
 * The text of a file in which `changes`, a list of [what, by what], have been made. Each has to be in it:
 * a file and what is replaced in it cannot drift apart.
 */
export function adapted(path, changes) {
  const text = readFileSync(path, "utf8");
  const missing = changes.find(([what]) => !text.includes(what));
  if (missing !== undefined) throw new Error(`${path} has no ${JSON.stringify(missing[0])}`);
  if (changes.length === 0) return text;
  // In one pass: what replaces may look like what is replaced, as ports do.
  const any = changes.map(([what]) => what.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
  return text.replace(new RegExp(any, "g"), (what) => new Map(changes).get(what));
}

/** Where the nodes are. */
export const nodesIn = (nodes) => nodes.map(({ port }, i) => [`127.0.0.1:${3000 + i}`, `127.0.0.1:${port}`]);
