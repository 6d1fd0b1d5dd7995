// The client's half of the proxies: an agent for HTTP requests that go through one.
import { once as events } from "node:events";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { within } from "./within.mjs";

const OPEN = { "http-proxy": throughHttp, socks5: throughSocks };

/** An agent that reaches `host` (the host of the request, if none is said) through the proxy of that kind. */
export function agentThrough(kind, proxy, { host, user, password } = {}) {
  const agent = new Agent();
  agent.createConnection = (options, done) => {
    const target = { host: host ?? options.host, port: Number(options.port), user, password };
    within("a tunnel", OPEN[kind](proxy.port, target)).then((stream) => done(null, stream), done);
  };
  return agent;
}

function throughHttp(port, { host, port: to, user, password }) {
  return new Promise((resolve, reject) => {
    const login = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
    const headers = user === undefined ? {} : { "proxy-authorization": login };
    const asked = request({ host: "127.0.0.1", port, method: "CONNECT", path: `${host}:${to}`, headers, agent: false });
    asked.on("connect", (response, stream) => {
      if (response.statusCode === 200) return resolve(stream);
      stream.destroy();
      reject(new Error(`refused with ${response.statusCode}`));
    });
    asked.on("error", reject).end();
  });
}

async function throughSocks(port, { host, port: to, user, password }) {
  const stream = connect(port, "127.0.0.1");
  const answer = () => events(stream, "data").then(([bytes]) => bytes);
  const say = (...parts) => {
    const bytes = parts.map((part) => Buffer.from(typeof part === "number" ? [part] : part));
    stream.write(Buffer.concat(bytes));
    return answer();
  };
  const refuse = (why) => {
    stream.destroy();
    throw new Error(`refused with ${why}`);
  };
  const method = user === undefined ? 0 : 2;
  const [, chosen] = await say(5, 1, method);
  if (chosen !== method) refuse(`method ${chosen}`);
  if (method === 2) {
    const [, status] = await say(1, user.length, user, password.length, password);
    if (status !== 0) refuse(`login ${status}`);
  }
  const [, code] = await say(5, 1, 0, 3, host.length, host, to >> 8, to & 255);
  if (code !== 0) refuse(`code ${code}`);
  return stream;
}
