import { useSyncExternalStore } from "react";

/** A value outside of React that views are drawn by. */
export class Store<T> {
  #value: T;
  #listeners = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get = () => this.#value;

  set(value: T) {
    this.#value = value;
    for (const changed of this.#listeners) changed();
  }

  listen = (changed: () => void) => {
    this.#listeners.add(changed);
    return () => void this.#listeners.delete(changed);
  };
}

export const useStore = <T,>(store: Store<T>): T => useSyncExternalStore(store.listen, store.get);

export const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
