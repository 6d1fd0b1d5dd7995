// The plans that somebody may write in.

import { useEffect, useState } from "react";
import * as api from "./api";
import type { Session, StateEntry } from "./api";
import { FORM } from "./form";
import { InvitationForm } from "./InvitationForm";
import { follow, planPath } from "./route";
import { useRoom } from "./socket";
import { type Leave, TopBar } from "./TopBar";

const RETRY_MS = 1_000;

interface Props {
  session: Session;
  enter: (session: Session) => void;
  leave: Leave;
}

/** Asks until there is an answer, and again when the list may have become longer. */
function useStates(session: Session): StateEntry[] | undefined {
  const [states, setStates] = useState<StateEntry[]>();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = () => api.states().then(setStates, () => (timer = setTimeout(ask, RETRY_MS)));
    void ask();
    return () => clearTimeout(timer);
  }, [session]);
  return states;
}

function standing({ created, version }: StateEntry): string {
  if (!created) return "Not begun yet";
  return version ? `${version} ${version === 1 ? "edit" : "edits"} so far` : "Begun, and empty";
}

export function StatesPage({ session, enter, leave }: Props) {
  const { live } = useRoom();
  const states = useStates(session);
  useEffect(() => {
    document.title = "Your plans · Collab";
  }, []);

  return (
    <>
      <TopBar live={live} name={session.name} leave={leave} />
      <main id="main" className="narrow">
        <p className="over">{FORM.title}</p>
        <h1>Your plans</h1>
        {!states && <p className="quiet">Loading…</p>}
        {states?.length === 0 && <p className="quiet">You have no plan yet. An invitation code opens one.</p>}
        <ul className="plans">
          {states?.map((entry) => (
            <li key={entry.state}>
              <a href={planPath(entry.state)} onClick={follow} data-test="plan">
                <b>{entry.name}</b>
                <span>{standing(entry)}</span>
              </a>
            </li>
          ))}
        </ul>
        <details>
          <summary>Open one more</summary>
          <InvitationForm name={session.name} action="Add it" enter={enter} />
        </details>
      </main>
    </>
  );
}
