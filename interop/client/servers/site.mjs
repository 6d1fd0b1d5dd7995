// The site on an official server. Usage: node site.mjs --version 4.8|4.5|3.1|2.5 [OPTION...], see README.md.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createServer as createStreamServer } from "node:net";
import { serve } from "./contract.mjs";
import { announce, endWhenTold } from "./life.mjs";
import { engineOptions, read, refuse } from "./options.mjs";
import { Wires } from "./wires.mjs";

const require = createRequire(import.meta.url);
const VERSIONS = {
  4.8: { msgpack: "msgpack-3", missing: [] },
  4.5: { msgpack: "msgpack-3", missing: ["recovery"] },
  3.1: { msgpack: "msgpack-3", missing: ["recovery"] },
  2.5: { msgpack: "msgpack-2", missing: ["auth", "recovery"] },
};

const values = read({ version: { type: "string", default: "4.8" } });
const version = VERSIONS[values.version] ?? refuse(`there is no version ${values.version}`);
values.refuse(...version.missing);

const http = createServer();
const io = require(`server-${values.version}`)(http, {
  ...engineOptions(values),
  serveClient: false,
  transports: values.transports,
  cookie: false,
  allowUpgrades: !values["no-upgrade"],
  // Without a threshold short messages are compressed as well, so that each is a test. A connection that ends
  // while a message is decompressed keeps its share of the limit for good, and when ten have, nobody is heard.
  perMessageDeflate: values.deflate && { threshold: 0, concurrencyLimit: 1_000_000 },
  ...(values.recovery ? { connectionStateRecovery: {} } : {}),
  ...(values.parser === "msgpack" ? { parser: require(version.msgpack) } : {}),
});
const wires = new Wires(http);
serve(io, { cut: (socket) => wires.cut(socket.conn), missing: version.missing });

http.listen(values.port, "127.0.0.1", () => {
  setCookie();
  const said = () => announce({ port: http.address().port, unix: values.unix ?? null });
  if (!values.unix) return said();
  createStreamServer((stream) => http.emit("connection", stream)).listen(values.unix, said);
});
endWhenTold(values.unix);

/** A cookie of a value of our own, which no version has an option for. The old ones begin anew as they listen. */
function setCookie() {
  const cookie = "site=1; Path=/";
  const opens = (request) => !new URL(request.url, "http://site").searchParams.has("sid");
  http.prependListener("request", (request, response) => {
    if (opens(request)) response.setHeader("set-cookie", cookie);
  });
  io.engine.ws?.on("headers", (headers, request) => {
    if (opens(request)) headers.push(`Set-Cookie: ${cookie}`);
  });
}
