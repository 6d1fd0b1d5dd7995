// Plain chat, one history per room, made of the event `chat` with {room, name, text}.

import { byId, clock, element, isNearEnd, scrollToEnd, setFieldError } from "./dom.js";

const KEY = "roomful.name";
const MAX_MESSAGES = 200;

// Storage throws where the browser blocks it; the name then lasts for this visit.
function recallName() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function rememberName(name) {
  try {
    localStorage.setItem(KEY, name);
  } catch {}
}

const guestName = () => `guest-${Math.floor(1000 + Math.random() * 9000)}`;

export class Chat {
  #emit;
  #rooms;
  #histories = new Map();
  #sending = [];
  #room = null;
  #box = byId("chat-messages");
  #name = byId("chat-name");
  #text = byId("chat-text");

  // `emit(room, event, ...args)` sends to a room.
  constructor({ emit, rooms }) {
    this.#emit = emit;
    this.#rooms = rooms;
    this.#name.value = recallName() ?? guestName();
    this.#name.addEventListener("change", () => rememberName(this.#name.value.trim()));
    byId("chat-form").addEventListener("submit", (event) => this.#onSubmit(event));
  }

  show(room) {
    this.#room = room;
    this.#box.replaceChildren(...this.#history(room).map(messageRow));
    this.#showEmpty();
    scrollToEnd(this.#box);
  }

  // A hidden box cannot scroll, so it has to catch up when it is shown.
  onShown() {
    scrollToEnd(this.#box);
    this.#rooms.clearUnread();
  }

  // Takes any payload: another program may send what it likes under this name.
  receive(payload) {
    if (typeof payload?.text !== "string") return;
    const room = typeof payload.room === "string" ? payload.room : this.#rooms.only;
    if (!this.#rooms.has(room)) return;
    const message = {
      name: typeof payload.name === "string" && payload.name !== "" ? payload.name : "anonymous",
      text: payload.text,
      time: new Date(),
      own: this.#takeSending(payload),
    };
    this.#keep(room, message);
    if (room === this.#room) this.#append(message);
    if (room !== this.#room || this.#box.offsetParent === null) this.#rooms.addUnread(room);
  }

  #history(room) {
    return this.#histories.get(room) ?? [];
  }

  #keep(room, message) {
    this.#histories.set(room, [...this.#history(room), message].slice(-MAX_MESSAGES));
  }

  #append(message) {
    const follow = isNearEnd(this.#box);
    this.#box.append(messageRow(message));
    if (this.#box.childElementCount > MAX_MESSAGES) this.#box.firstElementChild.remove();
    this.#showEmpty();
    if (follow) scrollToEnd(this.#box);
  }

  #showEmpty() {
    byId("chat-empty").hidden = this.#box.childElementCount > 0;
    byId("chat-empty").textContent = this.#room === null
      ? "Join a room to chat with everyone in it."
      : "No messages yet. Say hello.";
  }

  // The hub names no sender, so a message is ours when it is one we are still waiting for.
  #takeSending({ room, name, text }) {
    const same = (sent) => sent.room === room && sent.name === name && sent.text === text;
    const at = this.#sending.findIndex(same);
    if (at >= 0) this.#sending.splice(at, 1);
    return at >= 0;
  }

  async #onSubmit(event) {
    event.preventDefault();
    const payload = { room: this.#room, name: this.#name.value.trim() || "anonymous", text: this.#text.value.trim() };
    if (payload.text === "" || this.#room === null) return;
    this.#sending.push(payload);
    this.#text.value = "";
    const { reply } = await this.#emit(this.#room, "chat", payload);
    setFieldError(this.#text, reply.ok ? "" : `Not sent: ${reply.error.message}`);
    if (!reply.ok) this.#giveBack(payload);
  }

  #giveBack(payload) {
    this.#takeSending(payload);
    if (this.#text.value === "") this.#text.value = payload.text;
  }
}

function messageRow({ name, text, time, own }) {
  return element(
    "li",
    { className: "message", testid: "chat-message", data: { own: String(own) } },
    element(
      "div",
      { className: "message-head" },
      element("span", { className: "message-name ellipsis", testid: "chat-message-name", textContent: name }),
      own ? element("span", { className: "badge", textContent: "you" }) : null,
      element("time", { dateTime: time.toISOString(), textContent: clock(time) }),
    ),
    element("p", { className: "message-text", testid: "chat-message-text", textContent: text }),
  );
}
