// A result format that writes a table in Markdown.

import { openReport } from "persea:plugin/report-output@0.2.0";

const done = { more: [] };
let report;

// All texts of the contract are UTF-8, and QuickJS has no TextEncoder.
function write(text) {
  const bytes = unescape(encodeURIComponent(text));
  report.append(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)));
}

// A cell without what would end it.
const cell = (text = "") => text.replace(/[|\n]/g, " ");

const attribute = (data, name) => data.findLast(([key]) => key === name)?.[1].val;

export const plugin = {
  describe() {
    const file = ["file", { tag: "text", val: "results.md" }];
    return {
      name: "markdown",
      version: "0.1.0",
      summary: "writes results.md",
      roles: [{ name: "result-format", kinds: [], more: [file] }],
      settings: [],
      more: [],
    };
  },
};

export const format = {
  startReport() {
    report = openReport();
    write("| Test | Result | Reason |\n|---|---|---|\n");
    return done;
  },

  handle({ events }) {
    for (const { kind, data } of events) {
      if (kind === "task-finished") {
        const row = ["name", "status", "reason"].map((name) => cell(attribute(data, name)));
        write(`| ${row.join(" | ")} |\n`);
      }
    }
    return done;
  },

  finishReport({ complete }) {
    if (!complete) write("\nThe job did not come to its end.\n");
    return done;
  },
};
