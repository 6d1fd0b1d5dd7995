// One document while it is open: what the server has of it, what was typed here, and who else is in it.
//
// All that is to be done has a time: joining, asking for changes, sending edits. `tick` does what is due,
// and is called every moment; so whatever becomes of an answer, the next try comes by itself.

import { ApiError, changes } from "./api";
import * as edits from "./edits";
import type { Answer, Edits, Fields } from "./edits";
import { FIELDS, emptyValue, type Stored, type Value } from "./form";
import { type Done, noted, undoable } from "./undo";

/** Changes are asked for at most that often. */
const JOIN_FETCHES_MS = 300;
/** The ack of an own edit comes that soon after its announcement: it need not be asked for. */
const ECHO_MS = 60;
const RETRY_MS = 1_000;
/** What has begun is begun again by then, even if nobody says how it ended. */
const OVERDUE_MS = 10_000;
/** Whoever goes through the fields by the tab key tells where they stay. */
const FOCUS_MS = 200;

export interface Person {
  id: string;
  name: string;
  section: string | null;
  field: string | null;
}

/** The document as the page shows it. */
export interface RoomView {
  state: string;
  /** `empty`: nobody has created it. */
  document: "loading" | "empty" | "ready" | "refused";
  /** Why it was refused, or could not be created. */
  problem: string;
  fields: Fields;
  edits: Edits;
  people: Person[];
  undo: Done | undefined;
}

type Reply<T> = { ok: T } | { error: { code: string; message: string } };

/** What the socket does for a room. An answer that does not come is an error. */
export interface Wire {
  readonly id: string | undefined;
  isConnected(): boolean;
  request(event: string, argument: object): Promise<unknown>;
  expired(): void;
}

export class Room {
  view: RoomView;
  /** All edits up to this version are here; -1 when nothing is. */
  #seen = -1;
  /** The greatest version that was heard of. */
  #heard = -1;
  /** Versions that acks have told of, beyond `#seen`. */
  #own = new Set<number>();
  #done: readonly Done[] = [];
  #isClosed = false;
  #isLeft = false;
  #isJoined = false;
  #joinAt = 0;
  #fetchAt = 0;
  #fetchedAt = -Infinity;
  #focusAt = Infinity;
  #focus: { section: string | null; field: string | null } = { section: null, field: null };

  constructor(
    readonly state: string,
    readonly name: string,
    readonly wire: Wire,
    readonly tell: () => void,
  ) {
    const view = { document: "loading", problem: "", fields: {}, people: [], undo: undefined } as const;
    this.view = { ...view, people: [], state, edits: edits.kept(read(this.#place), performance.now()) };
  }

  get #place() {
    return `edits of ${this.name} in ${this.state}`;
  }

  /** The socket has a new connection: the room is entered anew, and what has no answer is sent again. */
  connected() {
    const now = performance.now();
    this.#isJoined = false;
    this.#joinAt = now;
    const { document } = this.view;
    // What was refused may be allowed by now.
    this.#show({
      document: document === "refused" ? "loading" : document,
      edits: edits.reconnected(this.view.edits, now),
    });
    this.tick();
  }

  /** Something was typed that will be stored. */
  get isUnsaved(): boolean {
    return this.view.document === "ready" && edits.areWaiting(this.view.edits);
  }

  /** Sends what was typed, without waiting until typing has stopped. */
  hurry() {
    this.#show({ edits: edits.hurried(this.view.edits, performance.now()) });
    this.tick();
  }

  /** Somebody here goes away from it. Until all that they have typed is stored, it does that and nothing else. */
  leave() {
    this.#isLeft = true;
    this.hurry();
  }

  /** Nobody looks at it any more. What is kept belongs to the one who enters it next. */
  close() {
    this.#isClosed = true;
  }

  disconnected() {
    this.#isJoined = false;
    this.#show({ people: [] });
  }

