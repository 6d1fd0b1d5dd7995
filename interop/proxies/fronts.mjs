// The fronts that tests share: one for each setup and heartbeat, from its first test to its last.
import { startFront } from "./front.mjs";

export class Fronts {
  #waiting = new Map();
  #fronts = new Map();
  #faults = [];

  /** `tests` are { row, one }: all that will be asked for, and then be done with. */
  constructor(tests) {
    for (const { row, one } of tests) {
      const key = keyOf(row, one);
      this.#waiting.set(key, (this.#waiting.get(key) ?? 0) + 1);
    }
  }

  get(row, one) {
    const key = keyOf(row, one);
    if (!this.#fronts.has(key)) this.#fronts.set(key, startFront(row.setup, pingsSeldom(one) ? { env: {} } : {}));
    return this.#fronts.get(key);
  }

  async isDone(row, one) {
    const key = keyOf(row, one);
    const left = this.#waiting.get(key) - 1;
    this.#waiting.set(key, left);
    if (left === 0) await this.#end(key);
  }

  /** Gives what went wrong with them: a program that ended by itself, panicked or did not end. */
  async stop() {
    for (const key of [...this.#fronts.keys()]) await this.#end(key);
    return this.#faults;
  }

  async #end(key) {
    const front = await this.#fronts.get(key)?.catch(() => undefined);
    this.#fronts.delete(key);
    await front?.stop().catch((error) => this.#faults.push(error));
  }
}

const pingsSeldom = (one) => one.isLong || one.isQuiet;
const keyOf = (row, one) => `${row.setup.name} · ${pingsSeldom(one) ? "default heartbeat" : "short heartbeat"}`;
