// Who this is, and the chats.

import { useEffect, useMemo, useState } from "react";
import type { Live, Status } from "./live";
import { useLoader } from "./loader";
import { MESSAGE, PERSON } from "./queries";
import type { Session } from "./session";
import type { Chat, Message, Person } from "./types";

const MINE = `{ me { ${PERSON} } chats { id unread with { handle name } last { ${MESSAGE} } } }`;

/** Loaded after each connection, and changed by news. */
export function useMine(live: Live, status: Status, ask: Session["ask"]) {
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
    // What comes after the end of a session is not of the next one.
    isSignedIn && round > 0,
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
