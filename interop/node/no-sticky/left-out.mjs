// Tests that ask for what a server of several nodes behind a proxy is not, with the reasons.
export const leftOut = new Map([]);
