// The servers that are checked: how each is started, the client that fits it, and what it cannot do.
const NODE = ["node", "servers/site.mjs", "--version"];
const BUN = ["node_modules/.bin/bun", "servers/bun.mjs"];
const PYTHON = ["../../target/python-venv/bin/python", "-B", "servers/site.py"];
const OURS = [process.env.SITE ?? "../../target/debug/site"];

const node48 = { title: "Node 4.8", command: [...NODE, "4.8"], client: "4.8", msgpack: "msgpack-3", cannot: [] };
const node45 = { ...node48, title: "Node 4.5", command: [...NODE, "4.5"], client: "4.5", cannot: ["recovery"] };
const node31 = { ...node45, title: "Node 3.1", command: [...NODE, "3.1"], client: "3.1" };
const node25 = {
  ...node31,
  title: "Node 2.5",
  command: [...NODE, "2.5"],
  client: "2.5",
  msgpack: "msgpack-2",
  cannot: ["auth", "recovery"],
};
const bun = { ...node48, title: "Bun", command: BUN, cannot: ["cut-polling", "no-upgrade", "transports"] };
const python = { ...node48, title: "Python", command: PYTHON, cannot: ["message", "msgpack", "recovery", "volatile"] };
const ours = { ...node48, title: "ours", command: OURS, cannot: ["cut-needs-key", "no-upgrade"] };

export const sites = [
  site(node48, "--recovery"),
  site(node48, "--recovery", "--deflate"),
  site(node48, "--recovery", "--parser", "msgpack"),
  site(node45),
  site(node45, "--deflate"),
  site(node45, "--parser", "msgpack"),
  site(node31),
  site(node31, "--deflate"),
  site(node31, "--parser", "msgpack"),
  site(node25),
  site(node25, "--deflate"),
  site(node25, "--parser", "msgpack"),
  site(bun, "--recovery"),
  site(bun, "--parser", "msgpack", "--deflate"),
  site(python, "--deflate"),
  site(ours, "--recovery"),
  site(ours, "--recovery", "--deflate"),
  site(ours, "--recovery", "--parser", "msgpack"),
];

export { bun, node25, node31, node45, node48, ours, python };

function site(of, ...options) {
  return { ...of, name: [of.title, ...options].join(" "), options };
}
