import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { adapted, nodesIn, shown } from "../files.mjs";
import { Program } from "../process.mjs";

// What Debian's /etc/apache2 would load, and `a2enmod proxy proxy_http proxy_wstunnel rewrite` adds.
const MODULES = ["mpm_event", "authz_core", "proxy", "proxy_http", "proxy_wstunnel", "rewrite"];

export async function apache({ at, port, nodes, file, changes = [] }) {
  const log = join(at, "error.log");
  const [limits, site, config] = ["limits.conf", "roomful.conf", "apache2.conf"].map((name) => join(at, name));
  writeFileSync(limits, adapted(shown("apache/limits.conf"), []));
  writeFileSync(site, adapted(file, [["*:80", `127.0.0.1:${port}`], ...nodesIn(nodes), ...changes]));
  writeFileSync(config, [
    `ServerRoot ${at}`,
    `DefaultRuntimeDir ${at}`,
    `PidFile ${join(at, "apache2.pid")}`,
    `ErrorLog ${log}`,
    ...MODULES.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`),
    "User www-data",
    "Group www-data",
    "ServerName 127.0.0.1",
    `Listen 127.0.0.1:${port}`,
    `Include ${limits}`,
    `Include ${site}`,
    "",
  ].join("\n"));

  const program = new Program("apache2", ["-f", config, "-DFOREGROUND"]);
  await program.listens(port);
  return { program, log: () => readFileSync(log, "utf8") };
}
