import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { certificate } from "../certificate.mjs";
import { adapted, nodesIn } from "../files.mjs";
import { Program } from "../process.mjs";

export async function haproxy({ at, port, nodes, file, tls, changes = [] }) {
  const bind = tls
    ? [["bind :443", `bind 127.0.0.1:${port}`], ["/etc/ssl/roomful/both.pem", certificate().both]]
    : [["bind :80", `bind 127.0.0.1:${port}`]];
  const config = join(at, "haproxy.cfg");
  writeFileSync(config, adapted(file, [...bind, ...nodesIn(nodes), ...changes]));

  const program = new Program("haproxy", ["-db", "-f", config]);
  await program.listens(port);
  return { program, log: () => program.output };
}
