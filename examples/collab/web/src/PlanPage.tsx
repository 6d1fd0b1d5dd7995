// One plan: its sections, and who else is in them.

import { useEffect, useRef, useState } from "react";
import type { Session } from "./api";
import { isConflict, isRefused } from "./edits";
import { FIELDS, FORM, type Section, emptyValue, isEmpty, sectionOf } from "./form";
import { FieldBox } from "./FieldBox";
import { InvitationForm } from "./InvitationForm";
import { Avatar, People } from "./People";
import { type Room, type RoomView, newKey } from "./room";
import { type Live, useRoom } from "./socket";
import { type Leave, TopBar } from "./TopBar";

interface Props {
  state: string;
  session: Session;
  enter: (session: Session) => void;
  leave: Leave;
}

const nameOf = (state: string) => state.charAt(0).toUpperCase() + state.slice(1);

export function PlanPage({ state, session, enter, leave }: Props) {
  const { live, room } = useRoom(state, session.name);
  useEffect(() => {
    document.title = `${nameOf(state)} · Collab`;
  }, [state]);
  const standing = room?.view.document ?? "loading";
  const isReady = room !== undefined && standing === "ready";
  return (
    <>
      <TopBar live={live} name={session.name} leave={leave} hasBack>
        {isReady && <Saving live={live} view={room.view} />}
        {isReady && <Undo room={room} />}
      </TopBar>
      {isReady ? (
        <Plan room={room} live={live} />
      ) : (
        <main id="main" className="narrow" aria-busy={standing === "loading"}>
          <p className="over">{FORM.title}</p>
          <h1>{nameOf(state)}</h1>
          {standing === "loading" && <Loading />}
          {room && standing === "empty" && <Empty room={room} isLive={live.id !== undefined} />}
          {room && standing === "refused" && <Refused problem={room.view.problem} session={session} enter={enter} />}
        </main>
      )}
    </>
  );
}

function Loading() {
  return (
    <div className="loading" data-test="loading">
      <p className="quiet">Loading the plan…</p>
      <i />
      <i />
      <i />
    </div>
  );
}

function Empty({ room, isLive }: { room: Room; isLive: boolean }) {
  const { state, problem } = room.view;
  return (
    <div data-test="empty">
      <p className="quiet">
        Nobody has begun the plan of {nameOf(state)}. It will have {FORM.sections.length} sections:{" "}
        {FORM.sections.map(({ title }) => title).join(", ")}.
      </p>
      <button className="primary" disabled={!isLive} onClick={() => room.create(newKey())}>
        Begin the plan
      </button>
      {problem && (
        <p role="alert" className="problem">
          {problem}
        </p>
      )}
    </div>
  );
}

function Refused({ problem, session, enter }: { problem: string; session: Session; enter: (session: Session) => void }) {
  return (
    <div data-test="refused">
      <p role="alert" className="notice">
        This plan is not open to you: {problem}
      </p>
      <p className="quiet">Its invitation code opens it.</p>
      {/* The page begins anew with what the session may see then. */}
      <InvitationForm name={session.name} action="Open it" enter={(session) => (enter(session), location.reload())} />
    </div>
  );
}

function Saving({ live, view }: { live: Live; view: RoomView }) {
  const edits = Object.values(view.edits);
  const isLive = live.status === "connected" || live.status === "reconnected";
  const stopped = edits.filter((edit) => edit.stopped).length;
  const text = edits.length === 0 ? "All saved" : stopped === edits.length ? "Not all saved" : isLive ? "Saving…" : "Kept here";
  return (
    <span className="saving" data-test="saving">
      {text}
    </span>
  );
}

function Undo({ room }: { room: Room }) {
  const { undo } = room.view;
  const label = undo && FIELDS.get(undo.field)?.label;
  return (
    <button onClick={() => room.undo()} disabled={!undo} data-test="undo" title={label && `Takes back your last edit: ${label}`}>
      Undo<span className="wide">{label && ` “${label}”`}</span>
    </button>
  );
}

/** The section that is at the top of the screen. */
function useSection(): string {
  const [current, setCurrent] = useState(FORM.sections[0]?.id ?? "");
  useEffect(() => {
    const observer = new IntersectionObserver(
      (entries) => entries.filter(({ isIntersecting }) => isIntersecting).forEach(({ target }) => setCurrent(target.id)),
      { rootMargin: "-25% 0px -70% 0px" },
    );
    for (const { id } of FORM.sections) {
      const section = document.getElementById(id);
      if (section) observer.observe(section);
    }
    return () => observer.disconnect();
  }, []);
  return current;
}

function Plan({ room, live }: { room: Room; live: Live }) {
  const { view } = room;
  const [field, setField] = useState<string | null>(null);
  const onScreen = useSection();
  const current = (field && sectionOf(field)?.id) || onScreen;
  useEffect(() => room.focus(current, field), [room, current, field]);
  const nav = useRef<HTMLElement>(null);
  // On a phone the sections are in one line, of which the current one is to be seen.
  useEffect(() => {
    const link = nav.current?.querySelector<HTMLElement>("[aria-current]");
    nav.current?.scrollTo({ left: (link?.offsetLeft ?? 0) - 16 });
  }, [current]);
  const others = view.people.filter(({ id }) => id !== live.id);

  return (
    <div className="plan">
      <aside>
        <nav ref={nav} aria-label="Sections">
          {FORM.sections.map((section) => (
            <a key={section.id} href={`#${section.id}`} aria-current={section.id === current ? "true" : undefined}>
              <span>{section.title}</span>
              <Progress section={section} view={view} />
              <span className="there">
                {others
                  .filter((person) => person.section === section.id)
                  .slice(0, 3)
                  .map(({ id, name }) => (
                    <Avatar key={id} name={name} />
                  ))}
              </span>
            </a>
          ))}
        </nav>
        <People people={view.people} me={live.id} />
      </aside>
      <main id="main">
        <p className="over">{FORM.title}</p>
        <h1>{nameOf(view.state)}</h1>
        {FORM.sections.map((section) => (
          <section key={section.id} id={section.id} aria-labelledby={`${section.id}-title`} tabIndex={-1}>
            <h2 id={`${section.id}-title`}>{section.title}</h2>
            <p className="quiet">{section.help}</p>
            <div className="fields" onBlur={(event) => event.currentTarget.contains(event.relatedTarget) || setField(null)}>
              {section.fields.map((one) => (
                <FieldBox key={one.id} field={one} room={room} live={live} others={others} enter={() => setField(one.id)} />
              ))}
            </div>
          </section>
        ))}
      </main>
    </div>
  );
}

function Progress({ section, view }: { section: Section; view: RoomView }) {
  const edits = section.fields.map(({ id }) => view.edits[id]);
  if (edits.some(isConflict)) return <small className="badge">decide</small>;
  if (edits.some(isRefused)) return <small className="badge">not saved</small>;
  const filled = section.fields.filter((field) => !isEmpty(view.fields[field.id]?.value ?? emptyValue(field))).length;
  return (
    <small>
      {filled} of {section.fields.length}
    </small>
  );
}
