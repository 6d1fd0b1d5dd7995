// What was typed here and is not known to be stored: at most one edit of a field. It knows neither React
// nor the socket, so it can be tested, and read, alone.
//
// The rule that lets nothing get stuck: an edit has a time at which it is to be sent (again), unless it is
// stopped, which the page shows and somebody here decides. That it is under way is no flag that someone has
// to take back, but a time a few seconds ahead. Whatever becomes of the answer, that time comes.
//
// An edit that was sent may be stored, even if no answer came. So it is repeated as it was, with its key,
// until there is an answer; what was typed since then follows as an edit of its own.

import { isSame, type Stored, type Value } from "./form";

/** Typing has stopped for so long when an edit is sent. */
export const PAUSE_MS = 400;
/** An edit that was sent is due again by then, even if nobody says that its answer is late. */
export const OVERDUE_MS = 6_000;
/** After an error that passes. */
const RETRY_MS = 1_000;
/** Errors that pass; others are for somebody here to read. */
const PASSING = ["rate_limited", "internal_error", "no_session"];

/** What was sent, and is repeated as it was. */
export interface Sent {
  key: string;
  value: Value;
  base: number;
}

export interface Edit {
  field: string;
  /** What was typed last. */
  value: Value;
  /** The version of the field that it was typed over. */
  base: number;
  /** When it is to be sent, or sent again. */
  at: number;
  sent?: Sent;
  /** It waits for a decision: somebody else was faster, or the server does not take such a value. */
  stopped?: { theirs: Stored } | { refused: string };
  /** It puts back what the edit of this version had replaced. */
  undoes?: number;
}

/** By field. */
export type Edits = Readonly<Record<string, Edit>>;
export type Fields = Readonly<Record<string, Stored>>;

export type Answer =
  | { ok: { field: string; version: number; before: Value } }
  | { error: { code: string; message: string; data?: unknown } };

export function isConflict(edit: Edit | undefined): edit is Edit & { stopped: { theirs: Stored } } {
  return edit?.stopped !== undefined && "theirs" in edit.stopped;
}

export function isRefused(edit: Edit | undefined): edit is Edit & { stopped: { refused: string } } {
  return edit?.stopped !== undefined && "refused" in edit.stopped;
}

function put(edits: Edits, edit: Edit): Edits {
  return { ...edits, [edit.field]: edit };
}

function drop(edits: Edits, field: string): Edits {
  const { [field]: _, ...others } = edits;
  return others;
}

/** Somebody here has typed; `stored` is what was in the field for them. */
export function typed(edits: Edits, field: string, value: Value, stored: { value: Value; version: number }, now: number): Edits {
  const edit = edits[field];
  if (!edit) {
    return isSame(value, stored.value) ? edits : put(edits, { field, value, base: stored.version, at: now + PAUSE_MS });
  }
  // Under their eyes is what somebody else has written: it stays a conflict until they choose.
  if (isConflict(edit)) return put(edits, { ...edit, value });
  if (!edit.sent && isSame(value, stored.value) && edit.base === stored.version) return drop(edits, field);
  const at = edit.sent ? edit.at : now + PAUSE_MS;
  return put(edits, { ...edit, value, at, stopped: undefined, undoes: edit.sent && edit.undoes });
}

/** Puts back what an edit had replaced, where nobody has written since. */
export function undone(edits: Edits, field: string, before: Value, version: number, now: number): Edits {
  return edits[field] ? edits : put(edits, { field, value: before, base: version, at: now, undoes: version });
}

/** Somebody goes away: what waits until typing has stopped is due. */
export function hurried(edits: Edits, now: number): Edits {
  return Object.values(edits).reduce((all, edit) => (edit.sent || edit.stopped ? all : put(all, { ...edit, at: now })), edits);
}

/** Some are not stored yet, and will be without anybody's decision. */
export function areWaiting(edits: Edits): boolean {
  return Object.values(edits).some(({ stopped }) => !stopped);
}

/** The edits that are to be sent now, and how they stand when that is done. */
export function toSend(edits: Edits, now: number, newKey: () => string): { edits: Edits; send: (Sent & { field: string })[] } {
  const due = Object.values(edits).filter(({ stopped, at }) => !stopped && at <= now);
  const send = due.map((edit) => {
    const sent = edit.sent ?? { key: newKey(), value: edit.value, base: edit.base };
    edits = put(edits, { ...edit, sent, at: now + OVERDUE_MS });
    return { field: edit.field, ...sent };
  });
  return { edits, send };
}

