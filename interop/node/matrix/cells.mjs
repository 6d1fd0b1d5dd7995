// A cell is one client with one parser over one transport, at a server that is set up for it.
import { clients } from "./clients.mjs";
import { startServer } from "../support/server.mjs";

const RECOVERY_WINDOW = 60_000;

/** From so many bytes on, messages are compressed where a server compresses. */
export const DEFLATE_THRESHOLD = 1_024;

const setups = [
  { parser: "default", deflate: false, env: {} },
  { parser: "msgpack", deflate: false, env: { PARSER: "msgpack" } },
  { parser: "default", deflate: true, env: { DEFLATE: String(DEFLATE_THRESHOLD) } },
];

const transports = [
  { name: "polling", list: ["polling"] },
  { name: "websocket", list: ["websocket"] },
  { name: "upgraded", list: ["polling", "websocket"] },
];

/** All cells; `name` is unique, and good as a part of the name of a room. */
export const cells = setups.flatMap((setup) =>
  clients.flatMap((client) =>
    transports.map((transport) => {
      const parser = setup.parser + (setup.deflate ? " + deflate" : "");
      return { client, setup, transport, parser, name: `${client.name} · ${parser} · ${transport.name}` };
    }),
  ),
);

/** Two servers for each setup of these cells, as { plain, recovering }: recovery adds to what events carry. */
export async function startServers(chosen) {
  const servers = new Map();
  const used = setups.filter((setup) => chosen.some((cell) => cell.setup === setup));
  await Promise.all(used.map(async (setup) => {
    const env = { ALLOW_EIO3: "1", ...setup.env };
    const starts = [startServer(env), startServer({ ...env, RECOVERY: String(RECOVERY_WINDOW) })];
    const [plain, recovering] = await Promise.all(starts);
    servers.set(setup, { plain, recovering });
  }));
  return servers;
}

/** Gives what went wrong with them: a server that ended by itself, panicked or did not end. */
export async function stopServers(servers) {
  const stops = [...servers.values()].flatMap(({ plain, recovering }) => [plain.stop(), recovering.stop()]);
  const outcomes = await Promise.allSettled(stops);
  return outcomes.filter(({ status }) => status === "rejected").map(({ reason }) => reason);
}
