// One HTTP request, an upgrade where its path asks for WebSocket; its connection ends with it.
import { request as send } from "node:http";
import { within } from "./within.mjs";

const UPGRADE = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
};

/** The status, the headers and the text of the answer; of an upgrade there is no text. */
export function request({ path, ...options }) {
  const answered = new Promise((resolve, reject) => {
    const headers = path.includes("websocket") ? UPGRADE : {};
    const sent = send({ host: "127.0.0.1", path, headers, agent: false, ...options }, async (response) => {
      response.setEncoding("utf8");
      let text = "";
      for await (const part of response) text += part;
      resolve({ status: response.statusCode, headers: response.headers, text });
    });
    sent.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode, headers: response.headers });
    });
    sent.on("error", reject);
    sent.end();
  });
  return within(`the answer to ${path}`, answered);
}
