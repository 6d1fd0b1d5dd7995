// One conversation.

import { useEffect, useLayoutEffect, useRef, useState, type FormEvent, type KeyboardEvent } from "react";
import { useHistory } from "./history";
import { Avatar, Empty, Failure, Loading, Older, Time, Title, WaitingState } from "./parts";
import { MESSAGE } from "./queries";
import { Link } from "./router";
import { useNews, useSession, useView } from "./session";
import type { Author, Message, Waiting } from "./types";

export const MESSAGE_MAX = 2_000;
const CHAT = `query ($with: String!, $before: ID) {
  chat(with: $with) { messages(before: $before) { ${MESSAGE} } }
}`;
const WHO = "query ($handle: String!) { person(handle: $handle) { handle name } }";
const READ = "mutation ($with: String!) { readChat(with: $with) }";
/** How often it is said that one types, and how long it holds. */
const SAY_TYPING_MS = 1_000;
const TYPING_MS = 4_000;
/** Several messages that come at once are read at once. */
const READING_MS = 300;
/** So near to the end, it stays at the end. */
const NEAR_PX = 80;

export function Chat({ handle }: { handle: string }) {
  const { ask, me, waiting } = useSession();
  const [text, setText] = useState("");
  const [who, setWho] = useState<Author>();
  const { error } = useView(async () => (await ask<{ person: Author }>(WHO, { handle })).person, setWho);

  const page = async (before?: string) => {
    const { chat } = await ask<{ chat: { messages: Message[] } | null }>(CHAT, { with: handle, before });
    return chat?.messages ?? [];
  };
  const history = useHistory(page);
  const { list } = history;
  useNews("chatroom", (message) => {
    if ([message.from, message.to].includes(handle) && handle !== me?.handle) history.add(message);
  });
  useReading(handle);

  const drafts = waiting.filter(({ to }) => to === handle);
  const stored = new Set(list?.map(({ key }) => key));
  const shown = drafts.filter(({ key }) => !stored.has(key));
  const log = usePlace(list?.[0]?.id, shown.length, list);
  const failed = error ?? history.error;
  const name = who?.name ?? handle;
  const isNobody = failed?.code === "no_person" || handle === me?.handle;
  return (
    <section className="conversation" aria-label={`Conversation with ${name}`}>
      <header>
        <Link className="back" href="/chats">
          <span aria-hidden="true">←</span> <span className="hidden">All chats</span>
        </Link>
        {who && <Avatar who={who} />}
        <Title name={name}>{name}</Title>
        <Typing handle={handle} name={name} />
      </header>
      <div className="log" role="log" aria-label="Messages" tabIndex={0} ref={log}>
        {failed && <Failure error={failed} />}
        {!list && !failed && <Loading what="the messages" />}
        {handle === me?.handle && <Empty>You cannot write to yourself.</Empty>}
        {!isNobody && list?.length === 0 && shown.length === 0 && <Empty>Nothing was said yet. Say hello.</Empty>}
        {history.hasOlder && <Older what="messages" load={history.older} />}
        <ol data-testid="messages">
          {list?.map((message) => (
            <Bubble key={message.id} message={message} isMine={message.from === me?.handle} name={name} />
          ))}
          {shown.map((draft) => (
            <Draft key={draft.key} draft={draft} giveBack={setText} />
          ))}
        </ol>
      </div>
      {!isNobody && <Compose handle={handle} name={name} text={text} setText={setText} />}
    </section>
  );
}

function Bubble({ message, isMine, name }: { message: Message; isMine: boolean; name: string }) {
  return (
    <li className={isMine ? "bubble mine" : "bubble"} data-testid="message" data-id={message.id}>
      <span className="hidden">{isMine ? "You" : name}: </span>
      <p className="text">{message.text}</p>
      <p className="by">
        <Time at={message.at} />
      </p>
    </li>
  );
}

