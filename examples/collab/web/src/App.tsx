// Who is here, and which page they see.

import { useEffect, useState } from "react";
import * as api from "./api";
import { ApiError, type Session } from "./api";
import { PlanPage } from "./PlanPage";
import { useRoute } from "./route";
import { SignIn } from "./SignIn";
import { StatesPage } from "./StatesPage";
import { connect, disconnect, useRoom } from "./socket";

const RETRY_MS = 1_000;

/** `unknown`: the server has not said yet. `away`: it cannot be reached. */
type Who = "unknown" | "away" | "nobody" | Session;

/** Asks who is signed in until there is an answer. */
function useSession(): [Who, (who: Who) => void] {
  const [who, setWho] = useState<Who>("unknown");
  useEffect(() => {
    if (who !== "unknown" && who !== "away") return;
    const ask = () => {
      api.session().then(setWho, (error: ApiError) => setWho(error.status === 401 ? "nobody" : "away"));
    };
    ask();
    const timer = setInterval(ask, RETRY_MS);
    return () => clearInterval(timer);
  }, [who]);
  return [who, setWho];
}

export function App() {
  const [who, setWho] = useSession();
  const { live } = useRoom();
  const state = useRoute();
  const session = typeof who === "string" ? undefined : who;
  const isExpired = live.status === "expired";

  useEffect(() => {
    if (session) connect();
  }, [session]);
  useEffect(() => {
    if (isExpired) setWho("nobody");
  }, [isExpired, setWho]);

  const leave = () => {
    disconnect();
    api.signOut().catch(() => {});
    setWho("nobody");
  };

  if (!session || isExpired) {
    return who === "unknown" || who === "away" ? <Waiting isAway={who === "away"} /> : <SignIn isExpired={isExpired} enter={setWho} />;
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
