// What must hold, whatever was done to a cluster. Each check gives faults: { text, kinds, about }, where `kinds` are
// those of the servers that it may come from, and `about` is the history around it.

const AROUND = 4;
const NEAR = 8_000;
/** A connection that lasts so long behind an event has brought whatever there was. */
const SETTLED = 10_000;

export const CHECKS = [
  "once", "order", "rooms", "all at the end", "servers live", "requests end", "sockets found",
  "recovery",
];

/** Of all that was sent, by its number: { from, to, n, at, ok, isQuiet, node }. */
export const keyOf = ({ from, n }) => `${from} ${n}`;

export function index(sent) {
  return new Map(sent.map((event) => [keyOf(event), event]));
}

/**
 * The life of a client in which it heard something. One that begins anew at another node may hear there what came to it
 * before: what was sent while the engine was away reaches its own node at once, and the others later.
 */
const lifeOf = (person, { connection }) => {
  const upto = person.connections.slice(0, connection + 1);
  return upto.filter(({ isRecovered, node }, i) => !isRecovered && node !== upto[i - 1]?.node).length;
};

export function heardOnce(run) {
  return run.people.flatMap((person) => {
    const seen = new Set();
    return person.heard.flatMap((event) => {
      const key = `${lifeOf(person, event)} ${keyOf(event)}`;
      if (!seen.has(key)) return void seen.add(key) ?? [];
      return [fault(run, person, event, `${person.name} heard ${nameOf(event)} twice`)];
    });
  });
}

export function inOrder(run) {
  return run.people.flatMap((person) => {
    const last = new Map();
    return person.heard.flatMap((event) => {
      // What a client says at two nodes, one of them cut off, is in no order.
      const at = run.index.get(keyOf(event))?.node.name;
      const way = `${lifeOf(person, event)} ${event.from} ${event.to} ${at}`;
      const before = last.get(way) ?? 0;
      last.set(way, Math.max(before, event.n));
      if (event.n >= before) return [];
      return [fault(run, person, event, `${person.name} heard ${nameOf(event)} behind ${before}`)];
    });
  });
}

export function inRooms(run) {
  return run.people.flatMap((person) => {
    const own = person.rooms.map((room) => `${person.nsp} ${room}`);
    const wrong = person.heard.filter((event) => !own.includes(event.to));
    return wrong.map((event) => fault(run, person, event, `${person.name} heard ${nameOf(event)}, and is in ${own}`));
  });
}

/** What was said in the quiet at the end and did not come to a member of its room. */
export function allAtTheEnd(run) {
  return missing(run, run.sent.filter(({ isQuiet }) => isQuiet)).map(({ event, person }) => {
    return fault(run, person, event, `${person.name} missed ${nameOf(event)} of ${event.node.name}`);
  });
}

export function missing(run, events) {
  return events.flatMap((event) => {
    const members = run.people.filter((person) => isMember(person, event));
    return members.filter((person) => !run.heardBy.get(person).has(keyOf(event))).map((person) => ({ event, person }));
  });
}

const isMember = (person, { to }) => person.rooms.some((room) => to === `${person.nsp} ${room}`);

/** What was sent amid faults to members whose connection lasted, and did not come: of all nodes, and of their own. */
export function lost(run) {
  const stayed = (person, { at }) =>
    person.connections.find(({ joined, until }) => joined < at && (until === undefined || until > at + SETTLED));
  const events = run.sent.filter(({ isQuiet, ok }) => !isQuiet && ok);
  const found = missing(run, events).map((one) => ({ ...one, node: stayed(one.person, one.event)?.node }));
  const all = found.filter(({ node }) => node !== undefined);
  return { all, local: all.filter(({ node, event }) => node === event.node) };
}

/**
 * Of each client that was recovered, what was said from when it was there first until it was recovered last, and did
 * not come to it. Only what had come to another node by then than that at which it was said: what dies with its node,
 * or waits there, was in no log. Clients of official servers are left out, which lose what overtakes on its way.
 */
export function recovery(run) {
  const travelled = new Map();
  for (const person of run.people) {
    for (const event of person.heard) {
      const sent = run.index.get(keyOf(event));
      const { node } = person.connections[event.connection];
      if (sent === undefined || sent.node === node) continue;
      travelled.set(keyOf(event), Math.min(event.at, travelled.get(keyOf(event)) ?? Infinity));
    }
  }
  const events = run.sent.filter((event) => travelled.has(keyOf(event)));
  return run.people.filter(({ node }) => node.kind === "rust").flatMap((person) => {
    return chains(person).flatMap(({ from, until }) => {
      const isDue = (event) => event.at > from && travelled.get(keyOf(event)) < until;
      const due = events.filter((event) => isMember(person, event) && isDue(event));
      const missed = due.filter((event) => !run.heardBy.get(person).has(keyOf(event)));
      return missed.map((event) => fault(run, person, event, `${person.name} was recovered without ${nameOf(event)}`));
    });
  });
}

/** Connections of one socket: from when it was in its rooms, until it was recovered last. */
function chains(person) {
  const found = [];
  for (const connection of person.connections) {
    if (!connection.isRecovered) found.push({ from: connection.joined ?? Infinity, until: 0 });
    else found.at(-1).until = connection.from;
  }
  return found.filter(({ until }) => until > 0);
}

/** How many connections behind the first were recovered, and how many clients were told that they begin anew. */
export function back(run) {
  const ours = run.people.filter(({ node }) => node.kind === "rust");
  const again = ours.flatMap(({ connections }) => connections.slice(1));
  const recovered = again.filter(({ isRecovered }) => isRecovered).length;
  return { recovered, anew: again.length - recovered };
}

export function requestsEnd(run) {
  return run.requests.filter(({ isLate }) => isLate).map(({ node, op, ms, at }) => ({
    text: `"${op}" at ${node.name} had no end in ${ms} ms`,
    kinds: [node.kind],
    about: faultsNear(run, at + ms),
  }));
}

export const nameOf = ({ from, to, n }) => `${from} → ${to} #${n}`;

function fault(run, person, event, text) {
  const sent = run.index.get(keyOf(event));
  const kinds = [person.node.kind, ...(sent ? [sent.node.kind] : [])];
  const same = person.heard.filter(({ from, to }) => from === event.from && to === event.to);
  const place = same.findIndex((one) => one === event);
  const around = place < 0 ? same.slice(-AROUND) : same.slice(Math.max(0, place - AROUND), place + AROUND + 1);
  const at = event.at;
  const heard = around.map((one) => {
    return `${one === event ? ">" : " "} ${run.clock(one.at)} #${one.n} (connection ${one.connection})`;
  });
  const near = person.connections.filter(({ until = Infinity, from }) => until > at - NEAR && from < at + NEAR);
  const lives = near.map((one) => {
    const end = one.until === undefined ? "now" : `${run.clock(one.until)} (${one.reason})`;
    return `  connected ${run.clock(one.from)} to ${end}, life ${one.life} of ${person.node.name}, ${one.id}`;
  });
  const said = sent ? [`  sent ${run.clock(sent.at)} by ${sent.node.name}${sent.ok ? "" : ", not answered"}`] : [];
  const { isRecovered } = person.connections[event.connection] ?? {};
  return { text, kinds, isRecovered, about: [...said, ...heard, ...lives, ...faultsNear(run, sent?.at ?? at)] };
}

export function faultsNear(run, at) {
  const near = run.faults.log.filter((one) => one.at < at + NEAR && (one.until ?? Infinity) > at - NEAR);
  return near.map((one) => `  ${run.clock(one.at)} ${one.kind} ${one.where} for ${one.ms} ms`);
}
