// The results of a run as a table: clients, parsers and transports down, features across.

const SIGNS = { passed: "✓", failed: "✗", known: "✗", missing: "–" };
const LEGEND = "✓ works   ✗ fails   – does not exist here";

/** For a terminal: columns of equal width. */
export function toText(rows, titles) {
  const lines = grid(rows, titles);
  const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  const table = lines.map((line) => line.map((text, i) => text.padEnd(widths[i])).join("  ").trimEnd());
  return [...table, "", LEGEND, ...reasons(rows)].join("\n");
}

export function toMarkdown(rows, titles) {
  const [head, ...body] = grid(rows, titles);
  const rule = head.map((_, i) => (i < 3 ? "---" : ":-:"));
  const table = [head, rule, ...body].map((line) => `| ${line.join(" | ")} |`);
  return [...table, "", LEGEND.replaceAll("   ", " · "), "", ...reasons(rows).map((line) => `- ${line}`), ""].join("\n");
}

function grid(rows, titles) {
  const head = ["client", "parser", "transport", ...titles];
  return [head, ...rows.map(({ cell, results }) => {
    return [cell.client.name, cell.parser, cell.transport.name, ...results.map(({ outcome }) => SIGNS[outcome])];
  })];
}

/** Each reason for a sign that needs one, once. */
function reasons(rows) {
  const all = rows.flatMap(({ results }) => results);
  const explained = all.filter(({ outcome }) => outcome === "missing" || outcome === "known");
  return [...new Set(explained.map(({ title, outcome, reason }) => `${SIGNS[outcome]} ${title}: ${reason}`))];
}