function Draft({ draft, giveBack }: { draft: Waiting; giveBack: (text: string) => void }) {
  const { takeBack } = useSession();
  const back = () => {
    giveBack(draft.text);
    takeBack(draft.key);
    document.getElementById("message")?.focus();
  };
  return (
    <li className="bubble mine waiting" data-testid="waiting">
      <span className="hidden">You: </span>
      <p className="text">{draft.text}</p>
      <p className="by">
        <WaitingState error={draft.error} takeBack={back} />
      </p>
    </li>
  );
}

interface ComposeProps {
  handle: string;
  name: string;
  text: string;
  setText: (text: string) => void;
}

function Compose({ handle, name, text, setText }: ComposeProps) {
  const { write, hint } = useSession();
  const said = useRef(0);
  const change = (text: string) => {
    setText(text);
    if (!text || Date.now() - said.current < SAY_TYPING_MS) return;
    said.current = Date.now();
    hint("typing", { to: handle });
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (text.trim() && write(text.trim(), { to: handle })) setText("");
  };
  const key = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    event.currentTarget.form?.requestSubmit();
  };
  return (
    <form className="say" onSubmit={submit}>
      <label htmlFor="message" className="hidden">
        Message to {name}
      </label>
      <textarea
        id="message"
        rows={1}
        placeholder="Write a message"
        maxLength={MESSAGE_MAX}
        value={text}
        onChange={({ target }) => change(target.value)}
        onKeyDown={key}
        data-testid="message-text"
      />
      <button type="submit" data-testid="message-send">
        Send
      </button>
    </form>
  );
}

function Typing({ handle, name }: { handle: string; name: string }) {
  const [until, setUntil] = useState(0);
  useNews("typing", ({ from }) => from === handle && setUntil(Date.now() + TYPING_MS));
  useNews("chatroom", ({ from }) => from === handle && setUntil(0));
  useEffect(() => {
    const timer = setTimeout(() => setUntil(0), Math.max(0, until - Date.now()));
    return () => clearTimeout(timer);
  }, [until]);
  return (
    <p className="typing" role="status" data-testid="typing">
      {until > 0 && `${name} is typing…`}
    </p>
  );
}

/** What is on the screen is read. */
function useReading(handle: string) {
  const { ask, chats, setOpen, status, isUnread } = useSession();
  const isVisible = useVisible();
  useEffect(() => {
    if (!isVisible) return;
    setOpen(handle);
    return () => setOpen(undefined);
  }, [handle, isVisible, setOpen]);

  const last = chats?.find((chat) => chat.with.handle === handle)?.last?.id;
  useEffect(() => {
    if (!isVisible || !isUnread(handle)) return;
    // Where it fails, the next message or connection is another occasion.
    const timer = setTimeout(() => void ask(READ, { with: handle }).catch(() => {}), READING_MS);
    return () => clearTimeout(timer);
  }, [ask, handle, isVisible, isUnread, last, status.round]);
}

function useVisible() {
  const [isVisible, setVisible] = useState(document.visibilityState === "visible");
  useEffect(() => {
    const look = () => setVisible(document.visibilityState === "visible");
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, []);
  return isVisible;
}

/** Keeps the end in view, or what somebody has scrolled to; what one writes oneself is shown. */
function usePlace(first: string | undefined, written: number, list: unknown) {
  const log = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  const before = useRef({ first, written, height: 0 });
  useEffect(() => {
    const element = log.current;
    const look = () => {
      if (element) isAtEnd.current = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_PX;
    };
    const follow = () => {
      if (element && isAtEnd.current) element.scrollTop = element.scrollHeight;
    };
    const resized = new ResizeObserver(follow);
    if (element) resized.observe(element);
    element?.addEventListener("scroll", look);
    return () => {
      resized.disconnect();
      element?.removeEventListener("scroll", look);
    };
  }, []);
  useLayoutEffect(() => {
    const element = log.current;
    if (!element) return;
    const { scrollHeight: height } = element;
    const last = before.current;
    if (isAtEnd.current || written > last.written) element.scrollTop = height;
    else if (first !== last.first) element.scrollTop += height - last.height;
    before.current = { first, written, height };
  }, [first, written, list]);
  return log;
}
