// How a server of this directory begins and ends.
import { rmSync } from "node:fs";

/** The one line by which a server says that it listens. */
export function announce(said) {
  console.log(JSON.stringify(said));
}

/**
 * Ends the process when its input ends, or when it is told to: whoever started it may just go away. `made` is
 * the path of what it made, if anything.
 */
export function endWhenTold(made) {
  const leave = () => {
    if (made) rmSync(made, { force: true, recursive: true });
    process.exit(0);
  };
  process.once("SIGTERM", leave);
  process.stdin.once("end", leave).once("error", leave);
  process.stdin.resume();
}
