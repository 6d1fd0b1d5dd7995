// Certificates of an authority of our own, made in a directory for each process that wants them.
import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes".split(" ");
const NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost";
const OTHER_NAMES = "subjectAltName=DNS:other.example";

/**
 * The paths { directory, ca, cert, key, clientCert, clientKey }: what clients trust, what the server shows, and
 * what a client may show. With `wrongName` the server's is for another host.
 */
export function makeCertificates({ wrongName = false } = {}) {
  const directory = mkdtempSync(join(tmpdir(), "site-certificates-"));
  const at = (name) => join(directory, name);
  openssl("req", "-x509", ...KEY, "-days", "2", "-subj", "/CN=site authority", ...["-keyout", at("ca.key")],
    ...["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"],
    ...["-out", at("ca.pem")]);
  sign(at, "server", `${wrongName ? OTHER_NAMES : NAMES}\nextendedKeyUsage=serverAuth`);
  sign(at, "client", "subjectAltName=DNS:client.example\nextendedKeyUsage=clientAuth");
  return {
    directory,
    ca: at("ca.pem"),
    cert: at("server.pem"),
    key: at("server.key"),
    clientCert: at("client.pem"),
    clientKey: at("client.key"),
  };
}

function sign(at, name, extensions) {
  writeFileSync(at(`${name}.ext`), `basicConstraints=critical,CA:FALSE\n${extensions}\n`);
  openssl("req", ...KEY, "-subj", `/CN=site ${name}`, "-keyout", at(`${name}.key`), "-out", at(`${name}.csr`));
  openssl("x509", "-req", "-days", "2", "-in", at(`${name}.csr`), "-CA", at("ca.pem"), "-CAkey", at("ca.key"),
    ...["-CAcreateserial", "-extfile", at(`${name}.ext`), "-out", at(`${name}.pem`)]);
}

function openssl(...words) {
  execFileSync("openssl", words, { stdio: "pipe" });
}
