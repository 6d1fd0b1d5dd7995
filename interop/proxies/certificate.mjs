// A certificate for 127.0.0.1 that signs itself, made when the first proxy wants one.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { directory, find } from "./process.mjs";

let made;

/** As { ca, cert, key, both }: what clients trust, and the paths of the files. */
export function certificate() {
  made ??= make();
  return made;
}

function make() {
  const at = directory();
  const [cert, key, both] = ["cert.pem", "key.pem", "both.pem"].map((name) => join(at, name));
  execFileSync(find("openssl"), [
    ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(" "),
    ..."-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1".split(" "),
    ...["-keyout", key, "-out", cert],
  ], { stdio: "pipe" });
  const ca = readFileSync(cert, "utf8");
  writeFileSync(both, ca + readFileSync(key, "utf8"), { mode: 0o600 });
  return { ca, cert, key, both };
}

/** The places of the documented files. */
export const certificateIn = () => {
  const { cert, key } = certificate();
  return [["/etc/ssl/roomful/cert.pem", cert], ["/etc/ssl/roomful/key.pem", key]];
};
