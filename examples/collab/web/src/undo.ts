// The edits of this page that can still be undone.

import type { Edits, Fields } from "./edits";
import type { Value } from "./form";

const UNDO_MAX = 50;

export interface Done {
  field: string;
  /** The version that it made, and the one that it replaced. */
  version: number;
  base: number;
  before: Value;
}

/** Notes an edit that was stored. One that undoes another takes its place: what was before that is before it. */
export function noted(done: readonly Done[], edit: Done, undoes: number | undefined): readonly Done[] {
  if (undoes === undefined) {
    if (done.some(({ version }) => version === edit.version)) return done;
    return [...done, edit].slice(-UNDO_MAX);
  }
  const undone = done.find(({ version }) => version === undoes);
  return done
    .filter((one) => one !== undone)
    .map((one) => (one.field === edit.field && one.version === undone?.base ? { ...one, version: edit.version } : one));
}

/** The last edit of this page that is still what its field holds. */
export function undoable(done: readonly Done[], fields: Fields, edits: Edits): Done | undefined {
  return done.findLast(({ field, version }) => fields[field]?.version === version && !edits[field]);
}
