// What the server tells by HTTP.

import type { Fields } from "./edits";

// In production the page comes from the server; a page from elsewhere is built with the address of it,
// and the server is told where it comes from (WEB_ORIGIN).
export const SERVER: string = import.meta.env.VITE_SERVER ?? "";

const ANSWER_MS = 8_000;

export class ApiError extends Error {
  constructor(
    /** 0 where there was no answer at all. */
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export interface Session {
  name: string;
  states: string[];
}

export interface StateEntry {
  state: string;
  name: string;
  created: boolean;
  version: number | null;
}

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const request: RequestInit = { method, credentials: "include", signal: AbortSignal.timeout(ANSWER_MS) };
  if (body !== undefined) {
    request.headers = { "content-type": "application/json" };
    request.body = JSON.stringify(body);
  }
  const answer = await fetch(SERVER + path, request).catch(() => undefined);
  if (!answer) throw new ApiError(0, "offline", "The server cannot be reached.");
  if (answer.status === 204) return undefined as T;
  const content = await answer.json().catch(() => undefined);
  if (answer.ok && content !== undefined) return content as T;
  const { code = "internal_error", message = `The server answered with ${answer.status}.` } = content?.error ?? {};
  throw new ApiError(answer.status, code, message);
}

export const session = () => call<Session>("GET", "/api/session");
export const signIn = (name: string, code: string) => call<Session>("POST", "/api/session", { name, code });
export const signOut = () => call<void>("DELETE", "/api/session");
export const states = () => call<{ states: StateEntry[] }>("GET", "/api/states").then(({ states }) => states);

/** The fields that were edited after that version, and the version that the document has with them. */
export const changes = (state: string, since: number) =>
  call<{ version: number; fields: Fields }>("GET", `/api/documents/${encodeURIComponent(state)}/changes?since=${since}`);