  /** Does what is due. */
  tick() {
    if (!this.wire.isConnected() || this.view.document === "refused") return;
    const now = performance.now();
    if (!this.#isLeft) this.#follow(now);
    if (this.view.document === "ready") this.#send(now);
  }

  #follow(now: number) {
    if (!this.#isJoined && this.#joinAt <= now) void this.#join(now);
    if (this.#isJoined && this.#seen < this.#heard && this.#fetchAt <= now) void this.#fetch(now);
    if (this.#isJoined && this.#focusAt <= now) this.#tellFocus();
  }

  async #join(now: number) {
    this.#joinAt = now + OVERDUE_MS;
    const [connection, seen] = [this.wire.id, this.#seen];
    const reply = await this.wire.request("join", { room: this.state }).catch(() => undefined);
    if (connection !== this.wire.id) return;
    const answer = reply as Reply<{ version: number | null; people: Person[] }> | undefined;
    if (answer && "ok" in answer) {
      this.#isJoined = true;
      this.#focusAt = performance.now();
      this.#show({ people: answer.ok.people });
      this.#begin(answer.ok.version, seen);
    } else if (answer?.error.code === "no_session") {
      this.wire.expired();
    } else if (answer?.error.code === "no_permission") {
      this.#show({ document: "refused", problem: answer.error.message });
    } else {
      this.#joinAt = performance.now() + RETRY_MS;
    }
  }

  /** Looks what the document has become, of which that version was here when it was asked for; `null`: it is not there. */
  #begin(version: number | null, seen: number) {
    // Not the document that was here: its data were put back to an older day.
    if ((version ?? -1) < seen) {
      this.#seen = this.#heard = -1;
      this.#own.clear();
      this.#show({ document: "loading", fields: {} });
    }
    if (version === null) this.#show({ document: "empty" });
    else this.changed(version);
  }

  /** Somebody has changed the document: it has this version now. */
  changed(version: number) {
    const now = performance.now();
    if (version <= this.#heard) return;
    if (this.#seen >= this.#heard) this.#fetchAt = Math.max(now + ECHO_MS, this.#fetchedAt + JOIN_FETCHES_MS);
    this.#heard = version;
  }

  async #fetch(now: number) {
    this.#fetchAt = now + OVERDUE_MS;
    this.#fetchedAt = now;
    const [state, since] = [this.state, Math.max(this.#seen, 0)];
    try {
      const { version, fields } = await changes(state, since);
      this.#fetchAt = now + JOIN_FETCHES_MS;
      // Since then it has begun anew, or has got further by itself.
      if (version < this.#seen || since > Math.max(this.#seen, 0)) return;
      this.#isSeen(version);
      this.#take(fields);
      this.#show({ document: "ready", problem: "" });
    } catch (error) {
      this.#fetchAt = performance.now() + RETRY_MS;
      this.#failed(error);
    }
  }

  #failed(error: unknown) {
    const { status, message } = error instanceof ApiError ? error : new ApiError(0, "", String(error));
    if (status === 401) this.wire.expired();
    else if (status === 403) this.#show({ document: "refused", problem: message });
    else if (status === 404) this.#show({ document: "empty" });
  }

  /** Everything up to this version is here, and what this page itself made right behind it. */
  #isSeen(version: number) {
    this.#seen = Math.max(this.#seen, version);
    this.#heard = Math.max(this.#heard, this.#seen);
    for (const own of [...this.#own].sort((a, b) => a - b)) {
      if (own === this.#seen + 1) this.#seen = own;
      if (own <= this.#seen) this.#own.delete(own);
    }
  }

  #take(fields: Fields) {
    const news = Object.fromEntries(
      Object.entries(fields).filter(([id, { version }]) => FIELDS.has(id) && version > (this.view.fields[id]?.version ?? 0)),
    );
    this.#show({
      fields: { ...this.view.fields, ...news },
      edits: edits.changed(this.view.edits, news),
    });
  }

  /** The document is created, if nobody has done so before. */
  async create(key: string) {
    this.#show({ problem: "" });
    const reply = await this.wire.request("createAPD", { state: this.state, key }).catch(() => undefined);
    const answer = reply as Reply<{ version: number }> | undefined;
    if (answer && "ok" in answer) this.changed(answer.ok.version);
    else this.#show({ problem: answer?.error.message ?? "The server did not answer. Try again." });
  }

  // Edits.

  /** What a field holds, for somebody who types in it. */
  stored(field: string): Stored {
    const definition = FIELDS.get(field);
    return this.view.fields[field] ?? { value: definition ? emptyValue(definition) : "", version: 0, by: "", at: "" };
  }

  type(field: string, value: Value) {
    this.#show({ edits: edits.typed(this.view.edits, field, value, this.stored(field), performance.now()) });
  }

  keepMine(field: string) {
    this.#show({ edits: edits.keepMine(this.view.edits, field, performance.now()) });
    this.tick();
  }

  giveUp(field: string) {
    this.#show({ edits: edits.giveUp(this.view.edits, field) });
  }

  undo() {
    const { undo } = this.view;
    if (!undo) return;
    this.#show({ edits: edits.undone(this.view.edits, undo.field, undo.before, undo.version, performance.now()) });
    this.tick();
  }

  #send(now: number) {
    const { edits: next, send } = edits.toSend(this.view.edits, now, newKey);
    if (send.length === 0) return;
    // First it is kept as sent, then it is sent: a page that comes back repeats it with the same key.
    this.#show({ edits: next });
    for (const { field, key, value, base } of send) {
      this.wire.request("editAPD", { state: this.state, field, value, base, key }).then(
        (answer) => this.#answered(field, key, answer),
        () => this.#show({ edits: edits.unanswered(this.view.edits, field, key, performance.now()) }),
      );
    }
  }

  #answered(field: string, key: string, reply: unknown) {
    const edit = this.view.edits[field];
    if (edit?.sent?.key !== key) return;
    const answer = asAnswer(reply);
    if ("ok" in answer) {
      const { version, before } = answer.ok;
      const { value, base } = edit.sent;
      this.#done = noted(this.#done, { field, version, base, before }, edit.undoes);
      this.#own.add(version);
      this.#knows(field, { value, version, by: this.name, at: new Date().toISOString() });
    } else if (answer.error.code === "conflict" && edits.isStored(answer.error.data)) {
      this.#knows(field, answer.error.data);
    } else if (answer.error.code === "no_session") {
      this.wire.expired();
    }
    const stored = this.stored(field);
    this.#show({ edits: edits.answered(this.view.edits, field, key, answer, stored, performance.now()) });
  }

  /** An answer has told what a field holds. */
  #knows(field: string, stored: Stored) {
    this.changed(stored.version);
    this.#isSeen(this.#seen);
    this.#take({ [field]: stored });
  }

  // People.

  presence(people: Person[]) {
    this.#show({ people });
  }

  /** Somebody here has gone to a section, or into a field of it. */
  focus(section: string | null, field: string | null) {
    if (section === this.#focus.section && field === this.#focus.field) return;
    this.#focus = { section, field };
    this.#focusAt = performance.now() + FOCUS_MS;
  }

  #tellFocus() {
    this.#focusAt = Infinity;
    this.wire.request("focus", this.#focus).catch(() => (this.#focusAt = performance.now() + RETRY_MS));
  }

  // What the page shows of it.

  #show(news: Partial<RoomView>) {
    if (this.#isClosed) return;
    const before = this.view;
    const view = { ...before, ...news };
    view.undo = undoable(this.#done, view.fields, view.edits);
    this.view = view;
    if (view.edits !== before.edits) write(this.#place, edits.toKeep(view.edits));
    if ((Object.keys(view) as (keyof RoomView)[]).some((key) => view[key] !== before[key])) this.tell();
  }
}

/** An answer of the expected form, or an error that passes. */
function asAnswer(reply: unknown): Answer {
  const answer = reply as Partial<{ ok: { version?: unknown }; error: { code?: unknown; message?: unknown } }> | null;
  if (typeof answer?.ok?.version === "number") return answer as Answer;
  if (typeof answer?.error?.code === "string" && typeof answer.error.message === "string") return answer as Answer;
  return { error: { code: "internal_error", message: "The server answered what this page does not understand." } };
}

/** The name of an edit. (`crypto.randomUUID` is there on pages with TLS only.) */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function read(place: string): string | null {
  try {
    return sessionStorage.getItem(place);
  } catch {
    return null;
  }
}

function write(place: string, text: string) {
  try {
    sessionStorage.setItem(place, text);
  } catch {
    // Without storage it is kept for as long as the page is.
  }
}
