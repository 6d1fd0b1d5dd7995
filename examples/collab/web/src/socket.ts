// The one socket of the page, and the one hook by which the page uses it.

import { useEffect, useSyncExternalStore } from "react";
import { io } from "socket.io-client";
import { SERVER } from "./api";
import { type Person, Room, type RoomView } from "./room";

/** An answer has that long to come, and a connection to be made. */
const ANSWER_MS = 5_000;
const TICK_MS = 100;
/** Whom the server has put out or refused for now tries again after that. */
const REFUSED_MS = 3_000;
const PUT_OUT_MS = 500;
/** "Reconnected" is said for so long. */
const NEWS_MS = 4_000;

/** `off`: nobody is signed in. `expired`: the session is over, one has to sign in again. */
export type Status = "off" | "connecting" | "connected" | "reconnected" | "offline" | "refused" | "expired";

export interface Live {
  status: Status;
  /** Why it was refused. */
  why: string;
  /** It was connected before. */
  isAgain: boolean;
  transport: "polling" | "websocket" | undefined;
  /** The id of the socket. */
  id: string | undefined;
  room: RoomView | undefined;
}

/** The name of whoever is signed in. */
let who = "";

// A plan has few pages open at once: they may all come back soon.
const socket = io(SERVER, {
  autoConnect: false,
  withCredentials: true,
  timeout: ANSWER_MS,
  reconnectionDelay: 300,
  reconnectionDelayMax: 1_500,
  // The cookie may be that of somebody else by now, who has signed in at another tab.
  auth: (give: (auth: object) => void) => give({ name: who }),
});

let live: Live = { status: "off", why: "", isAgain: false, transport: undefined, id: undefined, room: undefined };
let room: Room | undefined;
/** The rooms that were left, until all that was typed in them is stored. */
const left = new Set<Room>();
let timer: ReturnType<typeof setTimeout> | undefined;
let heardAt = 0;
const listeners = new Set<() => void>();

const rooms = () => (room ? [room, ...left] : [...left]);
const countUnsaved = () => rooms().reduce((sum, { view }) => sum + Object.keys(view.edits).length, 0);

/** Notes how it stands, and tells the page. */
function tell(news: Partial<Live> = {}) {
  const engine = socket.connected ? socket.io.engine : undefined;
  const transport = engine?.transport.name as Live["transport"];
  live = { ...live, transport, id: socket.id, room: room?.view, ...news };
  const { dataset } = document.documentElement;
  dataset.state = live.status;
  dataset.transport = transport ?? "";
  dataset.document = live.room?.document ?? "";
  dataset.unsaved = String(countUnsaved());
  for (const listener of listeners) listener();
}

function become(status: Status, why = "") {
  clearTimeout(timer);
  tell({ status, why });
}

function later(ms: number, act: () => void) {
  clearTimeout(timer);
  timer = setTimeout(act, ms);
}

/** Somebody of that name is signed in. */
export function connect(name: string) {
  forget((room) => room.name !== name);
  if (socket.connected && who === name) return;
  who = name;
  if (socket.connected) socket.disconnect();
  become("connecting");
  socket.connect();
}

/** Nobody is, any more. */
export function disconnect(status: "off" | "expired" = "off") {
  forget(() => true);
  become(status);
  tell({ isAgain: false });
  socket.disconnect();
}

/** Ends the connection and makes another: for one that looks alive and is not. */
function renew() {
  become("connecting");
  socket.disconnect().connect();
}

async function request(event: string, argument: object): Promise<unknown> {
  const [askedAt, connection] = [performance.now(), socket.id];
  try {
    return await socket.timeout(ANSWER_MS).emitWithAck(event, argument);
  } catch (error) {
    // Not even a heartbeat: the server may have gone without a word, in the middle of a change of transports.
    if (socket.connected && socket.id === connection && heardAt < askedAt) renew();
    throw error;
  }
}

const wire = {
  get id() {
    return socket.id;
  },
  isConnected: () => socket.connected,
  request,
  expired: () => disconnect("expired"),
};

socket.on("connect", () => {
  become(live.isAgain ? "reconnected" : "connected");
  tell({ isAgain: true });
  later(NEWS_MS, () => become("connected"));
  for (const room of rooms()) room.connected();
});

socket.on("disconnect", (reason) => {
  room?.disconnected();
  if (reason === "io client disconnect") return tell();
  become("connecting");
  // Whom the server has put out does not come back by itself.
  if (!socket.active) later(PUT_OUT_MS, () => socket.connect());
});

socket.on("connect_error", (error: Error & { data?: { code?: string } }) => {
  if (error.data?.code === "no_session") return disconnect("expired");
  if (socket.active) return become("offline");
  become("refused", error.message);
  later(REFUSED_MS, () => socket.connect());
});

socket.on("session-expired", () => disconnect("expired"));

socket.on("changed", (change: { room: string; version: number }) => {
  if (change.room === room?.state) room.changed(change.version);
});

socket.on("presence", (presence: { room: string; people: Person[] }) => {
  if (presence.room === room?.state) room.presence(presence.people);
});

socket.io.on("open", () => {
  const { engine } = socket.io;
  const heard = () => (heardAt = performance.now());
  engine.on("packet", heard);
  engine.on("upgrade", () => tell());
  heard();
});

setInterval(() => {
  for (const room of rooms()) room.tick();
  forget((room) => !room.isUnsaved);
}, TICK_MS);

addEventListener("beforeunload", (event) => {
  for (const room of rooms()) room.hurry();
  if (countUnsaved() > 0) event.preventDefault();
});

/** Sends what was typed, and waits until it is stored, for as long as an answer may take. Whether it is. */
export async function isSaved(): Promise<boolean> {
  for (const room of rooms()) room.hurry();
  const until = performance.now() + ANSWER_MS;
  const isUnsaved = () => rooms().some((room) => room.isUnsaved);
  while (isUnsaved() && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  return !isUnsaved();
}

/** Of the rooms that were left, these have nothing more to do. What is kept of them is for whoever enters them next. */
function forget(isOver: (room: Room) => boolean) {
  const over = [...left].filter(isOver);
  for (const room of over) {
    room.close();
    left.delete(room);
  }
  if (over.length > 0) tell();
}

/** Enters the room of a document, and leaves the one before. */
function enter(state: string, name: string): Room {
  forget((room) => room.state === state);
  room = new Room(state, name, wire, () => tell());
  if (socket.connected) room.connected();
  tell();
  return room;
}

function leave(entered: Room) {
  entered.leave();
  // What somebody has typed is not sent in the name of the next.
  const isSignedIn = live.status !== "off" && live.status !== "expired";
  if (isSignedIn && entered.isUnsaved) left.add(entered);
  else entered.close();
  if (room !== entered) return;
  room = undefined;
  if (socket.connected) request("leave", { room: entered.state }).catch(() => {});
  tell();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** How the socket stands, and the document of that state, which it enters. Whoever is not in one gives none. */
export function useRoom(state?: string, name = ""): { live: Live; room: Room | undefined } {
  const now = useSyncExternalStore(subscribe, () => live);
  useEffect(() => {
    if (state === undefined) return;
    const entered = enter(state, name);
    return () => leave(entered);
  }, [state, name]);
  return { live: now, room: now.room?.state === state ? room : undefined };
}
