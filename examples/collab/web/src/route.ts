// Which page is shown: the list of plans, or one of them.

import { type MouseEvent, useEffect, useState } from "react";

const MOVED = "moved";

function stateOf(path: string): string | undefined {
  return /^\/plans\/([^/]+)\/?$/.exec(path)?.[1];
}

export const planPath = (state: string) => `/plans/${state}`;

export function go(path: string) {
  history.pushState(null, "", path);
  dispatchEvent(new Event(MOVED));
  scrollTo(0, 0);
}

/** For links within the page: a new tab still opens as one. */
export function follow(event: MouseEvent<HTMLAnchorElement>) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  go(event.currentTarget.pathname);
}

/** The state whose plan is shown, or undefined for the list. */
export function useRoute(): string | undefined {
  const [state, setState] = useState(() => stateOf(location.pathname));
  useEffect(() => {
    const moved = () => setState(stateOf(location.pathname));
    addEventListener("popstate", moved);
    addEventListener(MOVED, moved);
    return () => {
      removeEventListener("popstate", moved);
      removeEventListener(MOVED, moved);
    };
  }, []);
  return state;
}
