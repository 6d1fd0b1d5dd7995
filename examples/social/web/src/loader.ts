// How what is shown is loaded.

import { useCallback, useEffect, useRef, useState } from "react";
import { Refusal } from "./api";
import { pause } from "./store";

const AGAIN_MS = 1_000;

/** Loads when `deps` change, and again on `reload`: one request at a time, and what fails for a moment is repeated. */
export function useLoader<T>(load: () => Promise<T>, show: (data: T) => void, deps: unknown[], isWanted = true) {
  const latest = useRef({ load, show });
  useEffect(() => void (latest.current = { load, show }));
  const running = useRef({ isRunning: false, isStale: false, start: () => {} });
  const [error, setError] = useState<Refusal>();
  useEffect(() => {
    if (!isWanted) return;
    const own = { isRunning: false, isStale: false, start: () => void run() };
    const run = async () => {
      own.isStale = true;
      if (own.isRunning) return;
      own.isRunning = true;
      while (own.isStale && running.current === own) {
        own.isStale = false;
        try {
          const data = await latest.current.load();
          if (running.current !== own) return;
          latest.current.show(data);
          setError(undefined);
        } catch (error) {
          if (!(error instanceof Refusal)) throw error;
          if (error.isTemporary) await pause(AGAIN_MS);
          else if (running.current === own) setError(error);
          own.isStale ||= error.isTemporary;
        }
      }
      own.isRunning = false;
    };
    running.current = own;
    own.start();
    return () => void (running.current = { isRunning: false, isStale: false, start: () => {} });
  }, [isWanted, ...deps]);
  const reload = useCallback(() => running.current.start(), []);
  const isLoading = useCallback(() => running.current.isRunning, []);
  return { error, reload, isLoading };
}
