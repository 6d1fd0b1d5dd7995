// Wires the panes to the connection.

import { Chat } from "./chat.js";
import { Connection } from "./connection.js";
import { byId, setFieldError } from "./dom.js";
import { Emit } from "./emit.js";
import { Log } from "./log.js";
import { Rooms } from "./rooms.js";
import { parseAuth } from "./values.js";

const CLIENT = "/socket.io/socket.io.esm.min.js";

const STATE_LABELS = {
  disconnected: "Disconnected",
  connecting: "Connecting",
  connected: "Connected",
  reconnecting: "Reconnecting",
  refused: "Refused",
};

const BUTTON_LABELS = { disconnected: "Connect", refused: "Connect", connected: "Disconnect" };

const HUB_EVENTS = new Set(["room:joined", "room:left"]);

function start(io) {
  const log = new Log();
  const connection = new Connection(io, {
    onState,
    onEvent,
    onSystem: (event, details) => log.add({ direction: "system", event, args: [details], system: true }),
  });

  // Everything about membership is the hub's own talk, and counts as system in the log.
  async function call(event, room) {
    log.add({ direction: "out", event, room, args: [room], system: true });
    const result = await connection.call(event, room);
    logAck({ event, room, system: true }, result);
    return result;
  }

  async function emit(room, event, ...args) {
    log.add({ direction: "out", event, room, args, via: "room:emit" });
    const result = await connection.call("room:emit", room, event, ...args);
    logAck({ event, room }, result);
    return result;
  }

  function logAck(about, { reply, ms }) {
    log.add({ ...about, direction: "ack", args: [reply], ms, failed: reply?.ok !== true });
  }

  const rooms = new Rooms({
    call,
    onSelect: (room) => {
      chat.show(room);
      allowSending();
    },
  });
  const chat = new Chat({ emit, rooms });
  new Emit({ emit, rooms, maxFileSize: () => connection.maxFileSize });
  chat.show(null);

  function onEvent(event, args) {
    const system = HUB_EVENTS.has(event);
    log.add({ direction: "in", event, args, room: system ? args[0].room : roomOf(args), system });
    if (event === "room:joined") rooms.onJoined(args[0].room, args[0].id);
    if (event === "room:left") rooms.onLeft(args[0].room, args[0].id);
    if (event === "chat") chat.receive(args[0]);
  }

  // The hub passes events on as they were sent, so the room is known only if the sender said it.
  function roomOf([first]) {
    const room = first?.room;
    return typeof room === "string" && rooms.has(room) ? room : undefined;
  }

  let lastId = "";

  function onState(state) {
    showState(state);
    if (state.id !== lastId) {
      lastId = state.id;
      if (state.id) rooms.goOnline(state.id);
      else rooms.goOffline();
    }
    allowSending();
  }

  function allowSending() {
    byId("join-button").disabled = !connection.connected;
    const canEmit = connection.connected && rooms.current !== null;
    byId("chat-send").disabled = !canEmit;
    byId("emit-send").disabled = !canEmit;
  }

  function toggleConnection() {
    if (!connection.idle) return connection.close();
    const settings = readSettings();
    if (settings) connection.open(settings);
  }

  byId("connect-form").addEventListener("submit", (event) => {
    event.preventDefault();
    toggleConnection();
  });
  watchViews({ chat, log });
  showState(connection.state);
  allowSending();
}

function readSettings() {
  const { auth, error } = parseAuth(byId("auth").value);
  setFieldError(byId("auth"), error ?? "");
  if (error) {
    byId("advanced").open = true;
    byId("auth").focus();
    return null;
  }
  const name = byId("namespace").value.trim();
  const namespace = name.startsWith("/") ? name : `/${name}`;
  return { transport: byId("transport").value, namespace, auth };
}

function showState({ name, message, id, transport }) {
  byId("status").dataset.state = name;
  byId("status-state").textContent = STATE_LABELS[name];
  byId("status-transport").textContent = transport;
  byId("connection-message").textContent = message;
  byId("socket-id").textContent = id || "–";
  byId("transport-live").textContent = transport || "–";
  byId("connection-settings").disabled = name !== "disconnected" && name !== "refused";
  const button = byId("connect-button");
  button.textContent = BUTTON_LABELS[name] ?? "Cancel";
  button.dataset.action = button.textContent.toLowerCase();
  button.disabled = false;
}

// On a narrow screen one view shows at a time; on a wide one they all do.
function watchViews(panes) {
  const buttons = [...document.querySelectorAll("[data-view-button]")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      document.body.dataset.view = button.dataset.viewButton;
      for (const other of buttons) other.setAttribute("aria-current", String(other === button));
      panes[button.dataset.viewButton]?.onShown();
    });
  }
}

// A hub built without the client says so in plain text at the path of the client.
async function explainMissingClient() {
  byId("client-missing").hidden = false;
  try {
    const response = await fetch(CLIENT);
    byId("client-missing-reason").textContent = response.ok
      ? "The hub sent something that is not the client."
      : `${response.status}: ${await response.text()}`;
  } catch (error) {
    byId("client-missing-reason").textContent = `The hub does not answer: ${error.message}`;
  }
}

import(CLIENT).then(({ io }) => start(io), explainMissingClient);
