// One engine, its nodes and their clients, from the first connection to the last check.
import { setTimeout as sleep } from "node:timers/promises";
import * as checks from "./checks.mjs";
import { Engine } from "./engine.mjs";
import { Faults } from "./faults.mjs";
import { excuse } from "./known.mjs";
import { Node } from "./node.mjs";
import { NEWS, Person } from "./person.mjs";
import { Random } from "./random.mjs";

const NODES = 3;
const ROOMS = Array.from({ length: 10 }, (_, i) => `room-${i}`);
const NAMESPACES = ["/", "/named"];
const TRANSPORTS = [["websocket"], ["polling", "websocket"]];

const NEWS_EVERY = 150;
const ASK_EVERY = 700;
const LOOK_AGAIN = 250;
const FORM_PATIENCE = 30_000;
const RECOVERY_PATIENCE = 30_000;
const QUIET_PATIENCE = 15_000;
const QUIET_ROUNDS = 2;
/** What an answer may take: the time of the request (`ack_timeout` for `fetch`), and what a busy computer takes. */
const SLACK = 3_000;
const ASK_TIME = 2_000;
const FETCH_TIME = 10_000;
const SHOWN = 3;
const NAMED = 5;

export class Run {
  #random;
  #isOver = false;
  /** Each node's own client in each namespace, past the proxy: { node, nsp, person }. */
  #watchers = [];
  nodes = [];
  people = [];
  sent = [];
  requests = [];

  constructor({ engine, clients, seconds, seed, isOfficial, isVerbose, faultKinds, recovers }) {
    Object.assign(this, { name: engine.name, kinds: engine.kinds, clients, seconds, seed, recovers });
    Object.assign(this, { isOfficial, isVerbose, faultKinds });
    this.#random = new Random(seed);
  }

  /** Its row of the table. */
  async go() {
    await this.#begin();
    const formed = await this.#whole(FORM_PATIENCE);
    if (formed.fault !== undefined) throw new Error(`the cluster did not form: ${formed.fault}`);
    this.began = Date.now();
    const { nodes, engine, seconds, faultKinds: kinds } = this;
    this.faults = new Faults({ random: this.#random, nodes, engine, seconds, kinds });
    const sending = this.#senders().map((sender) => this.#send(sender));
    const working = [...sending, ...this.nodes.map((node) => this.#ask(node))];
    await this.faults.go(this.seconds);
    this.#isOver = true;
    this.calm = Date.now();
    const [whole] = await Promise.all([this.#whole(RECOVERY_PATIENCE), ...working]);
    await this.#speakInQuiet();
    return this.#judge(whole);
  }

  async stop() {
    for (const person of [...this.people, ...this.#watchers.map(({ person }) => person)]) person.close();
    await Promise.all(this.nodes.map((node) => node.stop()));
    this.engine?.stop();
  }

  clock(at) {
    return `${((at - this.began) / 1_000).toFixed(2).padStart(6)} s`;
  }

  async #begin() {
    this.engine = await Engine.open(this.name, this.recovers);
    const ours = Array.from({ length: NODES }, () => (this.isOfficial ? "node" : "rust"));
    const kinds = this.kinds.includes("node") ? [...ours, "node"] : ours;
    for (const [i, kind] of kinds.entries()) {
      const node = await Node.start(i, kind, this.engine, this.name, this.recovers);
      node.onLife = (port) => this.#watch(node, port);
      node.onDeath = () => this.#unwatch(node);
      this.#watch(node, node.links.target);
      this.nodes.push(node);
    }
    for (let i = 0; i < this.clients; i += 1) {
      const node = this.nodes[i % this.nodes.length];
      const turn = Math.floor(i / this.nodes.length);
      this.people.push(new Person({
        name: `client ${i}`,
        node,
        roam: this.#roaming(node),
        nsp: NAMESPACES[Math.floor(turn / 2) % 2],
        rooms: this.#random.shuffled(ROOMS).slice(0, 2 + Math.floor(this.#random.next() * 2)),
        transports: TRANSPORTS[turn % 2],
      }));
    }
  }

  /** Where sockets are recovered, a client of a server under test comes back to any of them. */
  #roaming(node) {
    if (!this.recovers || node.kind !== "rust") return () => node;
    return () => this.#random.pick(this.nodes.filter(({ kind }) => kind === node.kind));
  }

  #watch(node, port) {
    this.#unwatch(node);
    for (const nsp of NAMESPACES) {
      const url = `http://127.0.0.1:${port}`;
      const person = new Person({ name: `watcher of ${node.name}`, node, url, nsp, transports: ["websocket"] });
      this.#watchers.push({ node, nsp, person });
    }
  }

  /** Its port may soon be somebody else's. */
  #unwatch(node) {
    for (const { person } of this.#watchers.filter((one) => one.node === node)) person.close();
    this.#watchers = this.#watchers.filter((one) => one.node !== node);
  }

  #watcher(node, nsp) {
    return this.#watchers.find((one) => one.node === node && one.nsp === nsp)?.person;
  }

  /** One of each node in each namespace, where there is one; half of them begin with polling. */
  #senders() {
    const senders = this.nodes.flatMap((node, i) => NAMESPACES.map((nsp, j) => {
      const there = this.people.filter((person) => person.node === node && person.nsp === nsp);
      return there.find(({ transports }) => transports === TRANSPORTS[(i + j) % 2]) ?? there[0];
    }));
    return senders.filter((sender) => sender !== undefined);
  }

  async #send(sender) {
    while (!this.#isOver) {
      if (sender.isThere) await this.#say(sender, this.#random.pick(ROOMS), false);
      await sleep(NEWS_EVERY * (0.5 + Math.random()));
    }
  }

  async #say(sender, room, isQuiet) {
    const n = (sender.said = (sender.said ?? 0) + 1);
    const event = { from: sender.name, to: `${sender.nsp} ${room}`, n };
    const noted = { ...event, at: Date.now(), isQuiet, node: sender.node, ok: false };
    this.sent.push(noted);
    const { ok } = await sender.do("emit", { rooms: [room], event: NEWS, args: [event] }, 10_000);
    noted.ok = ok === 0;
  }

  async #ask(node) {
    for (let turn = 0; !this.#isOver; turn += 1) {
      const person = this.#watcher(node, NAMESPACES[turn % 2]);
      const room = this.#random.pick(ROOMS);
      if (person?.connection !== undefined) {
        const [op, params, ms] = turn % 4 < 2
          ? ["fetch", {}, FETCH_TIME + SLACK]
          : ["emitAck", { rooms: [room], event: "ask", args: [], timeout: ASK_TIME }, ASK_TIME + SLACK];
        const at = Date.now();
        const { late = false, void: isVoid = false } = await person.do(op, params, ms);
        if (!isVoid) this.requests.push({ node, op, ms, at, isLate: late });
      }
      await sleep(ASK_EVERY);
    }
  }

