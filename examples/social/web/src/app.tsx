// The frame around all views: where one can go, how the connection stands, and what is said aside.

import { useEffect, useRef, type ReactNode } from "react";
import type { Refusal } from "./api";
import { Chats } from "./chats";
import { Feed } from "./feed";
import { TRIES, type Status } from "./live";
import { Avatar, Empty, Loading, Title } from "./parts";
import { People, Person } from "./people";
import { Portal } from "./portal";
import { Link, Redirect, usePath } from "./router";
import { useSession } from "./session";
import { upTo99 } from "./types";

export function App() {
  const { status } = useSession();
  const path = usePath();
  /** Where one wanted to go before it turned out that one has to log in. */
  const wanted = useRef("/");
  const hasLeft = status.state === "signed-out" && status.round > 0;
  useEffect(() => {
    if (path !== "/portal") wanted.current = status.isSignedIn || hasLeft ? "/" : path;
  }, [path, status.isSignedIn, hasLeft]);
  useFocusOnTitle(path);

  if (!status.isSignedIn) return path === "/portal" ? <Portal /> : <Redirect to="/portal" />;
  if (path === "/portal") return <Redirect to={wanted.current} />;
  return <Frame>{view(path)}</Frame>;
}

function view(path: string) {
  const [, first, handle] = path.split("/");
  if (path === "/") return <Feed />;
  if (first === "people") return handle ? <Person key={handle} handle={handle} /> : <People />;
  if (first === "chats") return <Chats handle={handle || undefined} />;
  return <Nowhere />;
}

function Nowhere() {
  return (
    <div className="narrow">
      <Title name="Not found">There is nothing here</Title>
      <Empty>
        Perhaps you look for the <Link href="/">feed</Link>.
      </Empty>
    </div>
  );
}

function Frame({ children }: { children: ReactNode }) {
  const { me, status } = useSession();
  return (
    <>
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <header className="top">
        <Link className="brand" href="/">
          Social
        </Link>
        <Navigation />
        <Connection />
        <You />
      </header>
      <Trouble status={status} />
      <main id="main" tabIndex={-1}>
        {me ? children : <Loading what="the page" />}
      </main>
      <Notices />
    </>
  );
}

function Navigation() {
  const { chats } = useSession();
  const path = usePath();
  const unread = chats?.reduce((sum, chat) => sum + chat.unread, 0) ?? 0;
  const inside = (href: string) => (path === href || path.startsWith(`${href}/`) ? "page" : undefined);
  return (
    <nav aria-label="Main">
      <Link href="/">Feed</Link>
      <Link href="/people" aria-current={inside("/people")}>
        People
      </Link>
      <Link href="/chats" aria-current={inside("/chats")} data-testid="chats-link">
        Chats
        {unread > 0 && (
          <span className="badge" data-testid="unread-total">
            {upTo99(unread)}
            <span className="hidden"> unread</span>
          </span>
        )}
      </Link>
    </nav>
  );
}

function Connection() {
  const { status, waiting } = useSession();
  const kept = waiting.filter(({ error }) => !error).length;
  const texts = {
    "signed-out": "",
    connecting: status.round ? "Reconnecting…" : "Connecting…",
    connected: "Live",
    reconnected: "Live again, nothing is missing",
    offline: "Offline, trying again…",
    refused: "Refused",
    "gave-up": "Offline",
  };
  const isLive = status.state === "connected" || status.state === "reconnected";
  return (
    <p className="connection" role="status" data-testid="status" data-state={status.state}>
      {texts[status.state]}
      {status.state === "offline" && <span aria-hidden="true">{` ${status.tries} of ${TRIES}`}</span>}
      {kept > 0 && !isLive && <span className="kept">{`, ${kept} kept to be sent`}</span>}
    </p>
  );
}

function You() {
  const { me, logOut, notify } = useSession();
  if (!me) return null;
  const leave = () => void logOut().catch((error: Refusal) => notify(`You are still logged in: ${error.message}`));
  return (
    <div className="you">
      <Link href={`/people/${me.handle}`} title={me.name}>
        <Avatar who={me} size="2rem" />
        <span className="hidden">You, {me.name}</span>
      </Link>
      <button type="button" className="quiet small" onClick={leave} data-testid="log-out">
        Log out
      </button>
    </div>
  );
}

/** What does not mend itself is said where it cannot be missed, with a way out. */
function Trouble({ status }: { status: Status }) {
  const { tryAgain } = useSession();
  if (status.state !== "gave-up" && status.state !== "refused") return null;
  return (
    <div className="trouble" role="alert" data-testid="trouble">
      <p>
        {status.state === "gave-up" ? (
          <>
            <b>There is no connection.</b> The page tried {TRIES} times to come back, and gave up. What you write is
            kept.
          </>
        ) : (
          <>
            <b>The server refused this page:</b> {status.why}.
          </>
        )}
      </p>
      <button type="button" onClick={tryAgain} data-testid="try-again">
        Try again
      </button>
    </div>
  );
}

function Notices() {
  const { notices } = useSession();
  return (
    <div className="notices" role="status" data-testid="notices">
      {notices.map(({ id, text, href }) => (
        <p key={id}>{href ? <Link href={href}>{text}</Link> : text}</p>
      ))}
    </div>
  );
}

/** Whoever goes to another view hears its title, and goes on from there by keyboard. */
function useFocusOnTitle(path: string) {
  const last = useRef(path);
  useEffect(() => {
    if (last.current === path) return;
    last.current = path;
    document.getElementById("title")?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [path]);
}
