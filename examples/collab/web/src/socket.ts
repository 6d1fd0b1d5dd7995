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

// A plan has few pages open at once: they may all come back soon.
const socket = io(SERVER, {
  autoConnect: false,
  withCredentials: true,
  timeout: ANSWER_MS,
  reconnectionDelay: 300,
  reconnectionDelayMax: 1_500,
});

let live: Live = { status: "off", why: "", isAgain: false, transport: undefined, id: undefined, room: undefined };
let room: Room | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;
let heardAt = 0;
const listeners = new Set<() => void>();

/** Notes how it stands, and tells the page. */
function tell(news: Partial<Live> = {}) {
  const engine = socket.connected ? socket.io.engine : undefined;
  const transport = engine?.transport.name as Live["transport"];
  live = { ...live, transport, id: socket.id, room: room?.view, ...news };
  const { dataset } = document.documentElement;
  dataset.state = live.status;
  dataset.transport = transport ?? "";
  dataset.document = live.room?.document ?? "";
  dataset.unsaved = String(Object.keys(live.room?.edits ?? {}).length);
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

/** Somebody is signed in. */
export function connect() {
  become("connecting");
  socket.connect();
}

/** Nobody is, any more. */
export function disconnect(status: "off" | "expired" = "off") {
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
  room?.connected();
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

setInterval(() => room?.tick(), TICK_MS);

/** Enters the room of a document, and leaves the one before. */
function enter(state: string, name: string): Room {
  room = new Room(state, name, wire, () => tell());
  if (socket.connected) room.connected();
  tell();
  return room;
}

function leave(left: Room) {
  left.close();
  if (room !== left) return;
  room = undefined;
  if (socket.connected) request("leave", { room: left.state }).catch(() => {});
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
