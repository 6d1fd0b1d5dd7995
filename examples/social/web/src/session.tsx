// The one context of the page: who is here, the socket, and what every view needs of both.

import { createContext, useCallback, useContext, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import * as api from "./api";
import { keys } from "./cookies";
import { Live, type News, type Status } from "./live";
import { Outbox } from "./outbox";
import { go } from "./router";
import { pause, useStore } from "./store";
import type { Chat, Message, Person, Post, Waiting } from "./types";

const AGAIN_MS = 1_000;
const NOTICE_MS = 6_000;
const NOTICES_MAX = 3;

export const PERSON = "handle name followers following isFollowed followsMe";
const MESSAGE = "id chat from to text at key";
const MINE = `{ me { ${PERSON} } chats { id unread with { handle name } last { ${MESSAGE} } } }`;
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

/** The socket, and what is written to be sent when it is there. */
function connect() {
  const live = new Live();
  const send = async ({ text, to, key }: Waiting) => {
    if (to) live.tell("chatroom", (await api.ask<{ sendMessage: Message }>(SEND, { to, text, key })).sendMessage);
    else live.tell("post", (await api.ask<{ post: Post }>(POST, { text, key })).post);
  };
  return { live, outbox: new Outbox(send, () => live.isConnected) };
}

export function SessionProvider({ children }: { children: ReactNode }) {
  const [{ live, outbox }] = useState(connect);
  const status = useStore(live.status);
  const waiting = useStore(outbox.list);
  const { notices, notify } = useNotices();

  const ask = useCallback(
    <T,>(query: string, variables?: object) =>
      api.ask<T>(query, variables).catch((error: api.Refusal) => {
        if (error.code === "unauthenticated") live.end();
        throw error;
      }),
    [live],
  );
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

  useEffect(
    () =>
      live.on("chatroom", (message) => {
        if (message.from === me?.handle) outbox.settle(message.key);
      }),
    [live, outbox, me?.handle],
  );
  useEffect(
    () =>
      live.on("updatedChat", ({ with: handle, unread }) => {
        if (!unread || location.pathname.startsWith("/chats")) return;
        notify(`New message from @${handle}`, `/chats/${handle}`);
      }),
    [live, notify],
  );
  useEffect(
    () =>
      live.on("followed", ({ by, follow }) => {
        notify(`${by.name} ${follow ? "follows you now" : "does not follow you any more"}`, `/people/${by.handle}`);
        reload();
      }),
    [live, notify, reload],
  );

  const session = useMemo<Session>(
    () => ({
      ...mine,
      status,
      waiting,
      notices,
      notify,
      ask,
      begin,
      on: live.on.bind(live),
      hint: live.hint.bind(live),
      tryAgain: () => live.tryAgain(),
      write: (text, about) => outbox.add(text, about) || (notify("Too much waits to be sent already."), false),
      takeBack: (key) => outbox.settle(key),
      logOut: async () => {
        live.isLeaving = true;
        try {
          await api.logOut();
        } catch (error) {
          live.isLeaving = false;
          throw error;
        }
        outbox.clear();
        live.end("");
        go("/portal");
      },
    }),
    [live, outbox, status, waiting, notices, notify, ask, begin, mine],
  );
  return <Context value={session}>{children}</Context>;
}

/** Who this is, and the chats: loaded after each connection, and changed by news. */
function useMine(live: Live, status: Status, ask: Session["ask"]) {
  const [me, setMe] = useState<Person>();
  const [chats, setChats] = useState<Chat[]>();
  const [open, setOpen] = useState<string>();
  const { round, isSignedIn } = status;

  const { reload, isLoading } = useLoader(
    () => ask<{ me: Person; chats: Chat[] }>(MINE),
    (mine) => {
      setMe(mine.me);
      setChats(mine.chats);
    },
    [round],
    round > 0,
  );
  useEffect(() => {
    if (isSignedIn) return;
    setMe(undefined);
    setChats(undefined);
  }, [isSignedIn]);

  useEffect(() => {
    const change = (handle: string, changed: (chat: Chat) => Chat) => {
      // What is loaded at this moment may be older than the news.
      if (isLoading() || !chats?.some((chat) => chat.with.handle === handle)) reload();
      setChats((chats) => chats?.map((chat) => (chat.with.handle === handle ? changed(chat) : chat)));
    };
    const newer = (chat: Chat, last: Message) => (Number(chat.last?.id ?? 0) > Number(last.id) ? chat.last : last);
    const ends = [
      live.on("updatedChat", ({ with: handle, last, unread }) =>
        change(handle, (chat) => ({ ...chat, last: newer(chat, last), unread })),
      ),
      live.on("chatroom", (message) =>
        change(message.from === me?.handle ? message.to : message.from, (chat) => ({
          ...chat,
          last: newer(chat, message),
        })),
      ),
    ];
    return () => ends.forEach((end) => end());
  }, [live, me?.handle, chats, reload, isLoading]);

  return useMemo(() => {
    const seen = chats?.map((chat) => (chat.with.handle === open ? { ...chat, unread: 0 } : chat));
    const sorted = seen?.sort((a, b) => Number(b.last?.id ?? 0) - Number(a.last?.id ?? 0));
    const isUnread = (handle: string) => Boolean(chats?.some((chat) => chat.with.handle === handle && chat.unread));
    return { me, chats: sorted, isUnread, reload, setOpen };
  }, [me, chats, open, reload]);
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

/** Loads when `deps` change, and again on `reload`: one request at a time, and what fails for a moment is repeated. */
export function useLoader<T>(load: () => Promise<T>, show: (data: T) => void, deps: unknown[], isWanted = true) {
  const latest = useRef({ load, show });
  useEffect(() => void (latest.current = { load, show }));
  const running = useRef({ isRunning: false, isStale: false, start: () => {} });
  const [error, setError] = useState<api.Refusal>();
  useEffect(() => {
    if (!isWanted) return;
    const own = { isRunning: false, isStale: false, start: () => void run() };
    const run = async () => {
      own.isStale = true;
      if (own.isRunning) return;
      own.isRunning = true;
      while (own.isStale && running.current === own) {
        own.isStale = false;
        try {
          const data = await latest.current.load();
          if (running.current !== own) return;
          latest.current.show(data);
          setError(undefined);
        } catch (error) {
          if (!(error instanceof api.Refusal)) throw error;
          if (error.isTemporary) await pause(AGAIN_MS);
          else if (running.current === own) setError(error);
          own.isStale ||= error.isTemporary;
        }
      }
      own.isRunning = false;
    };
    running.current = own;
    own.start();
    return () => void (running.current = { isRunning: false, isStale: false, start: () => {} });
  }, [isWanted, ...deps]);
  const reload = useCallback(() => running.current.start(), []);
  const isLoading = useCallback(() => running.current.isRunning, []);
  return { error, reload, isLoading };
}

/** As `useLoader`, for a view: loads anew after each connection. */
export function useView<T>(load: () => Promise<T>, show: (data: T) => void, deps: unknown[] = []) {
  const { round } = useSession().status;
  return useLoader(load, show, [round, ...deps]);
}
