// Single requests below the official client, to see how they are answered.
import http from "node:http";
import https from "node:https";
import { text } from "node:stream/consumers";
import { certificate } from "./certificate.mjs";
import { PATIENCE, within } from "../node/support/wait.mjs";

const UPGRADE = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
};

/**
 * Sends a request to the server behind a front and gives its answer as { status, body, cookie }. No answer,
 * because the connection has ended before, is an error. The body is sent as a whole or in chunks.
 */
export function request(front, { method = "GET", query = {}, headers = {}, body = "", chunked = false }) {
  const url = new URL(front.setup.path, front.url);
  url.search = new URLSearchParams({ EIO: "4", transport: "polling", ...query });
  const length = method === "GET" ? {} : chunked ? { "transfer-encoding": "chunked" } : { "content-length": body.length };
  const { tls } = front.setup;
  const options = { method, agent: false, headers: { ...length, ...headers }, ca: tls ? certificate().ca : undefined };
  const sent = (tls ? https : http).request(url, options);
  const answer = new Promise((resolve, reject) => {
    sent.once("response", (response) => resolve(read(response)));
    sent.once("upgrade", (response, socket) => resolve({ status: response.statusCode }, socket.destroy()));
    // Whoever has the answer may fail to send the rest.
    sent.on("error", reject);
  });
  sent.end(body);
  const what = `an answer to ${method} ${url.search}`;
  return within(PATIENCE, what, answer).finally(() => sent.destroy());
}

/** The handshake of a WebSocket; 101 is its success. */
export function knockAsWebSocket(front, { query = {}, headers = {} }) {
  return request(front, { query: { transport: "websocket", ...query }, headers: { ...UPGRADE, ...headers } });
}

/** A session of its own, as a query, and the cookies by which its node is found. */
export async function openSession(front) {
  const { status, body, cookie } = await request(front, {});
  if (status !== 200) throw new Error(`no session: ${status} ${body}`);
  return { query: { sid: JSON.parse(body.slice(1)).sid }, headers: cookie ? { cookie } : {} };
}

async function read(response) {
  const cookie = response.headers["set-cookie"]?.map((line) => line.split(";")[0]).join("; ");
  // A status is an answer, even if the end of what follows it is lost.
  const body = await text(response).catch(() => "");
  return { status: response.statusCode, body, cookie };
}
