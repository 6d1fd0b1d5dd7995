// What a client meets between itself and the server: each a proxy, or several, with its files.
import { isReference } from "../node/support/server.mjs";
import { ours, shown } from "./files.mjs";
import { apache } from "./kinds/apache.mjs";
import { caddy } from "./kinds/caddy.mjs";
import { haproxy } from "./kinds/haproxy.mjs";
import { nginx } from "./kinds/nginx.mjs";

const DEFAULTS = {
  nodes: 1,
  /** How often the proxies stand one behind the other. */
  hops: 1,
  path: "/socket.io/",
  tls: false,
  /** Whether WebSockets get through, and whether they do inside HTTP/2. */
  webSocket: true,
  webSocketInHttp2: false,
  /** Whether clients have to keep cookies, so that one node has all their requests. */
  cookies: false,
  /** Whether the server sees the host that the page was asked at. */
  passesHost: true,
  /** Whether the nodes are one, with a bus of sessions, so that any node has any request. */
  joined: false,
  /** Whether each request has a connection of its own to the server. */
  closesToServer: false,
  /** Larger bodies are refused by the proxy itself, with 413. */
  bodyBytesMax: Infinity,
  /** From so many bytes on, the proxy may end a client that still sends when the answer is there. */
  cutsFromBytes: Infinity,
  canReload: false,
  env: {},
  /** Whether the short selection has it. */
  short: false,
};

const setup = (name, kind, file, traits = {}) => ({ ...DEFAULTS, name, kind, file, ...traits });

const MiB = 1 << 20;
/** Caddy reads so far past an answer that smaller bodies have been sent by then. */
const LARGEST = 5_000_000;

const all = [
  setup("nginx, bare", nginx, ours("bare.conf"), {
    webSocket: false, passesHost: false, closesToServer: true, bodyBytesMax: MiB, short: true,
  }),
  setup("nginx", nginx, shown("nginx/roomful.conf"), { canReload: true, short: true }),
  setup("nginx, closing", nginx, ours("closing.conf"), { closesToServer: true }),
  setup("nginx, unbuffered", nginx, ours("unbuffered.conf")),
  setup("nginx, sub-path", nginx, shown("nginx/sub-path.conf"), { path: "/chat/socket.io/" }),
  setup("nginx, two hops", nginx, shown("nginx/roomful.conf"), { hops: 2 }),
  setup("nginx, TLS + HTTP/2", nginx, shown("nginx/tls.conf"), { tls: true }),
  setup("nginx, ip_hash", nginx, shown("nginx/two-nodes.conf"), { nodes: 2, short: true }),
  setup("nginx, ip_hash, max_fails", nginx, ours("ip-hash.conf"), { nodes: 2, short: true }),
  setup("nginx, consistent hash", nginx, shown("nginx/consistent-hash.conf"), { nodes: 2 }),
  setup("nginx, round robin", nginx, shown("nginx/round-robin.conf"), { nodes: 2, joined: true, short: true }),
  setup("HAProxy, inserted cookie", haproxy, shown("haproxy/inserted-cookie.cfg"), { nodes: 2, cookies: true, short: true }),
  setup("HAProxy, prefixed cookie", haproxy, shown("haproxy/prefixed-cookie.cfg"), {
    nodes: 2, cookies: true, env: { COOKIE: "io" },
  }),
  setup("HAProxy, round robin", haproxy, shown("haproxy/round-robin.cfg"), { nodes: 2, joined: true, short: true }),
  setup("HAProxy, TLS + HTTP/2", haproxy, shown("haproxy/tls.cfg"), {
    nodes: 2, cookies: true, tls: true, webSocketInHttp2: true,
  }),
  setup("Caddy", caddy, shown("caddy/Caddyfile"), { cutsFromBytes: LARGEST, short: true }),
  setup("Caddy, TLS + HTTP/2", caddy, shown("caddy/tls.Caddyfile"), {
    nodes: 2, cookies: true, tls: true, cutsFromBytes: LARGEST,
  }),
  setup("Apache", apache, shown("apache/roomful.conf"), { short: true }),
  setup("Apache, rewriting", apache, shown("apache/rewrite.conf")),
];

/** Official servers have no bus of sessions here. */
export const setups = all.filter(({ joined }) => !(joined && isReference));

export const modes = [
  { name: "polling", transports: ["polling"] },
  { name: "websocket", transports: ["websocket"] },
  { name: "upgraded", transports: ["polling", "websocket"] },
];

/** The rows of the table; `name` is unique. */
export const rows = setups.flatMap((setup) => modes.map((mode) => ({ setup, mode, name: `${setup.name} · ${mode.name}` })));
