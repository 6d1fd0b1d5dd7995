import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { certificateIn } from "../certificate.mjs";
import { adapted, nodesIn, shown } from "../files.mjs";
import { Program } from "../process.mjs";

const TEMPORARY = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

export async function nginx({ at, port, nodes, file, tls, changes = [] }) {
  const log = join(at, "error.log");
  const site = join(at, "roomful.conf");
  const listen = tls ? [["listen 443", `listen 127.0.0.1:${port}`], ...certificateIn()] : [["listen 80", `listen 127.0.0.1:${port}`]];
  writeFileSync(site, adapted(file, [...listen, ...nodesIn(nodes), ...changes]));

  // Debian's nginx would write into directories of the system.
  const temporary = TEMPORARY.map((name) => `${name}_temp_path ${join(at, name)};`).join("\n    ");
  writeFileSync(join(at, "nginx.conf"), adapted(shown("nginx/nginx.conf"), [
    ["/run/nginx.pid", join(at, "nginx.pid")],
    ["/var/log/nginx/error.log", `${log} notice`],
    ["include /etc/nginx/roomful.conf;", `${temporary}\n    include ${site};`],
  ]));

  const program = new Program("nginx", ["-p", at, "-e", log, "-c", join(at, "nginx.conf"), "-g", "daemon off;"]);
  await program.listens(port);
  return { program, log: () => readFileSync(log, "utf8") };
}
