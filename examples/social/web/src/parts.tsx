// What several views are made of.

import { useEffect, useState, type CSSProperties, type ReactNode } from "react";
import type { Refusal } from "./api";
import { PERSON } from "./queries";
import { Link } from "./router";
import { useSession } from "./session";
import { upTo99, type Author, type Person } from "./types";

const HUES = 360;

/** A picture of somebody: the first letters of the name, in a colour of the handle. */
export function Avatar({ who, size = "2.5rem" }: { who: Author; size?: string }) {
  const letters = who.name.split(/\s+/).slice(0, 2).map((word) => [...word][0] ?? "");
  const hue = [...who.handle].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % HUES, 7);
  const style = { "--hue": hue, "--size": size } as CSSProperties;
  return (
    <span className="avatar" style={style} aria-hidden="true">
      {letters.join("").toUpperCase()}
    </span>
  );
}

export function Time({ at }: { at: number | string }) {
  const date = new Date(Number(at));
  const isToday = date.toDateString() === new Date().toDateString();
  const text = date.toLocaleString([], { dateStyle: isToday ? undefined : "medium", timeStyle: "short" });
  return (
    <time dateTime={date.toISOString()} title={date.toLocaleString()}>
      {text}
    </time>
  );
}

/** The head of a view: it has the focus after one goes there. */
export function Title({ children, name }: { children: ReactNode; name: string }) {
  const { chats } = useSession();
  const unread = chats?.reduce((sum, chat) => sum + chat.unread, 0) ?? 0;
  useEffect(() => {
    document.title = `${unread ? `(${upTo99(unread)}) ` : ""}${name} · Social`;
  }, [name, unread]);
  return (
    <h1 id="title" tabIndex={-1}>
      {children}
    </h1>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <div className="loading" data-testid="loading">
      <p className="hidden">Loading {what}…</p>
      <span className="bone" />
      <span className="bone" />
      <span className="bone" />
    </div>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return (
    <p className="empty" data-testid="empty">
      {children}
    </p>
  );
}

export function Failure({ error }: { error: Refusal }) {
  return (
    <p className="failure" role="alert" data-testid="failure">
      {error.message}
    </p>
  );
}

/** Loads what is older. */
export function Older({ what, load }: { what: string; load: () => Promise<void> }) {
  const { notify } = useSession();
  const [isBusy, setBusy] = useState(false);
  const click = () => {
    setBusy(true);
    load()
      .catch((error: Refusal) => notify(error.message))
      .finally(() => setBusy(false));
  };
  return (
    <button type="button" className="quiet" disabled={isBusy} onClick={click}>
      Older {what}
    </button>
  );
}

const FOLLOW = `mutation ($handle: String!, $follow: Boolean!) {
  followUnfollowUser(handle: $handle, follow: $follow) { ${PERSON} }
}`;

/** Follows somebody, or ends it. */
export function Follow({ person, changed }: { person: Person; changed: (person: Person) => void }) {
  const { ask, notify, reload } = useSession();
  const [isBusy, setBusy] = useState(false);
  const toggle = async () => {
    setBusy(true);
    try {
      const variables = { handle: person.handle, follow: !person.isFollowed };
      changed((await ask<{ followUnfollowUser: Person }>(FOLLOW, variables)).followUnfollowUser);
      reload();
    } catch (error) {
      notify((error as Refusal).message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <button
      type="button"
      className={person.isFollowed ? "quiet" : ""}
      aria-busy={isBusy}
      onClick={() => isBusy || void toggle()}
      data-testid="follow"
    >
      {person.isFollowed ? "Unfollow" : "Follow"}
      <span className="hidden"> {person.name}</span>
    </button>
  );
}

/** How many follow somebody, and are followed. */
export function Counts({ person }: { person: Person }) {
  return (
    <p className="counts" data-testid="counts">
      <span>
        <b data-testid="followers">{person.followers}</b> {person.followers === 1 ? "follower" : "followers"}
      </span>{" "}
      <span>
        <b data-testid="following">{person.following}</b> following
      </span>
    </p>
  );
}

export function Name({ who }: { who: Author }) {
  return (
    <Link className="who" href={`/people/${who.handle}`}>
      <bdi className="name">{who.name}</bdi> <span className="handle">@{who.handle}</span>
    </Link>
  );
}

/** What waits, or was refused and is given back. */
export function WaitingState({ error, takeBack }: { error?: string; takeBack: () => void }) {
  if (!error) return <span className="state">waits to be sent</span>;
  return (
    <span className="state failed">
      {error}{" "}
      <button type="button" className="quiet small" onClick={takeBack}>
        Take it back
      </button>
    </span>
  );
}
