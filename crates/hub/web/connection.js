// One Socket.IO connection at a time: its state, its live transport, and calls with an ack.

const ACK_TIMEOUT_MS = 10_000;

const TRANSPORTS = {
  upgrade: ["polling", "websocket"],
  websocket: ["websocket"],
  polling: ["polling"],
};

const IDLE = { name: "disconnected", message: "", id: "", transport: "" };

export class Connection {
  #io;
  #listener;
  #socket = null;
  #maxPayload = Infinity;
  state = IDLE;

  // `listener` has onState(state), onEvent(event, args) and onSystem(what, details).
  constructor(io, listener) {
    this.#io = io;
    this.#listener = listener;
  }

  // Nothing is under way, and nothing will be without open().
  get idle() {
    return this.state.name === "disconnected" || this.state.name === "refused";
  }

  get connected() {
    return this.state.name === "connected";
  }

  // A file leaves a polling connection as base64, four bytes for three.
  get maxFileSize() {
    return this.state.transport === "polling" ? Math.floor(this.#maxPayload * 0.75) : this.#maxPayload;
  }

  open({ transport, namespace, auth }) {
    this.#socket = this.#io(namespace, {
      transports: TRANSPORTS[transport],
      auth,
      forceNew: true,
      autoConnect: false,
      reconnectionDelay: 500,
      reconnectionDelayMax: 5000,
    });
    this.#watchSocket(this.#socket);
    this.#watchManager(this.#socket.io);
    this.#set({ ...IDLE, name: "connecting" });
    this.#socket.connect();
    this.#socket.io.engine.once("handshake", ({ maxPayload }) => {
      this.#maxPayload = maxPayload ?? Infinity;
    });
  }

  close() {
    this.#socket.removeAllListeners();
    this.#socket.io.removeAllListeners();
    this.#socket.offAny();
    this.#socket.disconnect();
    this.#listener.onSystem("disconnected", { reason: "io client disconnect" });
    this.#set(IDLE);
  }

  // Resolves to the reply and the round-trip time, also when no reply came.
  async call(event, ...args) {
    const started = performance.now();
    const reply = await this.#reply(event, args);
    return { reply, ms: performance.now() - started };
  }

  async #reply(event, args) {
    if (!this.connected) return failure("disconnected", "Not connected.");
    try {
      return checked(await this.#socket.timeout(ACK_TIMEOUT_MS).emitWithAck(event, ...args));
    } catch (error) {
      return failure("no_ack", `No ack: ${error.message}.`);
    }
  }

  #set(state) {
    this.state = state;
    this.#listener.onState(state);
  }

  #watchSocket(socket) {
    socket.on("connect", () => this.#onConnect(socket));
    socket.on("disconnect", (reason) => this.#onDisconnect(socket, reason));
    socket.on("connect_error", (error) => this.#onConnectError(socket, error));
    socket.onAny((event, ...args) => this.#listener.onEvent(event, args.filter(isNotFunction)));
  }

  #watchManager(manager) {
    // Every reconnection has a new engine, which starts on its own first transport.
    manager.on("open", () => {
      manager.engine.on("upgrade", ({ name }) => this.#onUpgrade(name));
    });
    manager.on("reconnect_attempt", (attempt) => {
      this.#set({ ...IDLE, name: "reconnecting", message: `Attempt ${attempt}` });
    });
  }

  #onConnect(socket) {
    const transport = socket.io.engine.transport.name;
    this.#listener.onSystem("connected", { id: socket.id, transport });
    this.#set({ name: "connected", message: "", id: socket.id, transport });
  }

  #onUpgrade(transport) {
    this.#listener.onSystem("upgraded", { transport });
    // The upgrade may be through before the namespace has let the socket in.
    if (this.connected) this.#set({ ...this.state, transport });
  }

  #onDisconnect(socket, reason) {
    this.#listener.onSystem("disconnected", { reason });
    if (socket.active) this.#set({ ...IDLE, name: "reconnecting", message: `Lost: ${reason}` });
    else this.#set({ ...IDLE, message: `The server ended the connection (${reason}).` });
  }

  // The client tries again by itself after a transport failure, but not after a refusal.
  #onConnectError(socket, error) {
    this.#listener.onSystem("connect_error", { message: error.message, data: error.data });
    if (!socket.active) this.#set({ ...IDLE, name: "refused", message: error.message });
    else this.#set({ ...this.state, message: `No answer: ${error.message}. Trying again.` });
  }
}

const failure = (code, message) => ({ ok: false, error: { code, message } });

// Another server may ack with anything; the panes count on the shape of the hub.
function checked(reply) {
  const known = reply?.ok === true || typeof reply?.error?.message === "string";
  return known ? reply : failure("unknown_ack", `Not an ack of a hub: ${JSON.stringify(reply)}`);
}

// The last argument is a function when the server asks for an ack.
const isNotFunction = (value) => typeof value !== "function";
