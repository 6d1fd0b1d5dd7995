// The one socket of the page: how it connects, proves who it is, comes back and gives up.

import { io, type Socket } from "socket.io-client";
import { forget, keys, type Keys } from "./cookies";
import { pause, Store } from "./store";
import type { Author, Message, Post } from "./types";

export type State = "signed-out" | "connecting" | "connected" | "reconnected" | "offline" | "refused" | "gave-up";

export interface Status {
  state: State;
  /** Why it was refused. */
  why: string;
  /** Which try to come back this is. */
  tries: number;
  /** How many times it was connected: what may have been missed is fetched when this changes. */
  round: number;
  isSignedIn: boolean;
}

/** What a page hears. `post` is news of the subscription to the feed. */
export interface News {
  chatroom: Message;
  updatedChat: { chat: string; with: string; last: Message; unread: number };
  followed: { by: Author; follow: boolean };
  typing: { from: string };
  post: Post;
}

export const TRIES = 5;
const PAUSE_MS = 1_000;
const ACK_MS = 5_000;
/** How long it says that it is back. */
const BACK_MS = 4_000;
const FEED = "feed";
const FEED_QUERY = "subscription { feedPosts { id text at author { handle name } } }";
const OVER = "Your session is over. Log in to go on.";

function initial(): Status {
  const isSignedIn = keys() !== undefined;
  return { state: isSignedIn ? "connecting" : "signed-out", why: "", tries: 0, round: 0, isSignedIn };
}

export class Live {
  readonly status = new Store(initial());
  /** The end of the session is wanted here. */
  isLeaving = false;
  #socket: Socket = io({
    autoConnect: false,
    reconnectionAttempts: TRIES,
    reconnectionDelay: PAUSE_MS,
    reconnectionDelayMax: PAUSE_MS,
    randomizationFactor: 0,
  });
  #keys?: Keys;
  /** The server knows who this is: before that it is told nothing, and heard of nothing but that. */
  #isKnown = false;
  #listeners = new Map<keyof News, Set<(news: never) => void>>();

  constructor() {
    this.#mark();
    const socket = this.#socket;
    socket.on("connect", () => this.#introduce());
    socket.on("auth", (isRight: unknown) => this.#judged(isRight === true));
    for (const name of ["chatroom", "updatedChat", "followed", "typing"] as const) {
      socket.on(name, (news) => this.tell(name, news));
    }
    socket.on("next", ({ id, data }) => id === FEED && data?.feedPosts && this.tell("post", data.feedPosts));
    socket.on("complete", ({ id }) => id === FEED && this.#isKnown && this.#arriveAgain());
    socket.on("disconnect", (reason) => this.#lost(reason));
    socket.on("connect_error", ({ message }) => {
      if (socket.active) this.#become("offline");
      else this.#become("refused", { why: message });
    });
    socket.io.on("reconnect_attempt", (tries) => this.#become(tries > 1 ? "offline" : "connecting", { tries }));
    socket.io.on("reconnect_failed", () => this.#become("gave-up"));
    socket.io.on("open", () => this.#watchTransport());
  }

  /** Connects as whom these keys are of. */
  start(keys: Keys) {
    this.#keys = keys;
    this.isLeaving = false;
    this.#become("connecting", { isSignedIn: true, tries: 0, round: 0 });
    this.#socket.connect();
  }

  /** Begins anew, after it gave up or was refused. */
  tryAgain = () => {
    this.#become("connecting", { tries: 0 });
    this.#socket.disconnect().connect();
  };

  /** The session is over: nothing is heard any more, and the cookies are forgotten. */
  end(why = this.isLeaving ? "" : OVER) {
    this.#isKnown = false;
    this.#socket.disconnect();
    if (this.#keys) forget(this.#keys);
    this.#keys = undefined;
    this.#become(why ? "refused" : "signed-out", { why, isSignedIn: false });
  }

  /** Leaves without a word, as a page that is closed. */
  stop() {
    this.#isKnown = false;
    this.#socket.disconnect();
  }

  /** What is worth no wait: not sent while there is no connection. */
  hint = (event: string, about: object) => {
    if (this.#isKnown) this.#socket.volatile.emit(event, about);
  };

  /** The id of the session that this page shows. */
  get session() {
    return this.#keys?.id ?? "";
  }

  get isConnected() {
    return this.#isKnown && this.#socket.connected;
  }

  on = <K extends keyof News>(name: K, heard: (news: News[K]) => void) => {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(heard));
    return () => void listeners.delete(heard);
  };

  /** Tells all of this page of news, whichever way they came. */
  tell<K extends keyof News>(name: K, news: News[K]) {
    if (!this.#isKnown) return;
    for (const heard of this.#listeners.get(name) ?? []) (heard as (news: News[K]) => void)(news);
  }

  #introduce() {
    if (this.#keys) this.#socket.emit("initialConnection", this.#keys);
  }

  #judged(isRight: boolean) {
    if (!isRight) return this.end();
    this.#isKnown = true;
    void this.#arrive();
  }

  /** Subscribes to the feed first, and then what was missed can be fetched: nothing falls between. */
  async #arrive() {
    const connection = this.#socket.id;
    for (let isSubscribed = false; !isSubscribed; ) {
      const wanted = { id: FEED, query: FEED_QUERY, variables: {} };
      const answer = await this.#socket.timeout(ACK_MS).emitWithAck("subscribe", wanted).catch(() => undefined);
      if (!this.isConnected || this.#socket.id !== connection) return;
      // Any other refusal is final, and the page does without.
      isSubscribed = answer && answer.error?.code !== "rate_limited";
      if (!isSubscribed) await pause(PAUSE_MS);
    }
    const round = this.status.get().round + 1;
    this.#become(round > 1 ? "reconnected" : "connected", { round, tries: 0 });
    await pause(BACK_MS);
    if (this.status.get().round === round && this.status.get().state === "reconnected") this.#become("connected");
  }

  /** The server told of more than it could keep for this page. */
  #arriveAgain() {
    this.#become("connecting");
    void this.#arrive();
  }

  #lost(reason: string) {
    this.#isKnown = false;
    if (reason === "io client disconnect") return;
    if (this.#socket.active) this.#become("connecting");
    else this.#become("refused", { why: "the server closed the connection" });
  }

  #become(state: State, more: Partial<Status> = {}) {
    this.status.set({ ...this.status.get(), why: "", ...more, state });
    this.#mark();
  }

  #transport() {
    return this.#socket.connected ? this.#socket.io.engine.transport.name : "";
  }

  #watchTransport() {
    this.#socket.io.engine.on("upgrade", () => this.#mark());
  }

  /** How it stands, for whoever looks at the page from outside. */
  #mark() {
    Object.assign(document.documentElement.dataset, { state: this.status.get().state, transport: this.#transport() });
  }
}
