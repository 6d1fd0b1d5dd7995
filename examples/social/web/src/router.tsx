// Which page is shown: the address bar says. Links are links, so that they open in tabs, too.

import { useEffect, useSyncExternalStore, type AnchorHTMLAttributes, type MouseEvent } from "react";

const MOVED = "moved";

function listen(changed: () => void) {
  addEventListener("popstate", changed);
  addEventListener(MOVED, changed);
  return () => {
    removeEventListener("popstate", changed);
    removeEventListener(MOVED, changed);
  };
}

/** The path that is shown. */
export const usePath = () => useSyncExternalStore(listen, () => location.pathname);

export function go(to: string, { replace = false } = {}) {
  // What begins with two of them is another host.
  const path = to.replace(/^\/+/, "/");
  if (path === location.pathname) return;
  history[replace ? "replaceState" : "pushState"](null, "", path);
  dispatchEvent(new Event(MOVED));
}

/** Goes to another page while it is drawn. */
export function Redirect({ to }: { to: string }) {
  useEffect(() => go(to, { replace: true }), [to]);
  return null;
}

/** A link to a page of this application. */
export function Link({ href, ...rest }: AnchorHTMLAttributes<HTMLAnchorElement> & { href: string }) {
  const path = usePath();
  const follow = (event: MouseEvent) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(href);
  };
  return <a href={href} aria-current={path === href ? "page" : undefined} onClick={follow} {...rest} />;
}
