// A list that grows at its end: its newest page is loaded, older ones on demand, and news is added.

import { useCallback, useEffect, useRef, useState } from "react";
import { useSession, useView } from "./session";
import { merge } from "./types";

/** How many the server gives at once. */
const PAGE = 50;
/** How many pages are loaded to join what was there before the connection was lost. */
const JOIN_MAX = 10;

/** `page` gives the newest, or those before an id. */
export function useHistory<T extends { id: string }>(page: (before?: string) => Promise<T[]>) {
  const { status } = useSession();
  const [list, setList] = useState<T[]>([]);
  const [isLoaded, setLoaded] = useState(false);
  const [hasOlder, setHasOlder] = useState(false);
  const isLive = status.state === "connected" || status.state === "reconnected";
  /** The newest that was there when the connection was lost: behind it something may be missing. */
  const known = useRef<string>(undefined);
  useEffect(() => {
    if (!isLive) known.current = list.at(-1)?.id;
  }, [isLive]);

  const load = async () => {
    let got = merge(await page(), []);
    let isFull = got.length >= PAGE;
    const isJoined = () => !known.current || !isFull || Number(got[0]?.id) <= Number(known.current);
    for (let pages = 1; !isJoined() && pages < JOIN_MAX; pages += 1) {
      const more = await page(got[0]?.id);
      isFull = more.length >= PAGE;
      got = merge(more, got);
    }
    return { got, isFull, isJoined: isJoined() };
  };
  const show = ({ got, isFull, isJoined }: Awaited<ReturnType<typeof load>>) => {
    // Where too much was missed, what is older is to be loaded again.
    const from = isJoined ? 0 : Number(got[0]?.id);
    setList((list) => merge(list.filter(({ id }) => Number(id) >= from), got));
    if (!isLoaded || !isJoined) setHasOlder(isFull);
    setLoaded(true);
  };
  const { error } = useView(load, show);

  const add = useCallback((one: T) => setList((list) => merge(list, [one])), []);
  const older = async () => {
    const more = await page(list[0]?.id);
    setList((list) => merge(more, list));
    setHasOlder(more.length >= PAGE);
  };
  return { list: isLoaded ? list : undefined, hasOlder, older, add, error };
}
