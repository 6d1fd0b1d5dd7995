// Requests: GraphQL, and the two routes that begin and end a session.

/** How long an answer may take. */
const ANSWER_MS = 10_000;

/**
 * The server's refusal, with its code; `offline` where there was no answer, `unauthenticated` without a session, and
 * `other_session` where another tab has begun a new one in this browser.
 */
export class Refusal extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }

  /** Whether the same may be tried again. */
  get isTemporary() {
    return ["offline", "rate_limited", "busy", "internal_error"].includes(this.code);
  }

  /** Whether the session of this page is over. */
  get isOver() {
    return ["unauthenticated", "other_session"].includes(this.code);
  }
}

interface Answer {
  data?: unknown;
  errors?: { message: string; extensions?: { code?: string } }[];
  error?: { code: string; message: string };
}

async function post(path: string, body: object, session?: string): Promise<Answer> {
  const offline = new Refusal("offline", "The server does not answer.");
  const signal = AbortSignal.timeout(ANSWER_MS);
  const headers = { "content-type": "application/json", ...(session !== undefined && { "x-session": session }) };
  const request = fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
  const response = await request.catch(() => Promise.reject(offline));
  if (response.status === 204) return {};
  const answer: Answer | undefined = await response.json().catch(() => undefined);
  if (answer?.error) throw new Refusal(answer.error.code, answer.error.message);
  // Without a body of its own: what stands between, or a server that is about to end.
  if (!answer) throw response.status === 429 ? new Refusal("rate_limited", "Too much at once.") : offline;
  return answer;
}

/** Asks by GraphQL, as that session only. */
export async function ask<T>(session: string, query: string, variables: object = {}): Promise<T> {
  const { data, errors } = await post("/graphql", { query, variables }, session);
  const first = errors?.[0];
  if (first) throw new Refusal(first.extensions?.code ?? "refused", first.message);
  return data as T;
}

export const signUp = (handle: string, name: string, password: string) =>
  post("/api/signup", { handle, name, password });
export const logIn = (handle: string, password: string) => post("/api/login", { handle, password });
export const logOut = (session: string) => post("/api/logout", {}, session);
