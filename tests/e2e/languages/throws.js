// A resolver and a runner with a mistake each.

export const plugin = {
  describe() {
    const role = (name, kinds) => ({ name, kinds, more: [] });
    return {
      name: "throws",
      version: "0.1.0",
      summary: "has mistakes",
      roles: [role("resolver", ["throws"]), role("runner", ["throws"])],
      settings: [],
      more: [],
    };
  },
};

export const resolve = {
  resolve({ reference }) {
    if (!reference.endsWith(".throws")) {
      return { finding: { tag: "not-found", val: "it does not throw" }, more: [] };
    }
    const tests = reference.match(/no such word/);
    return { finding: { tag: "found", val: tests.groups }, more: [] };
  },
};

function pick(boards) {
  if (boards.length === 0) throw new RangeError("no board is left");
  return boards[0];
}

export const run = {
  run({ runnable }) {
    if (runnable.uri === "throws") pick([]);
    return { status: "pass", more: [] };
  },
};
