// Who else is in the plan, and where.

import type { CSSProperties } from "react";
import { FORM } from "./form";
import type { Person } from "./room";

const SHOWN_MAX = 12;

/** The same colour for the same name on all pages. */
function hue(name: string): number {
  return [...name].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 360, 7);
}

export function personStyle(name: string): CSSProperties {
  return { "--hue": hue(name) } as CSSProperties;
}

export function Avatar({ name }: { name: string }) {
  const initials = name
    .split(/\s+/)
    .slice(0, 2)
    .map((word) => [...word][0] ?? "")
    .join("")
    .toUpperCase();
  return (
    <span className="avatar" style={personStyle(name)} title={name} aria-hidden="true">
      {initials}
    </span>
  );
}

function where({ section }: Person): string {
  const title = FORM.sections.find(({ id }) => id === section)?.title;
  return title ? `is in ${title}` : "is here";
}

/** `me` is the own socket: without one nothing is known of others. */
export function People({ people, me }: { people: Person[]; me: string | undefined }) {
  const others = people.filter(({ id }) => id !== me);
  const shown = others.slice(0, SHOWN_MAX);
  return (
    <section className="people" aria-label="Who else is here">
      {others.length === 0 && <p className="quiet">{me ? "Nobody else is here now." : "While offline, others cannot be seen."}</p>}
      <ul>
        {shown.map((person) => (
          <li key={person.id} data-test="person">
            <Avatar name={person.name} />
            <span>
              <b>{person.name}</b> {where(person)}
            </span>
          </li>
        ))}
      </ul>
      {others.length > shown.length && <p className="quiet">and {others.length - shown.length} more</p>}
    </section>
  );
}
