// The command line that all sites in JavaScript take; README.md says what each word does.
import { parseArgs } from "node:util";

const BOTH = ["polling", "websocket"];

/** What the command line asks for; `more` are options of one server alone. */
export function read(more = {}) {
  const text = { type: "string" };
  const yes = { type: "boolean", default: false };
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: "0" },
      unix: text,
      parser: { type: "string", default: "default" },
      deflate: yes,
      recovery: yes,
      "no-websocket": yes,
      "no-polling": yes,
      "no-upgrade": yes,
      "ping-interval": text,
      "ping-timeout": text,
      "max-payload": text,
      ...more,
    },
  });
  if (!["default", "msgpack"].includes(values.parser)) refuse(`there is no parser ${values.parser}`);
  return {
    ...values,
    port: Number(values.port),
    transports: BOTH.filter((name) => !values[`no-${name}`]),
    refuse(...words) {
      for (const word of words) if (values[word]) refuse(`this server cannot do --${word}`);
    },
  };
}

/** As the official servers take them. What was not asked for has no key: the defaults are theirs to decide. */
export function engineOptions(values) {
  const number = (name) => values[name] && Number(values[name]);
  const chosen = {
    pingInterval: number("ping-interval"),
    pingTimeout: number("ping-timeout"),
    maxHttpBufferSize: number("max-payload"),
  };
  return Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== undefined));
}

export function refuse(why) {
  console.error(why);
  process.exit(2);
}
