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

/** Each reason for a sign that needs one, once. */
function reasons(rows) {
  const missing = rows.flatMap(({ results }) => results).filter(({ reason }) => reason !== undefined);
  return [...new Set(missing.map(({ title, reason }) => `${SIGNS.missing} ${title}: ${reason}`))];
}
