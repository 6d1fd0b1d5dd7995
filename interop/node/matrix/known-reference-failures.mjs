// Results which the official server is known not to reach, and why: "cell · feature" to reason. Against
// it they are expected to fail, and a pass is reported as an error so that this list cannot rot;
// against any other server they count like all the others.

export const knownReferenceFailures = new Map([]);
