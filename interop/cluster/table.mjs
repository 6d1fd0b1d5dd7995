// The results of a run as a table for a terminal: operations down; engines, and which kind of server does it to
// which, across.

const SIGNS = { passed: "✓", failed: "✗", missing: "n/a", skipped: "" };
const LEGEND = "✓ works   ✗ fails   n/a does not exist here   N official server   R the server under test";
const GAP = "  ";

/**
 * `outcome(column, title)` is how a case went in all namespaces; `reasons` are pairs of what does not exist, and why.
 */
export function toText(columns, titles, outcome, reasons) {
  const heads = columns.map(({ from, to }) => `${initial(from)}→${initial(to)}`);
  const width = Math.max(...titles.map((title) => title.length));
  const widths = spread(columns, heads);
  const padded = (cells) => cells.map((text, i) => text.padEnd(widths[i]));
  const line = (first, cells) => [first.padEnd(width), ...padded(cells)].join(GAP).trimEnd();
  // The name of an engine stands over its first column.
  const names = columns.map(({ engine }, i) => (columns[i - 1]?.engine === engine ? "" : engine.name));
  const rows = titles.map((title) => line(title, columns.map((column) => SIGNS[outcome(column, title)])));
  const why = reasons.map(([about, reason]) => `n/a ${about}: ${reason}`);
  return [line("", names), line("", heads), ...rows, "", LEGEND, ...why].join("\n");
}

const initial = (kind) => kind[0].toUpperCase();

/** The last column of an engine takes what its name needs. */
function spread(columns, heads) {
  return columns.map(({ engine }, i) => {
    if (columns[i + 1]?.engine === engine) return heads[i].length;
    const before = columns.slice(0, i).filter((column) => column.engine === engine).length;
    return Math.max(heads[i].length, engine.name.length - before * (heads[i].length + GAP.length));
  });
}
