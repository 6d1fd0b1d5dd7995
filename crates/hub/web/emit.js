// The form that emits any event to a room, with JSON arguments or a file, and shows the ack.

import { byId, byteSize, milliseconds, setFieldError } from "./dom.js";
import { describe, parseArguments, shorten } from "./values.js";

export class Emit {
  #emit;
  #rooms;
  #maxFileSize;
  #form = byId("emit-form");
  #event = byId("emit-event");
  #args = byId("emit-args");
  #file = byId("emit-file");

  // `emit(room, event, ...args)` sends to a room; `maxFileSize()` is what the hub takes.
  constructor({ emit, rooms, maxFileSize }) {
    this.#emit = emit;
    this.#rooms = rooms;
    this.#maxFileSize = maxFileSize;
    this.#form.addEventListener("submit", (event) => this.#onSubmit(event));
    this.#form.addEventListener("change", () => this.#showKind());
    this.#args.addEventListener("input", () => this.#checkAgain());
    this.#args.addEventListener("keydown", (event) => this.#onKey(event));
    this.#showKind();
  }

  get #kind() {
    return new FormData(this.#form).get("kind");
  }

  #showKind() {
    byId("emit-json").hidden = this.#kind !== "json";
    byId("emit-binary").hidden = this.#kind !== "file";
  }

  // Errors come with the first attempt, and then go as soon as the text is right.
  #checkAgain() {
    if (this.#args.getAttribute("aria-invalid") !== "true") return;
    setFieldError(this.#args, parseArguments(this.#args.value).error ?? "");
  }

  #onKey(event) {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    this.#form.requestSubmit();
  }

  async #onSubmit(event) {
    event.preventDefault();
    const name = this.#event.value.trim();
    setFieldError(this.#event, name === "" ? "Type the name of an event." : "");
    const args = this.#kind === "file" ? await this.#fileArguments() : this.#jsonArguments();
    if (name === "") return this.#event.focus();
    if (args === null || this.#rooms.current === null) return;
    this.#showAck(await this.#emit(this.#rooms.current, name, ...args));
  }

  #jsonArguments() {
    const { args, error } = parseArguments(this.#args.value);
    setFieldError(this.#args, error ?? "");
    if (error) this.#args.focus();
    return error ? null : args;
  }

  // The bytes alone would arrive without a name, so a second argument describes them.
  async #fileArguments() {
    const file = this.#file.files[0];
    const error = this.#fileError(file);
    setFieldError(this.#file, error);
    if (error) return null;
    return [await file.arrayBuffer(), { name: file.name, type: file.type, size: file.size }];
  }

  #fileError(file) {
    if (!file) return "Choose a file.";
    const most = this.#maxFileSize();
    if (file.size <= most) return "";
    return `${byteSize(file.size)} is too large: the hub takes ${byteSize(most)} in one message.`;
  }

  #showAck({ reply, ms }) {
    const { compact } = describe([reply]);
    byId("ack").dataset.ok = String(reply.ok === true);
    byId("ack-state").textContent = reply.ok === true ? "ok" : "failed";
    byId("ack-ms").textContent = milliseconds(ms);
    byId("ack-body").textContent = shorten(compact);
  }
}
