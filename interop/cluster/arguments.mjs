// What to run, from the command line: the columns of the table, and words that the titles of its rows must hold.
import { engines } from "./engines.mjs";
import { kinds } from "./servers.mjs";

const OPTIONS = ["--engine", "--pairs"];
const PAIR = /^(node|rust)-(node|rust)$/;

/** An option takes all the values behind it that it knows. */
export function parseArguments(given) {
  const values = { "--engine": engines.map(({ name }) => name), "--pairs": allPairs() };
  const found = { "--engine": [], "--pairs": [] };
  const words = [];
  let option;
  for (const word of given) {
    if (OPTIONS.includes(word)) option = word;
    else if (option !== undefined && values[option].includes(word)) found[option].push(word);
    else if (word.startsWith("--") || PAIR.test(word) || isMissingValue(option, found)) throw new Error(unknown(word));
    else words.push(word);
  }
  const pick = (name) => (found[name].length > 0 ? found[name] : values[name]);
  return { words, columns: columnsOf(pick("--engine"), pick("--pairs")) };
}

const unknown = (word) =>
  PAIR.test(word) ? `${word} needs a server under test: set SERVER` : `what is ${word}?`;

const isMissingValue = (option, found) => option !== undefined && found[option].length === 0;

/** Without a server under test there are official servers alone. */
function allPairs() {
  return kinds.flatMap((from) => kinds.map((to) => `${from}-${to}`));
}

function columnsOf(names, pairs) {
  return engines
    .filter(({ name }) => names.includes(name))
    .flatMap((engine) => pairs.map((pair) => pair.split("-")).map(([from, to]) => {
      return { engine, from, to, name: `${engine.name} ${from}→${to}` };
    }))
    .filter(({ engine, from, to }) => [from, to].every((kind) => engine.kinds.includes(kind)));
}
