// What this page has written and has no answer for. It is kept over a reload, and sent until it is answered: the
// server stores each key once.

import { Refusal } from "./api";
import { pause, Store } from "./store";
import type { Waiting } from "./types";

const WAITING_MAX = 50;
const PAUSE_MS = 1_000;

function newKey() {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return [...random].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Outbox {
  readonly list = new Store<Waiting[]>([]);
  #kept = "";
  #isSending = false;

  constructor(
    /** Resolves when it is stored. */
    private readonly send: (one: Waiting) => Promise<void>,
    private readonly isConnected: () => boolean,
  ) {}

  /** Takes up what this person left in this tab. */
  open(handle: string) {
    this.#kept = `waiting ${handle}`;
    let list: Waiting[] = [];
    try {
      list = JSON.parse(sessionStorage.getItem(this.#kept) ?? "[]");
    } catch {
      // Without storage there is nothing to take up.
    }
    this.list.set(list);
    void this.flush();
  }

  /** Nobody is here: what waits stays kept for its writer, and is not sent as anybody else. */
  close() {
    if (!this.#kept) return;
    this.#kept = "";
    this.list.set([]);
  }

  /** Forgets all that this person left in this tab, here and over a reload. */
  forget(handle: string) {
    this.#kept = `waiting ${handle}`;
    this.#keep([]);
    this.close();
  }

  /** False where too much waits already. */
  add(text: string, about: Pick<Waiting, "to" | "after">) {
    const list = this.list.get();
    if (!this.#kept || list.length >= WAITING_MAX) return false;
    this.#keep([...list, { key: newKey(), text, ...about }]);
    void this.flush();
    return true;
  }

  /** It is stored, or is not to be. */
  settle(key: string) {
    const list = this.list.get();
    if (list.some((one) => one.key === key)) this.#keep(list.filter((one) => one.key !== key));
  }

  /** Sends what waits, one after the other. */
  async flush() {
    if (this.#isSending || !this.#kept) return;
    this.#isSending = true;
    try {
      for (let one; this.isConnected() && (one = this.list.get().find(({ error }) => !error)); ) {
        await this.#try(one);
      }
    } finally {
      this.#isSending = false;
    }
  }

  async #try(one: Waiting) {
    try {
      await this.send(one);
      this.settle(one.key);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.isTemporary || error.isOver) return pause(PAUSE_MS);
      this.#keep(this.list.get().map((each) => (each.key === one.key ? { ...each, error: error.message } : each)));
    }
  }

  #keep(list: Waiting[]) {
    try {
      if (list.length) sessionStorage.setItem(this.#kept, JSON.stringify(list));
      else sessionStorage.removeItem(this.#kept);
    } catch {
      // Without storage it is kept for as long as the page is.
    }
    this.list.set(list);
  }
}
