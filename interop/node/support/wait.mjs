// Waiting for what happens, never for time to pass: every wait names what it waits for.

/** How long anything on a healthy server may take; generous, because only failures pay it. */
export const PATIENCE = 20_000;

export async function within(ms, what, promise) {
  let timer;
  const tooLate = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`gave up after ${ms} ms waiting for ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

/** The arguments of the next such event that passes the test. */
export function next(emitter, event, { accept = () => true, patience = PATIENCE } = {}) {
  let listener;
  const seen = new Promise((resolve) => {
    listener = (...args) => accept(...args) && resolve(args);
    emitter.on(event, listener);
  });
  return within(patience, `"${event}"`, seen).finally(() => emitter.off(event, listener));
}

/** Resolves when `list` has grown to `length`; `emitter` is what makes it grow. */
export async function grown(list, length, emitter, event, patience = PATIENCE) {
  if (list.length >= length) return;
  await next(emitter, event, { accept: () => list.length >= length, patience });
}

export const range = (n) => Array.from({ length: n }, (_, i) => i);
