// Who is here, and which page they see.

import { useEffect, useState } from "react";
import * as api from "./api";
import { ApiError, type Session } from "./api";
import { PlanPage } from "./PlanPage";
import { useRoute } from "./route";
import { SignIn } from "./SignIn";
import { StatesPage } from "./StatesPage";
import { connect, disconnect, isSaved, useRoom } from "./socket";
import type { Leave } from "./TopBar";

const RETRY_MS = 1_000;
const UNSAVED = "Not signed out: what you typed last is not saved yet. Sign out once more to go nevertheless; it is kept in this tab.";

/** `unknown`: the server has not said yet. `away`: it cannot be reached. */
type Who = "unknown" | "away" | "nobody" | Session;

/** Asks who is signed in until there is an answer. */
function useSession(): [Who, (who: Who) => void] {
  const [who, setWho] = useState<Who>("unknown");
  useEffect(() => {
    if (who !== "unknown" && who !== "away") return;
    let isOver = false;
    const found = (who: Who) => isOver || setWho(who);
    const ask = () => {
      api.session().then(found, (error: ApiError) => found(error.status === 401 ? "nobody" : "away"));
    };
    ask();
    const timer = setInterval(ask, RETRY_MS);
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }, [who]);
  return [who, setWho];
}

export function App() {
  const [who, setWho] = useSession();
  const { live } = useRoom();
  const state = useRoute();
  const session = typeof who === "string" ? undefined : who;
  const [isLeaving, setLeaving] = useState(false);
  const isExpired = live.status === "expired" && !isLeaving;

  useEffect(() => {
    if (session) connect(session.name);
  }, [session]);
  useEffect(() => {
    if (!isExpired) return;
    // There may be another session: somebody has signed in at another tab.
    const timer = setTimeout(() => setWho("unknown"), RETRY_MS);
    return () => clearTimeout(timer);
  }, [isExpired, setWho]);

  const leave: Leave = async (isSure) => {
    if (!(await isSaved()) && !isSure) return UNSAVED;
    setLeaving(true);
    const error = await api.signOut().catch((error: ApiError) => error);
    setLeaving(false);
    // That there is no session is what was wanted.
    if (error && error.status !== 401) return `Not signed out: ${error.message}`;
    disconnect();
    setWho("nobody");
    return "";
  };

  if (!session || isExpired) {
    const isWaiting = (who === "unknown" || who === "away") && !isExpired;
    return isWaiting ? <Waiting isAway={who === "away"} /> : <SignIn isExpired={isExpired} enter={setWho} />;
  }
  const page = { session, enter: setWho, leave };
  return state === undefined ? <StatesPage {...page} /> : <PlanPage key={state} state={state} {...page} />;
}

function Waiting({ isAway }: { isAway: boolean }) {
  useEffect(() => {
    document.documentElement.dataset.state = isAway ? "offline" : "connecting";
  }, [isAway]);
  return (
    <main className="narrow">
      <h1>Collab</h1>
      <p role="status" className="quiet">
        {isAway ? "Offline. The server cannot be reached; trying again…" : "Connecting…"}
      </p>
    </main>
  );
}
