// The rooms this page is in: the list, its members, and which room the panes speak to.

import { byId, element, icon, setFieldError } from "./dom.js";

export class Rooms {
  #call;
  #onSelect;
  #rooms = new Map();
  #me = "";
  #list = byId("room-list");
  #field = byId("room-name");
  #selects = [...document.querySelectorAll("[data-room-select]")];
  current = null;

  // `call(event, ...args)` talks to the hub; `onSelect(name)` hears of every change of the room.
  constructor({ call, onSelect }) {
    this.#call = call;
    this.#onSelect = onSelect;
    byId("join-form").addEventListener("submit", (event) => this.#onSubmit(event));
    for (const select of this.#selects) {
      select.addEventListener("change", () => this.select(select.value));
    }
    this.#render();
  }

  has(name) {
    return this.#rooms.has(name);
  }

  // The room of an event that does not say: certain only while there is no other.
  get only() {
    return this.#rooms.size === 1 ? this.current : null;
  }

  // Members are unknown while offline; the rooms stay and are joined again.
  goOffline() {
    this.#me = "";
    for (const room of this.#rooms.values()) room.members = null;
    this.#render();
  }

  goOnline(id) {
    this.#me = id;
    this.#render();
    for (const name of this.#rooms.keys()) this.#join(name);
  }

  onJoined(room, id) {
    this.#rooms.get(room)?.members?.add(id);
    this.#render();
  }

  onLeft(room, id) {
    if (id === this.#me) this.#remove(room);
    else this.#rooms.get(room)?.members?.delete(id);
    this.#render();
  }

  select(name) {
    this.current = name;
    const room = this.#rooms.get(name);
    if (room) room.unread = 0;
    this.#render();
    this.#onSelect(name);
  }

  addUnread(name) {
    this.#rooms.get(name).unread += 1;
    this.#render();
  }

  clearUnread() {
    const room = this.#rooms.get(this.current);
    if (room) room.unread = 0;
    this.#render();
  }

  get hasUnread() {
    return [...this.#rooms.values()].some((room) => room.unread > 0);
  }

  async #onSubmit(event) {
    event.preventDefault();
    const name = this.#field.value.trim();
    if (name === "") return setFieldError(this.#field, "Type the name of a room.");
    setFieldError(this.#field, "");
    if (await this.#join(name)) {
      this.#field.value = "";
      this.select(name);
    }
  }

  async #join(name) {
    const { reply } = await this.#call("room:join", name);
    if (!reply.ok) {
      setFieldError(this.#field, `“${name}”: ${reply.error.message}`);
      return false;
    }
    this.#add(name).members = new Set(reply.members);
    this.#render();
    return true;
  }

  async #leave(name) {
    if (this.#me !== "") {
      const { reply } = await this.#call("room:leave", name);
      if (!reply.ok) return setFieldError(this.#field, `“${name}”: ${reply.error.message}`);
    }
    setFieldError(this.#field, "");
    this.#remove(name);
    this.#render();
    // The button that had the focus is gone with its row.
    if (document.activeElement === document.body) this.#field.focus();
  }

  // Asks again, so that an opened list is right even if an event was missed.
  async #refresh(name) {
    if (this.#me === "") return;
    const { reply } = await this.#call("room:members", name);
    const room = this.#rooms.get(name);
    if (reply.ok && room) room.members = new Set(reply.members);
    this.#render();
  }

  #add(name) {
    if (!this.#rooms.has(name)) {
      const room = { members: null, unread: 0, open: false, row: this.#makeRow(name) };
      this.#rooms.set(name, room);
      this.#list.append(room.row.item);
    }
    return this.#rooms.get(name);
  }

  #remove(name) {
    if (!this.#rooms.has(name)) return;
    this.#rooms.get(name).row.item.remove();
    this.#rooms.delete(name);
    if (this.current === name) this.select(this.#rooms.keys().next().value ?? null);
  }

  // Rows are made once and then updated, so that the focus survives every event.
  #makeRow(name) {
    const unread = element("span", { className: "badge badge-accent", testid: "room-unread" });
    const count = element("span", { testid: "member-count" });
    const members = element("ul", { className: "members", testid: "members", hidden: true });
    const select = element(
      "button",
      { type: "button", className: "room-select", testid: "room-select", title: name },
      element("span", { className: "ellipsis", textContent: name }),
      unread,
    );
    const toggle = element(
      "button",
      { type: "button", className: "room-toggle", testid: "members-toggle" },
      icon("people"),
      count,
      icon("chevron"),
    );
    const leave = element(
      "button",
      { type: "button", className: "button-icon", testid: "leave-button", title: "Leave", aria: { label: `Leave ${name}` } },
      icon("close"),
    );
    const bar = element("div", { className: "room-bar" }, select, toggle, leave);
    const item = element("li", { className: "room", testid: "room", data: { room: name } }, bar, members);
    select.addEventListener("click", () => this.select(name));
    toggle.addEventListener("click", () => this.#toggle(name));
    leave.addEventListener("click", () => this.#leave(name));
    return { item, select, toggle, count, unread, members };
  }

  #toggle(name) {
    const room = this.#rooms.get(name);
    room.open = !room.open;
    if (room.open) this.#refresh(name);
    this.#render();
  }

  #render() {
    byId("rooms-empty").hidden = this.#rooms.size > 0;
    for (const [name, room] of this.#rooms) this.#renderRow(name, room);
    for (const select of this.#selects) this.#renderSelect(select);
    document.body.classList.toggle("has-unread", this.hasUnread);
  }

  #renderRow(name, { row, members, unread, open }) {
    const size = members?.size;
    row.item.dataset.live = String(members !== null);
    row.select.setAttribute("aria-pressed", String(name === this.current));
    row.count.textContent = size ?? "–";
    row.toggle.setAttribute("aria-expanded", String(open));
    row.toggle.setAttribute("aria-label", `Members of ${name}: ${size ?? "unknown"}`);
    row.unread.textContent = unread || "";
    row.members.hidden = !open;
    if (open) row.members.replaceChildren(...[...(members ?? [])].map((id) => this.#memberRow(id)));
  }

  #memberRow(id) {
    const own = id === this.#me;
    return element(
      "li",
      { className: "member", testid: "member", data: { id, own: String(own) } },
      element("code", { className: "ellipsis", textContent: id, title: id }),
      own ? element("span", { className: "badge", textContent: "you" }) : null,
    );
  }

  // Options are replaced only when they differ, or an opened select would close at every event.
  #renderSelect(select) {
    const names = this.#rooms.size > 0 ? [...this.#rooms.keys()] : [""];
    const shown = [...select.options].map((option) => option.value);
    if (names.length !== shown.length || names.some((name, index) => name !== shown[index])) {
      select.replaceChildren(...names.map(roomOption));
    }
    select.value = this.current ?? "";
    select.disabled = this.#rooms.size === 0;
  }
}

const roomOption = (name) => element("option", { value: name, textContent: name || "No room joined" });
