// The form: its sections and their fields, of the file that the server reads, too.

import definition from "../../form.json";

export interface Row {
  item: string;
  /** A text is what does not read as an amount: the server says so. */
  cents: number | string;
}

/** What a field holds. What somebody typed that is no such value is a text, which the server refuses. */
export type Value = string | number | null | Row[];

export interface Field {
  id: string;
  label: string;
  kind: "text" | "number" | "date" | "choice" | "money";
  /** Characters of a text, or the greatest number. */
  max?: number;
  min?: number;
  options?: string[];
  rows_max?: number;
}

export interface Section {
  id: string;
  title: string;
  help: string;
  fields: Field[];
}

/** A field as the server has it. */
export interface Stored {
  value: Value;
  /** The version of the document that the last edit of this field made. */
  version: number;
  by: string;
  at: string | number;
}

export const FORM = definition as { title: string; sections: Section[] };

export const FIELDS = new Map(FORM.sections.flatMap(({ fields }) => fields).map((field) => [field.id, field]));

export function sectionOf(field: string): Section | undefined {
  return FORM.sections.find(({ fields }) => fields.some(({ id }) => id === field));
}

/** What a field holds before anybody has written in it. */
export function emptyValue(field: Field): Value {
  return field.kind === "money" ? [] : field.kind === "number" ? null : "";
}

export function isEmpty(value: Value): boolean {
  return value === null || value === "" || (Array.isArray(value) && value.length === 0);
}

export function isSame(one: Value, other: Value): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

const AMOUNT = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export function amount(cents: number): string {
  return AMOUNT.format(cents / 100);
}

/** The cents of what was typed, or that text itself where it is no amount. */
export function cents(typed: string): number | string {
  const plain = typed.replace(/[$,\s]/g, "");
  if (plain === "") return 0;
  return /^-?\d{1,12}(\.\d{0,2})?$/.test(plain) ? Math.round(Number(plain) * 100) : typed;
}

/** The sum of a money table, or undefined where a row of it is no amount. */
export function sum(rows: Row[]): number | undefined {
  return rows.reduce<number | undefined>((total, { cents }) => (total === undefined || typeof cents === "string" ? undefined : total + cents), 0);
}

/** A value as people read it. */
export function told(value: Value): string {
  if (isEmpty(value)) return "nothing";
  if (Array.isArray(value)) return value.map(({ item, cents }) => `${item || "(no name)"}: ${typeof cents === "number" ? amount(cents) : cents}`).join("\n");
  return typeof value === "number" ? value.toLocaleString("en-US") : String(value);
}
