// What one types in, by the kind of the field.

import { type ChangeEvent, useState } from "react";
import { type Field, type Value, isSame } from "./form";
import { MoneyTable } from "./MoneyTable";

/** A text with more room than this has several lines. */
const LINE_MAX = 120;

interface Props {
  field: Field;
  value: Value;
  change: (value: Value) => void;
  describedBy: string;
  isInvalid: boolean;
}

export function Control({ field, value, change, describedBy, isInvalid }: Props) {
  const shared = { id: field.id, "aria-describedby": describedBy, "aria-invalid": isInvalid || undefined };
  const text = typeof value === "string" ? value : "";
  const typed = (event: ChangeEvent<HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement>) => change(event.target.value);
  switch (field.kind) {
    case "money":
      return <MoneyTable field={field} value={value} change={change} describedBy={describedBy} isInvalid={isInvalid} />;
    case "number":
      return <Typed {...shared} className="number" inputMode="numeric" value={value} format={numberText} parse={number} change={change} />;
    case "date":
      return <input {...shared} type="date" value={text} onChange={typed} />;
    case "choice":
      return (
        <select {...shared} value={text} onChange={typed}>
          <option value="">Not chosen</option>
          {field.options?.map((option) => (
            <option key={option}>{option}</option>
          ))}
        </select>
      );
    case "text":
      return (field.max ?? 0) > LINE_MAX ? (
        <textarea {...shared} rows={3} value={text} onChange={typed} />
      ) : (
        <input {...shared} value={text} onChange={typed} autoComplete="off" />
      );
  }
}

/** The number that was typed, or that text itself where it is none: the server says so. */
function number(text: string): Value {
  const plain = text.replace(/[,\s]/g, "");
  if (plain === "") return null;
  return /^-?\d{1,15}(\.\d*)?$/.test(plain) ? Number(plain) : text;
}

function numberText(value: Value): string {
  return typeof value === "number" ? value.toLocaleString("en-US") : String(value ?? "");
}

interface TypedProps<T extends Value> {
  id?: string;
  className?: string;
  inputMode?: "numeric" | "decimal";
  placeholder?: string;
  "aria-label"?: string;
  "aria-describedby"?: string;
  "aria-invalid"?: boolean;
  value: T;
  format: (value: T) => string;
  parse: (text: string) => T;
  change: (value: T) => void;
}

/** An input of what is no text. While one types it shows what was typed, then how that is written. */
export function Typed<T extends Value>({ value, format, parse, change, ...input }: TypedProps<T>) {
  const [text, setText] = useState(() => format(value));
  const shown = isSame(parse(text), value) ? text : format(value);
  return (
    <input
      {...input}
      autoComplete="off"
      value={shown}
      onChange={(event) => {
        setText(event.target.value);
        change(parse(event.target.value));
      }}
      onBlur={() => setText(format(value))}
    />
  );
}
