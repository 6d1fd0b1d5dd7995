// What may stand between a client and a site. Usage: node outside.mjs KIND [OPTION...], see README.md.
// KIND is http-proxy, socks5 or tls.
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { createServer as createTlsServer } from "node:tls";
import { parseArgs } from "node:util";
import { makeCertificates } from "./certificates.mjs";
import { announce, endWhenTold } from "./life.mjs";
import { refuse } from "./options.mjs";
import { Tunnels, httpProxy, join, socksProxy } from "./tunnels.mjs";

const text = { type: "string" };
const yes = { type: "boolean", default: false };
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    port: { type: "string", default: "0" },
    user: text,
    password: text,
    to: text,
    "client-certificate": yes,
    "wrong-name": yes,
  },
});

const kinds = { "http-proxy": () => proxy(httpProxy), socks5: () => proxy(socksProxy), tls };
(kinds[positionals[0]] ?? (() => refuse(`KIND is one of ${Object.keys(kinds).join(", ")}`)))();

function proxy(make) {
  const tunnels = new Tunnels(values);
  const server = make(tunnels);
  obey({
    refuse: () => (tunnels.refusing = true),
    accept: () => (tunnels.refusing = false),
    cut: () => tunnels.cut(),
    count: () => {},
  }, () => tunnels.counts);
  listen(server);
  endWhenTold();
}

/** Takes TLS off in front of the site at the port `--to`. */
function tls() {
  if (!values.to) refuse("tls wants --to PORT");
  const { directory, ca, cert, key, clientCert, clientKey } = makeCertificates({ wrongName: values["wrong-name"] });
  const counts = { opened: 0, refused: 0 };
  const server = createTlsServer({
    cert: readFileSync(cert),
    key: readFileSync(key),
    ca: readFileSync(ca),
    requestCert: values["client-certificate"],
    rejectUnauthorized: values["client-certificate"],
    ALPNProtocols: ["http/1.1"],
  });
  server.on("secureConnection", (client) => {
    counts.opened++;
    client.on("error", () => client.destroy());
    const site = connect(Number(values.to), "127.0.0.1");
    site.on("error", () => client.destroy());
    join(client, site);
  });
  server.on("tlsClientError", () => counts.refused++);
  obey({ count: () => {} }, () => counts);
  listen(server, { ca, clientCert, clientKey });
  endWhenTold(directory);
}

function listen(server, more = {}) {
  server.listen(Number(values.port), "127.0.0.1", () => announce({ port: server.address().port, ...more }));
}

/** Each line of the input is a word, and is answered with a line: the counts. */
function obey(words, counts) {
  createInterface({ input: process.stdin }).on("line", (line) => {
    words[line.trim()]?.();
    announce(counts());
  });
}
