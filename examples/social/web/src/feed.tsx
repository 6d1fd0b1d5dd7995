// Posts of oneself and of those one follows.

import { useState, type FormEvent, type KeyboardEvent } from "react";
import { useHistory } from "./history";
import { Avatar, Counts, Empty, Failure, Loading, Name, Older, Time, Title, WaitingState } from "./parts";
import { Link } from "./router";
import { useNews, useSession } from "./session";
import type { Post, Waiting } from "./types";

export const POST_MAX = 500;
/** From here on it says how many characters are left. */
const FEW = 100;
const FEED = "query ($before: ID) { feed(before: $before) { id text at author { handle name } } }";

export function Feed() {
  const { ask, me, waiting } = useSession();
  const [text, setText] = useState("");
  const page = async (before?: string) => (await ask<{ feed: Post[] }>(FEED, { before })).feed;
  const { list, hasOlder, older, add, error } = useHistory(page);
  useNews("post", add);
  const isStored = ({ text, after = "0" }: Waiting) =>
    list?.some((post) => Number(post.id) > Number(after) && post.text === text && post.author.handle === me?.handle);
  const drafts = waiting.filter((one) => one.to === undefined && !isStored(one));
  if (!me) return null;
  return (
    <div className="columns">
      <div>
        <Title name="Feed">Feed</Title>
        <Compose text={text} setText={setText} after={list?.at(-1)?.id} />
        {error && <Failure error={error} />}
        {!list && !error && <Loading what="the feed" />}
        <ol className="list" aria-label="Posts" data-testid="posts">
          {drafts.toReversed().map((draft) => (
            <Draft key={draft.key} draft={draft} giveBack={setText} />
          ))}
          {list?.toReversed().map((post) => (
            <li key={post.id} className="post card" data-testid="post" data-id={post.id}>
              <Avatar who={post.author} />
              <p className="by">
                <Name who={post.author} /> <Time at={post.at} />
              </p>
              <p className="text">{post.text}</p>
            </li>
          ))}
        </ol>
        {list?.length === 0 && drafts.length === 0 && (
          <Empty>
            Nothing here yet. Write the first post, or <Link href="/people">follow somebody</Link>.
          </Empty>
        )}
        {hasOlder && <Older what="posts" load={older} />}
      </div>
      <aside className="card me" aria-label="You">
        <Avatar who={me} size="3.5rem" />
        <Name who={me} />
        <Counts person={me} />
        <Link href="/people">Find people</Link>
      </aside>
    </div>
  );
}

interface ComposeProps {
  text: string;
  setText: (text: string) => void;
  after?: string;
}

function Compose({ text, setText, after }: ComposeProps) {
  const { write } = useSession();
  const left = POST_MAX - [...text].length;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (text.trim() && write(text.trim(), { after })) setText("");
  };
  const key = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.form?.requestSubmit();
  };
  return (
    <form className="compose card" onSubmit={submit}>
      <label htmlFor="post">What is new?</label>
      <textarea
        id="post"
        rows={3}
        required
        value={text}
        onChange={({ target }) => setText(target.value)}
        onKeyDown={key}
        data-testid="post-text"
      />
      <p className="hint" role="status">
        {left < FEW && `${left} left`}
      </p>
      <button type="submit" data-testid="post-send">
        Post
      </button>
    </form>
  );
}

function Draft({ draft, giveBack }: { draft: Waiting; giveBack: (text: string) => void }) {
  const { me, takeBack } = useSession();
  const back = () => {
    giveBack(draft.text);
    takeBack(draft.key);
    document.getElementById("post")?.focus();
  };
  return (
    <li className="post card waiting" data-testid="waiting">
      {me && <Avatar who={me} />}
      <p className="by">
        <bdi className="name">{me?.name}</bdi> <WaitingState error={draft.error} takeBack={back} />
      </p>
      <p className="text">{draft.text}</p>
    </li>
  );
}
