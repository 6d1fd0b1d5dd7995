// What the server speaks of. Ids are strings of increasing numbers.

export interface Person {
  handle: string;
  name: string;
  followers: number;
  following: number;
  isFollowed: boolean;
  followsMe: boolean;
}

export type Author = Pick<Person, "handle" | "name">;

export interface Post {
  id: string;
  author: Author;
  text: string;
  at: number | string;
}

/** `from` and `to` are handles. */
export interface Message {
  id: string;
  chat: string;
  from: string;
  to: string;
  text: string;
  at: number | string;
  key: string;
}

export interface Chat {
  id: string;
  with: Author;
  last: Message | null;
  unread: number;
}

/** What this page has written, and has no answer for yet. */
export interface Waiting {
  key: string;
  /** The handle of whom a message is for; a post is for all. */
  to?: string;
  /** The newest post when this one was written: if it is stored, its id is greater. */
  after?: string;
  text: string;
  /** Why it is not stored, and will not be. */
  error?: string;
}

/** The server counts to 100. */
export const upTo99 = (count: number) => (count > 99 ? "99+" : String(count));

export const byId = (a: { id: string }, b: { id: string }) => Number(a.id) - Number(b.id);

/** Adds what is not there yet, in the order of ids: each is shown once, whichever way it came by. */
export function merge<T extends { id: string }>(list: readonly T[], more: readonly T[]): T[] {
  const all = new Map([...list, ...more].map((one) => [one.id, one]));
  return [...all.values()].sort(byId);
}
