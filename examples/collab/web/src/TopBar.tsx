// The top of each page: where one is, how the connection stands, and who one is.

import { type ReactNode, useEffect, useState } from "react";
import { isConflict, isRefused } from "./edits";
import { FIELDS } from "./form";
import { follow } from "./route";
import type { Live } from "./socket";

const count = (number: number, what: string) => `${number} ${what}${number === 1 ? "" : "s"}`;

/** What a person is told of the connection, where it is not as it should be. */
function connectionSentence({ status, why, isAgain, room }: Live): string {
  const waiting = Object.keys(room?.edits ?? {}).length;
  const keeps = waiting ? ` ${count(waiting, "edit")} of yours ${waiting === 1 ? "is" : "are"} kept here until the server is back.` : "";
  switch (status) {
    case "connecting":
      return isAgain ? "Reconnecting…" : "Connecting…";
    case "offline":
      return `Offline. Trying again…${keeps}`;
    case "refused":
      return `The server has refused this page: ${why}. Trying again…${keeps}`;
    case "reconnected":
      return room ? "Connected again. What has changed meanwhile is fetched." : "Connected again.";
    default:
      return "";
  }
}

/** What somebody here has to decide. */
function decisionSentence({ room }: Live): string {
  const edits = Object.values(room?.edits ?? {});
  const labels = (stopped: typeof edits) => stopped.map(({ field }) => FIELDS.get(field)?.label ?? field).join(", ");
  const conflicts = edits.filter(isConflict);
  const refused = edits.filter(isRefused);
  return [
    conflicts.length > 0 && `Somebody else was faster. Choose what stays: ${labels(conflicts)}.`,
    refused.length > 0 && `Not saved, see there: ${labels(refused)}.`,
  ]
    .filter(Boolean)
    .join(" ");
}

const SHORT = {
  off: "Signed out",
  connecting: "Connecting",
  connected: "Live",
  reconnected: "Live",
  offline: "Offline",
  refused: "Refused",
  expired: "Signed out",
};

/** Signs out, or says why not; whoever is sure goes although not all is saved. */
export type Leave = (isSure: boolean) => Promise<string>;

interface Props {
  live: Live;
  name: string;
  leave: Leave;
  /** The list is where the page leads back to. */
  hasBack?: boolean;
  children?: ReactNode;
}

export function TopBar({ live, name, leave, hasBack = false, children }: Props) {
  const [problem, setProblem] = useState("");
  const [isBusy, setIsBusy] = useState(false);
  const signOut = async () => {
    setIsBusy(true);
    setProblem(await leave(problem !== ""));
    setIsBusy(false);
  };
  useEffect(() => setProblem(""), [live.id]);
  const connection = connectionSentence(live);
  const decision = decisionSentence(live);
  return (
    <header className="top">
      <a className="skip" href="#main">
        To the content
      </a>
      <div className="bar">
        {hasBack ? (
          <a href="/" onClick={follow} className="brand">
            <span aria-hidden="true">‹ </span>All plans
          </a>
        ) : (
          <span className="brand">Collab</span>
        )}
        <div className="tools">
          {children}
          <span className="pill" data-status={live.status} title={live.transport && `by ${live.transport}`}>
            <span>{SHORT[live.status]}</span>
          </span>
          <span className="me">
            <span>{name}</span>
            <button className="plain" onClick={signOut} disabled={isBusy}>
              Sign out
            </button>
          </span>
        </div>
      </div>
      <div role="status" aria-live="polite" className="news" data-status={live.status} data-test="status">
        {connection && <p>{connection}</p>}
        {problem && <p>{problem}</p>}
        {decision && <p className="decide">{decision}</p>}
      </div>
    </header>
  );
}
