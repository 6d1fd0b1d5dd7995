// The transports of the official client over HTTP/2, as browsers have them: all requests of a page
// share one connection, and so do its WebSockets where the other end takes them (RFC 8441).
import http2 from "node:http2";
import { text } from "node:stream/consumers";
import { certificate } from "./certificate.mjs";
import { Fetch, NodeWebSocket, WebSocket } from "./official.mjs";

export class Http2 {
  #url;
  #session;
  #settings;
  /** How many WebSockets have begun inside the connection. */
  webSockets = 0;

  constructor(url) {
    this.#url = url;
    this.#connect();
  }

  async takesWebSockets() {
    return (await this.#settings).enableConnectProtocol === true;
  }

  /** As `fetch` does it, as far as the client needs that. */
  async fetch(uri, { method, body, headers }) {
    const stream = this.#request(uri, method, headers, { endStream: !body });
    if (body) stream.end(body);
    const answer = await answered(stream);
    return { ...answer, ok: answer.status < 300, text: () => text(stream) };
  }

  async openWebSocket(uri, headers) {
    const stream = this.#request(uri, "CONNECT", headers, { endStream: false }, {
      ":protocol": "websocket",
      "sec-websocket-version": "13",
    });
    const { status } = await answered(stream);
    if (status !== 200) throw new Error(`unexpected answer: ${status}`);
    this.webSockets++;
    return stream;
  }

  close() {
    this.#session.destroy();
  }

  #connect() {
    const session = http2.connect(this.#url, { ca: certificate().ca });
    // Whoever waits for an answer hears of it.
    session.on("error", () => {});
    this.#session = session;
    this.#settings = new Promise((resolve, reject) => {
      session.once("remoteSettings", resolve);
      session.once("close", () => reject(new Error("the connection has ended")));
    });
    this.#settings.catch(() => {});
  }

  #request(uri, method, headers, options, more = {}) {
    if (this.#session.closed || this.#session.destroyed) this.#connect();
    const { pathname, search, host } = new URL(uri);
    const head = { ":method": method, ":path": pathname + search, ":authority": host, ":scheme": "https" };
    return this.#session.request({ ...head, ...more, ...headers }, options);
  }

  /** Classes for the option `transports`. */
  get polling() {
    const connection = this;
    return class extends Fetch {
      async _fetch(body) {
        const headers = new Headers(this.opts.extraHeaders);
        if (body !== undefined) headers.set("content-type", "text/plain;charset=UTF-8");
        this.socket._cookieJar?.appendCookies(headers);
        const method = body === undefined ? "GET" : "POST";
        const response = await connection.fetch(this.uri(), { method, body, headers: Object.fromEntries(headers) });
        this.socket._cookieJar?.parseCookies(response.cookies);
        return response;
      }
    };
  }

  get webSocket() {
    const connection = this;
    return class extends NodeWebSocket {
      // Begins as the client expects it, and becomes a WebSocket when the answer is there.
      createSocket(uri) {
        const headers = { ...this.opts.extraHeaders };
        const cookies = [...(this.socket._cookieJar?.cookies ?? [])].map(([name, { value }]) => `${name}=${value}`);
        if (cookies.length > 0) headers.cookie = cookies.join("; ");
        return connection.#begun(uri, headers);
      }
    };
  }

  #begun(uri, headers) {
    const socket = new WebSocket(null, undefined, {});
    // A WebSocket without an address is that of a server, which masks nothing.
    socket._isServer = false;
    const open = (stream) => {
      if (socket.readyState !== WebSocket.CONNECTING) return stream.destroy();
      socket.setSocket(stream, Buffer.alloc(0), { maxPayload: 0, allowSynchronousEvents: true });
    };
    this.openWebSocket(uri, headers).then(open, (error) => {
      socket.emit("error", error);
      socket.emit("close", 1006, Buffer.alloc(0));
    });
    return socket;
  }
}

function answered(stream) {
  return new Promise((resolve, reject) => {
    stream.once("error", reject);
    stream.once("close", () => reject(new Error("the stream has ended without an answer")));
    stream.once("response", (headers) => {
      resolve({ status: headers[":status"], cookies: headers["set-cookie"] ?? [] });
    });
  });
}
