// Two have written in the same field: both are shown, and one is chosen.

import type { Edit } from "./edits";
import { type Field, type Stored, type Value, amount, sum, told } from "./form";

interface Props {
  field: Field;
  edit: Edit & { stopped: { theirs: Stored } };
  keepMine: () => void;
  takeTheirs: () => void;
}

export function ConflictPanel({ field, edit, keepMine, takeTheirs }: Props) {
  const { theirs } = edit.stopped;
  return (
    <div className="conflict" role="group" aria-label={`Which one stays in ${field.label}?`} data-test="conflict">
      <Side title="Yours" value={edit.value} action="Keep mine" choose={keepMine} />
      <Side title={`Theirs, by ${theirs.by}`} value={theirs.value} action="Take theirs" choose={takeTheirs} />
    </div>
  );
}

function Side({ title, value, action, choose }: { title: string; value: Value; action: string; choose: () => void }) {
  const total = Array.isArray(value) && value.length > 1 ? sum(value) : undefined;
  return (
    <div>
      <h3>{title}</h3>
      <p className="version">
        {told(value)}
        {total !== undefined && `\nSum: ${amount(total)}`}
      </p>
      <button onClick={choose}>{action}</button>
    </div>
  );
}
