// Proxies that hand streams through: HTTP CONNECT and SOCKS5. They count, and refuse when they are told to.
import { createServer as createHttpServer } from "node:http";
import { connect, createServer } from "node:net";
import { pipeline } from "node:stream";

// The hosts that only a proxy knows: a client that reaches one has left the name to the proxy.
const INSIDE = ".test";

export class Tunnels {
  refusing = false;
  /** Tunnels that were opened, requests for one that were refused, and those without the right name and password. */
  counts = { opened: 0, refused: 0, unauthorized: 0 };
  #user;
  #password;
  #streams = new Set();

  constructor({ user, password }) {
    this.#user = user;
    this.#password = password;
  }

  get wantsPassword() {
    return this.#user !== undefined;
  }

  isAllowed(user, password) {
    const allowed = user === this.#user && password === this.#password;
    if (!allowed) this.counts.unauthorized++;
    return allowed;
  }

  /** Whether this request for a tunnel is to be refused. */
  refuses() {
    if (this.refusing) this.counts.refused++;
    return this.refusing;
  }

  /** Opens the way from `client` to there; `say(true)` when it is open, `say(false)` when it cannot be. */
  open(client, host, port, say) {
    const inside = host.endsWith(INSIDE) ? "127.0.0.1" : host;
    this.#streams.add(client);
    client.once("close", () => this.#streams.delete(client));
    const server = connect(port, inside);
    const fail = () => say(false);
    server.once("error", fail);
    server.once("connect", () => {
      this.counts.opened++;
      server.off("error", fail);
      say(true);
      join(client, server);
    });
  }

  /** Destroys all tunnels that there are, and those that are about to be. */
  cut() {
    for (const stream of this.#streams) stream.destroy();
  }
}

/** Whatever comes from one goes to the other, and the end of one is that of both. */
export function join(one, other) {
  one.setNoDelay?.(true);
  other.setNoDelay?.(true);
  pipeline(one, other, () => other.destroy());
  pipeline(other, one, () => one.destroy());
}

export function httpProxy(tunnels) {
  const server = createHttpServer((_request, response) => response.writeHead(405).end());
  server.on("connect", (request, client, head) => {
    client.on("error", () => client.destroy());
    if (tunnels.wantsPassword && !tunnels.isAllowed(...basic(request.headers["proxy-authorization"]))) {
      return client.end(answer("407 Proxy Authentication Required", 'Proxy-Authenticate: Basic realm="site"'));
    }
    if (tunnels.refuses()) return client.end(answer("403 Forbidden"));
    const [, host, port] = request.url.match(/^\[?(.*?)\]?:(\d+)$/) ?? [];
    if (!host) return client.end(answer("400 Bad Request"));
    if (head.length > 0) client.unshift(head);
    tunnels.open(client, host, Number(port), (open) => {
      if (open) client.write(answer("200 Connection established"));
      else client.end(answer("502 Bad Gateway"));
    });
  });
  return server;
}

const answer = (status, ...headers) => [`HTTP/1.1 ${status}`, ...headers, "", ""].join("\r\n");

/** The name and the password of a header of the scheme Basic. */
function basic(header = "") {
  const [scheme, text = ""] = header.split(" ");
  if (scheme.toLowerCase() !== "basic") return [];
  const [user, ...password] = Buffer.from(text, "base64").toString().split(":");
  return [user, password.join(":")];
}

const SOCKS = { ok: 0, notAllowed: 2, unreachable: 4, noCommand: 7, noAddress: 8 };

export function socksProxy(tunnels) {
  return createServer((client) => {
    client.on("error", () => client.destroy());
    negotiate(client, tunnels).catch(() => client.destroy());
  });
}

/** RFC 1928, and RFC 1929 for the password. */
async function negotiate(client, tunnels) {
  const take = reader(client);
  const [version, methodCount] = await take(2);
  if (version !== 5) throw new Error("not SOCKS5");
  const methods = await take(methodCount);
  const method = tunnels.wantsPassword ? 2 : 0;
  if (!methods.includes(method)) return client.end(Buffer.from([5, 0xff]));
  client.write(Buffer.from([5, method]));
  if (tunnels.wantsPassword) {
    const text = async () => (await take((await take(1))[0])).toString();
    await take(1);
    const allowed = tunnels.isAllowed(await text(), await text());
    client.write(Buffer.from([1, allowed ? 0 : 1]));
    if (!allowed) return client.end();
  }
  const [, command, , kind] = await take(4);
  const answer = (code) => Buffer.from([5, code, 0, 1, 0, 0, 0, 0, 0, 0]);
  const refuse = (code) => client.end(answer(code));
  const host = await address(take, kind);
  const port = (await take(2)).readUInt16BE();
  if (command !== 1) return refuse(SOCKS.noCommand);
  if (host === undefined) return refuse(SOCKS.noAddress);
  if (tunnels.refuses()) return refuse(SOCKS.notAllowed);
  tunnels.open(client, host, port, (open) => {
    if (open) client.write(answer(SOCKS.ok));
    else refuse(SOCKS.unreachable);
  });
}

async function address(take, kind) {
  if (kind === 1) return [...(await take(4))].join(".");
  if (kind === 3) return (await take((await take(1))[0])).toString();
  if (kind === 4) return (await take(16)).toString("hex").match(/..../g).join(":");
}

/** Gives so many bytes of a stream, and leaves the rest in it. */
function reader(stream) {
  return async (length) => {
    for (;;) {
      if (length === 0) return Buffer.alloc(0);
      const bytes = stream.read(length);
      if (bytes?.length === length) return bytes;
      if (bytes !== null || stream.readableEnded || stream.destroyed) throw new Error("the stream has ended");
      await new Promise((resolve) => {
        stream.once("readable", resolve).once("close", resolve).once("end", resolve);
      });
    }
  };
}
