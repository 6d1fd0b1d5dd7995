// The list of conversations, beside one of them.

import { Chat } from "./chat";
import { Avatar, Empty, Loading, Time, Title } from "./parts";
import { Link } from "./router";
import { useSession } from "./session";
import { upTo99 } from "./types";

export function Chats({ handle }: { handle?: string }) {
  return (
    <div className="chats" data-open={handle !== undefined}>
      <ChatList isTitle={handle === undefined} />
      {handle === undefined ? (
        <p className="empty pick">Choose a conversation.</p>
      ) : (
        <Chat key={handle} handle={handle} />
      )}
    </div>
  );
}

function ChatList({ isTitle }: { isTitle: boolean }) {
  const { chats, me } = useSession();
  return (
    <section className="chat-list" aria-label="Conversations">
      {isTitle ? <Title name="Chats">Chats</Title> : <h2>Chats</h2>}
      {!chats && <Loading what="your conversations" />}
      {chats?.length === 0 && (
        <Empty>
          You have written to nobody yet. <Link href="/people">Find people</Link>.
        </Empty>
      )}
      <ul className="list">
        {chats?.map((chat) => (
          <li key={chat.id}>
            <Link
              className="chat"
              href={`/chats/${chat.with.handle}`}
              data-testid="chat"
              data-handle={chat.with.handle}
            >
              <Avatar who={chat.with} />
              <bdi className="name">{chat.with.name}</bdi>
              {chat.last && <Time at={chat.last.at} />}
              <span className="last">
                {chat.last?.from === me?.handle && "You: "}
                {chat.last?.text}
              </span>
              {chat.unread > 0 && (
                <span className="badge" data-testid="unread">
                  {upTo99(chat.unread)}
                  <span className="hidden"> unread</span>
                </span>
              )}
            </Link>
          </li>
        ))}
      </ul>
    </section>
  );
}
