// The one context of the page: who is here, the socket, and what every view needs of both.

import { createContext, useCallback, useContext, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import * as api from "./api";
import { keys } from "./cookies";
import { Live, type News, type Status } from "./live";
import { useLoader } from "./loader";
import { useMine } from "./mine";
import { Outbox } from "./outbox";
import { MESSAGE } from "./queries";
import { go } from "./router";
import { useStore } from "./store";
import type { Chat, Message, Person, Post, Waiting } from "./types";

const NOTICE_MS = 6_000;
const NOTICES_MAX = 3;

const SEND = `mutation ($to: String!, $text: String!, $key: String!) {
  sendMessage(to: $to, text: $text, key: $key) { ${MESSAGE} }
}`;
const POST = `mutation ($text: String!, $key: String!) {
  post(text: $text, key: $key) { id text at author { handle name } }
}`;

/** What is said aside, for a moment. */
export interface Notice {
  id: number;
  text: string;
  href?: string;
}

export interface Session {
  status: Status;
  me?: Person;
  /** The latest first. */
  chats?: Chat[];
  waiting: Waiting[];
  notices: Notice[];
  /** Asks the server; a session that is over ends here, too. */
  ask<T>(query: string, variables?: object): Promise<T>;
  on: Live["on"];
  hint: Live["hint"];
  tryAgain(): void;
  begin(): void;
  logOut(): Promise<void>;
  /** Writes a message to somebody, or a post after those that there are. */
  write(text: string, about: Pick<Waiting, "to" | "after">): boolean;
  takeBack(key: string): void;
  notify(text: string, href?: string): void;
  /** Loads anew what all views show. */
  reload(): void;
  /** The messages of that chat are on the screen: of them it shows none as unread. */
  setOpen(handle?: string): void;
  /** Whether the server has messages of that chat as unread. */
  isUnread(handle: string): boolean;
}

const Context = createContext<Session | undefined>(undefined);

export function useSession(): Session {
  const session = useContext(Context);
  if (!session) throw new Error("not inside of a SessionProvider");
  return session;
}

/** Hears news for as long as the view is there. */
export function useNews<K extends keyof News>(name: K, heard: (news: News[K]) => void) {
  const { on } = useSession();
  const latest = useRef(heard);
  useEffect(() => void (latest.current = heard));
  useEffect(() => on(name, (news) => latest.current(news)), [on, name]);
}

/** The socket, requests, and what is written to be sent when there is a connection. */
function connect() {
  const live = new Live();
  const ask = <T,>(query: string, variables?: object) => {
    const { session } = live;
    return api.ask<T>(session, query, variables).catch((error: api.Refusal) => {
      if (error.isOver && session === live.session) live.end();
      throw error;
    });
  };
  const send = async ({ text, to, key }: Waiting) => {
    if (to) live.tell("chatroom", (await ask<{ sendMessage: Message }>(SEND, { to, text, key })).sendMessage);
    else live.tell("post", (await ask<{ post: Post }>(POST, { text, key })).post);
  };
  const outbox = new Outbox(send, () => live.isConnected);
  live.status.listen(() => live.status.get().isSignedIn || outbox.close());
  return { live, ask, outbox };
}

/** Ends the session, here and at the server. */
async function leave(live: Live, outbox: Outbox, handle = "") {
  live.isLeaving = true;
  try {
    await api.logOut(live.session);
  } catch (error) {
    if (!(error instanceof api.Refusal && error.isOver)) {
      live.isLeaving = false;
      throw error;
    }
  }
  // Its socket may have heard of it first.
  outbox.forget(handle);
  live.end("");
  go("/portal");
}

export function SessionProvider({ children }: { children: ReactNode }) {
  const [{ live, ask, outbox }] = useState(connect);
  const status = useStore(live.status);
  const waiting = useStore(outbox.list);
  const { notices, notify } = useNotices();

  const mine = useMine(live, status, ask);
  const { me, reload } = mine;

  const begin = useCallback(() => {
    const own = keys();
    if (own) live.start(own);
  }, [live]);
  useEffect(() => {
    begin();
    return () => live.stop();
  }, [begin, live]);
  // Kept for this person, and taken up when it is known who it is.
  useEffect(() => {
    if (me?.handle) outbox.open(me.handle);
  }, [outbox, me?.handle]);
  useEffect(() => {
    if (status.round) void outbox.flush();
  }, [outbox, status.round]);
  useQuestion(waiting.some(({ error }) => !error));

  useEffect(() => {
    const ends = [
      live.on("chatroom", (message) => {
        if (message.from === me?.handle) outbox.settle(message.key);
      }),
      live.on("updatedChat", ({ with: handle, unread }) => {
        if (!unread || location.pathname.startsWith("/chats")) return;
        notify(`New message from @${handle}`, `/chats/${handle}`);
      }),
      live.on("followed", ({ by, follow }) => {
        notify(`${by.name} ${follow ? "follows you now" : "does not follow you any more"}`, `/people/${by.handle}`);
        reload();
      }),
    ];
    return () => ends.forEach((end) => end());
  }, [live, outbox, me?.handle, notify, reload]);

  const session = useMemo<Session>(
    () => ({
      ...mine,
      status,
      waiting,
      notices,
      notify,
      ask,
      begin,
      on: live.on,
      hint: live.hint,
      tryAgain: live.tryAgain,
      write: (text, about) => outbox.add(text, about) || (notify("Too much waits to be sent already."), false),
      takeBack: (key) => outbox.settle(key),
      logOut: () => leave(live, outbox, mine.me?.handle),
    }),
    [live, outbox, status, waiting, notices, notify, ask, begin, mine],
  );
  return <Context value={session}>{children}</Context>;
}

/** Whoever closes the page is asked first: it is kept over a reload, but not without the tab. */
function useQuestion(isAsked: boolean) {
  useEffect(() => {
    if (!isAsked) return;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [isAsked]);
}

function useNotices() {
  const [notices, setNotices] = useState<Notice[]>([]);
  const counter = useRef(0);
  const notify = useCallback((text: string, href?: string) => {
    const id = (counter.current += 1);
    setNotices((notices) => [...notices, { id, text, href }].slice(-NOTICES_MAX));
    setTimeout(() => setNotices((notices) => notices.filter((notice) => notice.id !== id)), NOTICE_MS);
  }, []);
  return { notices, notify };
}

/** As `useLoader`, for a view: loads anew after each connection. */
export function useView<T>(load: () => Promise<T>, show: (data: T) => void, deps: unknown[] = []) {
  const { round } = useSession().status;
  return useLoader(load, show, [round, ...deps]);
}