/** The server has answered the edit of that field and key. */
export function answered(edits: Edits, field: string, key: string, answer: Answer, stored: Stored, now: number): Edits {
  const edit = edits[field];
  // An answer to what is over: the same edit was sent twice, and answered twice.
  if (!edit?.sent || edit.sent.key !== key) return edits;
  if ("ok" in answer) return wasStored(edits, edit, edit.sent, answer.ok.version, now);
  const { code, message, data } = answer.error;
  if (code === "conflict" && isStored(data)) {
    const theirs = stored.version > data.version ? stored : data;
    return conflicts(edits, edit, theirs);
  }
  if (PASSING.includes(code)) return put(edits, { ...edit, at: now + RETRY_MS });
  const free = { ...edit, sent: undefined, undoes: undefined };
  // What was typed since then may be better.
  if (!isSame(edit.value, edit.sent.value)) return put(edits, { ...free, at: now + PAUSE_MS });
  return put(edits, { ...free, stopped: { refused: message } });
}

export function isStored(data: unknown): data is Stored {
  return typeof data === "object" && data !== null && "value" in data && typeof (data as Stored).version === "number";
}

function wasStored(edits: Edits, edit: Edit, sent: Sent, version: number, now: number): Edits {
  if (isSame(edit.value, sent.value)) return drop(edits, edit.field);
  // If somebody has written over it already, the server will say so.
  return put(edits, { field: edit.field, value: edit.value, base: version, at: now + PAUSE_MS });
}

function conflicts(edits: Edits, edit: Edit, theirs: Stored): Edits {
  // Both have written the same.
  if (isSame(edit.value, theirs.value)) return drop(edits, edit.field);
  return put(edits, { ...edit, sent: undefined, undoes: undefined, stopped: { theirs } });
}

/** Nothing has come for the edit of that field and key: it is due again. */
export function unanswered(edits: Edits, field: string, key: string, now: number): Edits {
  const edit = edits[field];
  return edit?.sent?.key === key ? put(edits, { ...edit, at: now }) : edits;
}

/** There is a new connection. No answer to what was sent through the old one can come. */
export function reconnected(edits: Edits, now: number): Edits {
  return Object.values(edits).reduce((all, edit) => (edit.sent ? put(all, { ...edit, at: now }) : all), edits);
}

/** These fields are as somebody has stored them: what was typed over an older version is a conflict. */
export function changed(edits: Edits, fields: Fields): Edits {
  return Object.entries(fields).reduce((all, [field, theirs]) => {
    const edit = all[field];
    // Of what was sent the answer tells: theirs may have been written over it.
    if (!edit || edit.sent || theirs.version <= edit.base) return all;
    if (isConflict(edit) && theirs.version <= edit.stopped.theirs.version) return all;
    return conflicts(all, edit, theirs);
  }, edits);
}

/** Of two that conflict, the one here is wanted: it takes the place of theirs. */
export function keepMine(edits: Edits, field: string, now: number): Edits {
  const edit = edits[field];
  if (!isConflict(edit)) return edits;
  return put(edits, { ...edit, base: edit.stopped.theirs.version, at: now, stopped: undefined });
}

/** What is here is given up: theirs is in the field, or what was there before. */
export function giveUp(edits: Edits, field: string): Edits {
  return edits[field]?.stopped ? drop(edits, field) : edits;
}

/** As they are kept over a reload. */
export function toKeep(edits: Edits): string {
  return JSON.stringify(Object.values(edits));
}

/** Those that an earlier page has kept. Each is due: no answer can come to a page that is gone. */
export function kept(text: string | null, now: number): Edits {
  try {
    const list: unknown = JSON.parse(text ?? "[]");
    if (!Array.isArray(list)) return {};
    const edits = list.filter((edit): edit is Edit => typeof edit?.field === "string" && typeof edit.base === "number" && "value" in edit);
    return Object.fromEntries(edits.map((edit) => [edit.field, { ...edit, at: now }]));
  } catch {
    return {};
  }
}