  /**
   * Waits until all are connected, in their rooms, and all servers are counted and find all sockets: gives the time
   * from the call on, what went wrong, and the sockets that only a heartbeat ends.
   */
  async #whole(patience) {
    const began = Date.now();
    for (;;) {
      const state = await this.#look();
      const after = Date.now() - began;
      if (state.fault === undefined || after > patience) return { ...state, after };
      await sleep(LOOK_AGAIN);
    }
  }

  async #look() {
    const away = this.people.filter((person) => !person.isThere);
    if (away.length > 0) {
      return { fault: `${away.length} clients are not there: ${named(away)}`, kinds: kindsOf(away) };
    }
    let ghosts = 0;
    const views = await Promise.all(this.nodes.flatMap((node) => NAMESPACES.map((nsp) => this.#view(node, nsp))));
    for (const { fault, kinds, ghosts: more } of views) {
      if (fault !== undefined) return { fault, kinds };
      ghosts = Math.max(ghosts, more);
    }
    return { fault: undefined, ghosts };
  }

  /** What a node knows of the cluster in a namespace. */
  async #view(node, nsp) {
    const person = this.#watcher(node, nsp);
    if (person?.connection === undefined) return { fault: `${node.name} has no watcher`, kinds: [node.kind] };
    const [count, found] = await Promise.all([
      person.do("serverCount", {}, FETCH_TIME + SLACK),
      person.do("fetch", {}, FETCH_TIME + SLACK),
    ]);
    const kinds = [node.kind];
    const where = `${node.name} in ${nsp}`;
    if (count.ok !== this.nodes.length) return { fault: `${where} counts ${JSON.stringify(count)} servers`, kinds };
    if (found.ok === undefined) return { fault: `${where} cannot fetch: ${JSON.stringify(found)}`, kinds };
    const { fault, people = [], ghosts } = this.#compared(found.ok, nsp);
    return { fault: fault && `${where} ${fault}`, kinds: [...kinds, ...kindsOf(people)], ghosts };
  }

  /** What was found in a namespace, beside who is there. */
  #compared(found, nsp) {
    const everybody = [...this.people, ...this.#watchers.map(({ person }) => person)];
    const here = everybody.filter((person) => person.nsp === nsp);
    const there = new Map(here.map((person) => [person.connection?.id, person]));
    const missing = new Map(there);
    const strangers = [];
    let ghosts = 0;
    for (const { id, rooms, data } of found) {
      const person = there.get(id);
      missing.delete(id);
      if (person !== undefined) {
        const expected = [id, ...person.rooms].sort();
        if (JSON.stringify(expected) !== JSON.stringify(rooms)) {
          return { fault: `finds ${named([person])} in ${rooms}, not ${expected}`, people: [person] };
        }
      } else if (this.#isGhost(id, data)) ghosts += 1;
      else strangers.push(this.#described(id, data));
    }
    const people = [...missing.values()];
    if (people.length > 0) return { fault: `does not find ${people.length}: ${named(people)}`, people };
    const some = strangers.slice(0, SHOWN).join("; ");
    if (strangers.length > 0) return { fault: `finds ${strangers.length} that are not there: ${some}` };
    return { ghosts };
  }

  /** A client that polls is not missed before its next heartbeat, which may be 45 s away. */
  #isGhost(id, data) {
    for (const person of this.people) {
      const known = person.connections.find((connection) => connection.id === id);
      if (known !== undefined) return known.life === known.node.life && known.transport === "polling";
    }
    const owner = this.people.find(({ name }) => name === data?.name);
    return owner?.transports[0] === "polling";
  }

  #described(id, data) {
    for (const person of this.people) {
      const known = person.connections.find((connection) => connection.id === id);
      if (known === undefined) continue;
      const end = known.until === undefined ? "is connected" : `${known.reason} at ${this.clock(known.until)}`;
      const life = `life ${known.life} of ${known.node.life} of ${known.node.name}`;
      return `${id} of ${person.name}, ${life}, ${known.transport}, ${end}`;
    }
    return `${id} of ${data?.name}, never heard of`;
  }

  /** One after the other, all senders at once; resolves when all is heard, or too late. */
  async #speakInQuiet() {
    await Promise.all(this.#senders().map(async (sender) => {
      for (let round = 0; round < QUIET_ROUNDS; round += 1) {
        for (const room of ROOMS) await this.#say(sender, room, true);
      }
    }));
    const end = Date.now() + QUIET_PATIENCE;
    do {
      await sleep(LOOK_AGAIN);
      this.#index();
    } while (Date.now() < end && checks.missing(this, this.sent.filter(({ isQuiet }) => isQuiet)).length > 0);
    // What comes twice comes a moment later.
    await sleep(2 * LOOK_AGAIN);
    this.#index();
  }

  #index() {
    this.index = checks.index(this.sent);
    this.heardBy = new Map(this.people.map((person) => [person, new Set(person.heard.map(checks.keyOf))]));
  }

  #judge(whole) {
    const isWhole = whole.fault === undefined;
    const wholeness = isWhole ? [] : [{
      text: `after ${Math.round(whole.after / 1_000)} s: ${whole.fault}`,
      kinds: whole.kinds,
      about: checks.faultsNear(this, this.calm),
    }];
    const found = {
      once: checks.heardOnce(this),
      order: checks.inOrder(this),
      rooms: checks.inRooms(this),
      "all at the end": [...wholeness, ...checks.allAtTheEnd(this)],
      "servers live": this.nodes.flatMap(({ faults, kind }) => {
        return faults.map((text) => ({ text, kinds: [kind], about: [] }));
      }),
      "requests end": checks.requestsEnd(this),
      "sockets found": wholeness,
      recovery: this.recovers ? checks.recovery(this) : [],
    };
    const [failed, excused] = [[], []];
    for (const check of checks.CHECKS) {
      const left = found[check].filter((fault) => {
        const reason = this.isOfficial ? undefined : excuse(this.name, check, fault);
        if (reason !== undefined) excused.push({ check, reason });
        return reason === undefined;
      });
      if (left.length > 0) failed.push(check);
      this.#show(check, left);
    }
    const lost = checks.lost(this);
    this.#tellLost(lost.all);
    return {
      name: this.name,
      faults: this.faults.counts(),
      sent: this.sent.length,
      arrived: this.people.reduce((sum, person) => sum + person.heard.length, 0),
      lost,
      doubled: found.once.length,
      disordered: found.order.length,
      misplaced: found.rooms.length,
      ghosts: whole.ghosts ?? "?",
      recovered: isWhole ? `${(whole.after / 1_000).toFixed(1)} s` : "never",
      failed,
      excused,
      requests: this.requests.length,
      back: checks.back(this),
    };
  }

  /** From which node to which, and when: the wires promise once or not at all. */
  #tellLost(lost) {
    const ways = new Map();
    for (const { node, event } of lost) {
      const way = `${event.node.name} → ${node.name}`;
      ways.set(way, [...(ways.get(way) ?? []), event.at]);
    }
    for (const [way, times] of [...ways].sort()) {
      const [first, last] = [Math.min(...times), Math.max(...times)].map((at) => this.clock(at));
      console.log(`  lost ${way}: ${times.length}, from ${first} to ${last}`);
    }
    if (!this.isVerbose) return;
    for (const { at, until, kind, where } of this.faults.log) {
      console.log(`  ${this.clock(at)} to ${this.clock(until)} ${kind} ${where}`);
    }
    for (const { person, node, event } of lost) {
      const way = `${event.node.name} → ${node.name}`;
      console.log(`  ${this.clock(event.at)} ${checks.nameOf(event)}, ${way} (${person.name})`);
    }
  }

  #show(check, faults) {
    if (faults.length === 0) return;
    const again = `seed ${this.seed}, ${this.clients} clients, ${this.seconds} s`;
    console.log(`✗ ${this.name}, ${check}: ${faults.length} (${again})`);
    for (const { text, about } of faults.slice(0, SHOWN)) {
      console.log([`  ${text}`, ...about.map((line) => `    ${line}`)].join("\n"));
    }
  }
}

const named = (people) => people.slice(0, NAMED).map(({ name, node }) => `${name} of ${node.name}`).join(", ");
const kindsOf = (people) => people.map(({ node }) => node.kind);
