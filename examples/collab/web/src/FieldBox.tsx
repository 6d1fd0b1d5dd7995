// A field: its label, what is in it, who else is in it, and how what was typed here stands.

import type { ReactNode } from "react";
import { ConflictPanel } from "./ConflictPanel";
import { Control } from "./Control";
import { type Edit, isConflict, isRefused } from "./edits";
import type { Field, Stored } from "./form";
import { Avatar, personStyle } from "./People";
import type { Person, Room } from "./room";
import type { Live } from "./socket";

interface Props {
  field: Field;
  room: Room;
  live: Live;
  others: Person[];
  enter: () => void;
}

export function FieldBox({ field, room, live, others, enter }: Props) {
  const stored = room.stored(field.id);
  const edit = room.view.edits[field.id];
  const here = others.filter((person) => person.field === field.id);
  const noteId = `${field.id}-note`;
  const standing = standingOf(edit, stored);
  const giveUp = () => {
    room.giveUp(field.id);
    document.getElementById(field.id)?.focus();
  };
  const keepMine = () => {
    room.keepMine(field.id);
    document.getElementById(field.id)?.focus();
  };
  return (
    <div
      className="field"
      data-field={field.id}
      data-standing={standing}
      data-locked={here.length > 0 || undefined}
      style={here[0] && personStyle(here[0].name)}
      onFocus={enter}
    >
      <div className="label">
        {field.kind === "money" ? <span className="name">{field.label}</span> : <label htmlFor={field.id}>{field.label}</label>}
        {here.length > 0 && <Lock people={here} />}
      </div>
      <Control
        field={field}
        value={edit ? edit.value : stored.value}
        change={(value) => room.type(field.id, value)}
        describedBy={noteId}
        isInvalid={isRefused(edit)}
      />
      <p id={noteId} className="note">
        <Note edit={edit} stored={stored} live={live} name={room.name} giveUp={giveUp} />
      </p>
      {isConflict(edit) && <ConflictPanel field={field} edit={edit} keepMine={keepMine} takeTheirs={giveUp} />}
    </div>
  );
}

function standingOf(edit: Edit | undefined, { version }: Stored): string {
  if (isConflict(edit)) return "conflict";
  if (isRefused(edit)) return "refused";
  return edit ? "waiting" : version > 0 ? "saved" : "empty";
}

/** Somebody else is in the field. That is told, and forbids nothing. */
function Lock({ people }: { people: Person[] }) {
  const [first, ...more] = people;
  return (
    <span className="lock" data-test="lock">
      <Avatar name={first?.name ?? ""} />
      {first?.name} {more.length > 0 ? `and ${more.length} more are` : "is"} in this field
    </span>
  );
}

/** When that was: the time of today, or the day. */
function when(at: string | number): string {
  const date = new Date(at);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? date.toLocaleTimeString([], { timeStyle: "short" }) : date.toLocaleDateString([], { dateStyle: "medium" });
}

interface NoteProps {
  edit: Edit | undefined;
  stored: Stored;
  live: Live;
  name: string;
  giveUp: () => void;
}

function Note({ edit, stored, live, name, giveUp }: NoteProps): ReactNode {
  if (isRefused(edit)) {
    return (
      <span className="problem" role="alert" data-test="refusal">
        Not saved: {edit.stopped.refused}{" "}
        <button className="plain" onClick={giveUp}>
          Put back what was there
        </button>
      </span>
    );
  }
  if (isConflict(edit)) return "Not saved: choose below.";
  if (edit) return live.id ? "Saving…" : "Kept here, and saved when the server is back.";
  if (stored.version === 0) return " ";
  return `${stored.by === name ? "You" : stored.by}, ${when(stored.at)}`;
}
