// Which TCP connections carry which session, to cut them: clients that poll have several.

export class Wires {
  #sessions = new Map();
  #cut = new Set();

  constructor(http) {
    http.on("connection", (socket) => {
      this.#sessions.set(socket, undefined);
      socket.once("close", () => this.#sessions.delete(socket));
    });
    http.prependListener("request", (request) => this.#note(request));
  }

  /** Destroys what is below an Engine.IO session, and whatever else comes for it. */
  cut(conn) {
    if (conn.transport.name === "websocket") return void conn.transport.socket._socket.destroy();
    this.#cut.add(conn.id);
    for (const [socket, id] of this.#sessions) if (id === conn.id) socket.destroy();
  }

  #note(request) {
    const id = new URL(request.url, "http://site").searchParams.get("sid");
    this.#sessions.set(request.socket, id);
    // A client whose poll was just answered has none that waits, so its session hears of the cut now.
    if (this.#cut.has(id)) setImmediate(() => request.socket.destroy());
  }
}
