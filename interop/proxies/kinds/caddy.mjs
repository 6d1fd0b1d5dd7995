import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { certificateIn } from "../certificate.mjs";
import { adapted, nodesIn } from "../files.mjs";
import { Program } from "../process.mjs";

// No port for administration, and none that redirects to TLS.
const OPTIONS = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n\n";

export async function caddy({ at, port, nodes, file, tls, changes = [] }) {
  const address = tls
    ? [["example.org {", `https://127.0.0.1:${port} {`], ...certificateIn()]
    : [[":80 {", `http://127.0.0.1:${port} {`]];
  const config = join(at, "Caddyfile");
  writeFileSync(config, OPTIONS + adapted(file, [...address, ...nodesIn(nodes), ...changes]));

  const home = { HOME: at, XDG_DATA_HOME: at, XDG_CONFIG_HOME: at };
  const args = ["run", "--config", config, "--adapter", "caddyfile"];
  const program = new Program("caddy", args, { env: home });
  await program.listens(port);
  return { program, log: () => program.output };
}
