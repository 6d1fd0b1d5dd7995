// The results of a run as a table for a terminal: proxies and transports down, cases across.

export const SIGNS = { passed: "✓", failed: "✗", missing: "–" };
const LEGEND = "✓ works   ✗ fails   – does not exist here";

export function toText(rows, titles) {
  const lines = [["proxy", "transport", ...titles], ...rows.map(({ row, results }) => {
    return [row.setup.name, row.mode.name, ...results.map(({ outcome }) => SIGNS[outcome])];
  })];
  const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  const table = lines.map((line) => line.map((text, i) => text.padEnd(widths[i])).join("  ").trimEnd());
  return [...table, "", LEGEND, ...reasons(rows)].join("\n");
}

/** Each reason for a sign that needs one, once, behind the titles that it is about. */
function reasons(rows) {
  const titles = new Map();
  for (const { title, reason } of rows.flatMap(({ results }) => results)) {
    if (reason !== undefined) titles.set(reason, (titles.get(reason) ?? new Set()).add(title));
  }
  return [...titles].map(([reason, about]) => `${SIGNS.missing} ${[...about].join(", ")}: ${reason}`);
}
