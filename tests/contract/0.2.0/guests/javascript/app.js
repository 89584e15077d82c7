// A component with every role of the contract: what each role does is in the README of the corpus.
// Both engines build it. SpiderMonkey has 64-bit integers as BigInt and none as undefined, QuickJS
// has numbers and null.

import * as artifactList from "persea:plugin/artifact-list@0.2.0";
import * as artifacts from "persea:plugin/artifacts@0.2.0";
import * as batch from "persea:plugin/batch@0.2.0";
import * as cache from "persea:plugin/cache@0.2.0";
import * as cases from "persea:plugin/cases@0.2.0";
import * as fetch from "persea:plugin/fetch@0.2.0";
import * as log from "persea:plugin/log@0.2.0";
import * as messages from "persea:plugin/messages@0.2.0";
import * as clock from "persea:plugin/monotonic-clock@0.2.0";
import * as pages from "persea:plugin/pages@0.2.0";
import * as polling from "persea:plugin/poll@0.2.0";
import * as process from "persea:plugin/process@0.2.0";
import * as output from "persea:plugin/report-output@0.2.0";
import * as workspace from "persea:plugin/workspace@0.2.0";

// build.sh replaces it by Number for QuickJS.
const int64 = BigInt;

const DONE = { more: [] };
const SHA256 = "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";

const text = (val) => ({ tag: "text", val });
const integer = (val) => ({ tag: "integer", val: int64(val) });

// Neither engine promises TextEncoder; all texts here are ASCII.
const encode = (string) => Uint8Array.from(string, (char) => char.charCodeAt(0));
const decode = (bytes) => String.fromCharCode(...bytes);
const words = (string) => string.split(/\s+/).filter((word) => word);

function find(attributes, name) {
  const found = attributes.filter(([key]) => key === name).pop();
  return found?.[1].val;
}

function sh(script, args, streams) {
  return {
    program: "sh",
    args: ["-c", script, "sh", ...args],
    env: [["CORPUS_SET", "set"], ["CORPUS_UNSET", undefined]],
    clearEnv: false,
    cwd: undefined,
    stdin: { tag: "empty" },
    stdout: { tag: "discard" },
    stderr: { tag: "discard" },
    report: { tag: "discard" },
    more: [],
    ...streams,
  };
}

const code = (exit) => (exit.ending.tag === "code" ? exit.ending.val : -1);

// The error of an import that failed.
const reason = (thrown) => thrown.payload ?? thrown;

function runnable(kind, uri) {
  return {
    kind,
    uri,
    args: [],
    kwargs: [],
    env: [],
    tags: [["corpus", []]],
    requirements: [],
    identifier: undefined,
    more: [],
  };
}

const outcome = (status, reason, more = []) => ({ status, reason, more });

// What a process writes to one of its pipes, in quotes, and its exit code.
function printed(command, pipe) {
  const child = process.start(command);
  let content = "";
  for (;;) {
    const part = child.read(pipe, 100);
    if (part.length === 0) break;
    content += decode(part);
  }
  content = content.replaceAll("\r", "").replaceAll("\n", "\\n");
  return `"${content}" ${code(child.wait())}`;
}

// A program that writes to the socket for its report.
const CONNECT = `import os, socket
connection = socket.socket(socket.AF_UNIX)
connection.connect(os.environ['PERSEA_REPORT_SOCKET'])
connection.sendall(b'by socket\\n')
`;

// Tries what a process can have beside pipes of its own.
function useStreams() {
  log.log("warn", "logged by the corpus");
  const given = { tag: "file", val: "source.txt" };
  const copy = sh("cat", [], { stdin: given, stdout: { tag: "file", val: "input" } });
  const input = code(process.run(copy));
  const child = process.start(sh("exec sleep 1000", [], {}));
  const hasId = (child.id() ?? 0) > 0;
  child.signal(15);
  const { ending } = child.wait();
  const signal = ending.tag === "signal" ? ending.val : -1;

  const pipe = { tag: "pipe" };
  const byDescriptor = sh('echo "by $PERSEA_REPORT_FD" >&3', [], { report: pipe });
  const bySocket = sh("", [], {
    program: "python3",
    args: ["-c", CONNECT],
    report: pipe,
    more: [["report-socket", { tag: "boolean", val: true }]],
  });
  const screen = sh("stty size; test -t 2 && echo on a terminal", [], {
    stdout: pipe,
    stderr: { tag: "with-stdout" },
    more: [["terminal", { tag: "json", val: '{"rows":30,"columns":90}' }]],
  });
  messages.whiteboard(
    `input=${input} id=${hasId} signal=${signal}\n` +
      `report=${printed(byDescriptor, "report")}\n` +
      `socket=${printed(bySocket, "report")}\n` +
      `terminal=${printed(screen, "stdout")}\n`,
  );
}

export const plugin = {
  describe() {
    const role = (name, kinds = [], more = []) => ({ name, kinds, more });
    return {
      name: "corpus",
      version: "1.0.0",
      summary: "does a little of everything",
      roles: [
        role("resolver", ["noop"], [["order", integer(60)]]),
        role("varianter"),
        role("runner", ["corpus", "corpus-batch", "corpus-list"]),
        role("batch-runner", ["corpus-batch"]),
        role("lister", ["corpus-list"]),
        role("requirement-resolver", ["corpus-thing"]),
        role("scheduler"),
        role("result-format", [], [["file", text("results.corpus")]]),
        role("role-of-a-later-contract", [], [["unknown", { tag: "null" }]]),
      ],
      settings: [
        {
          key: "corpus.word",
          shape: "text",
          defaultValue: text("hello"),
          summary: "what to say",
          more: [],
        },
        {
          key: "corpus.pause",
          shape: "duration",
          defaultValue: text("1s"),
          summary: "how long to wait",
          more: [["most", { tag: "number", val: 60 }]],
        },
      ],
      more: [["contract", text("0.2.0")]],
    };
  },
};

export const resolve = {
  resolve({ reference }) {
    if (!reference.endsWith(".corpus")) {
      const val = `${reference} is not of the corpus`;
      return { finding: { tag: "not-found", val }, more: [] };
    }
    const { size } = workspace.stat(reference);
    const bytes = workspace.read(reference, int64(0), Number(size));
    const [first, ...others] = words(decode(bytes));
    if (first === "corrupt") {
      return { finding: { tag: "corrupt", val: `${reference}:1: it is corrupt` }, more: [] };
    }
    if (first === "directory") {
      const entries = workspace.listDirectory(others[0]);
      const val = entries.map(([name, kind]) => runnable("noop", `${name} ${kind}`));
      return { finding: { tag: "found", val }, more: [] };
    }
    pages.addRunnables([runnable("noop", first)]);
    const val = others.map((word) => runnable("noop", word));
    const depends = { tag: "json", val: JSON.stringify([reference]) };
    return { finding: { tag: "found", val }, more: [["depends-on", depends]] };
  },
};

export const vary = {
  vary({ parameters }) {
    const count = find(parameters, "count");
    if (count === undefined) {
      throw { code: "invalid", message: "`count` is missing", detail: [] };
    }
    const variation = (number) => ({ parameters: [["number", integer(number)]], more: [] });
    pages.addVariations([variation(0)]);
    if (find(parameters, "additions")) {
      const required = '[{"kind": "command", "kwargs": {"setup": "echo met >> met"}}]';
      const more = [
        ["timeout", integer(7000000000)],
        ["requirements", { tag: "json", val: required }],
        ["resources", { tag: "json", val: '{"board": 1}' }],
      ];
      return { variations: [{ ...variation(1), more }], more: [] };
    }
    const variations = [];
    for (let number = 1; number < Number(count); number++) variations.push(variation(number));
    return { variations, more: [] };
  },
};

export const run = {
  run(task) {
    const { uri } = task.runnable;
    if (uri === "fail") return outcome("fail", "it failed", [["class-name", text("corpus")]]);
    if (uri === "error") throw { code: "io", message: "it went wrong", detail: [] };
    if (uri === "panic") {
      log.panicked("it is broken", "corpus:1");
      throw new Error("unreachable");
    }
    if (uri === "streams") {
      useStreams();
      return outcome("pass");
    }
    if (uri !== "powers") return outcome("pass");

    messages.progress("about to begin");
    cases.start(["suite", "one"]);
    cases.finish([
      { path: ["suite", "one"], status: "pass", duration: int64(1000), more: [] },
      { path: ["suite", "two"], status: "skip", reason: "not here", more: [] },
    ]);

    const both = sh('echo "out $CORPUS_SET${CORPUS_UNSET-}"; echo err >&2', [], {
      stdout: { tag: "file", val: "stdout" },
      stderr: { tag: "with-stdout" },
    });
    const ran = code(process.run(both));
    const given = { tag: "bytes", val: encode("given") };
    const taken = sh("cat", [], { stdin: given, stdout: { tag: "file", val: "taken" } });
    const took = code(process.run(taken));

    const word = find(task.settings, "corpus.word");
    const pipe = { tag: "pipe" };
    const child = process.start(sh("cat; exit 3", [], { stdin: pipe, stdout: pipe }));
    child.write(encode(word));
    child.closeStdin();
    const pollable = polling.watch(child, { tag: "readable", val: "stdout" });
    let echoed = "";
    let ready = [];
    for (;;) {
      ready = polling.poll([pollable], undefined);
      // It stays ready; the host looks for a millisecond at most.
      while (!pollable.ready());
      const part = child.read("stdout", 100);
      if (part.length === 0) break;
      echoed += decode(part);
    }
    const ended = code(child.wait());

    artifacts.write("note.txt", encode(echoed));
    const size = artifacts.size(undefined, "note.txt");
    const note = decode(artifacts.read(undefined, "note.txt", int64(0), 100));
    const { entries } = artifactList.listArtifacts(undefined, undefined);
    const files = entries.map(({ name }) => name).sort();
    let absent = "found";
    try {
      artifacts.read(undefined, "absent", int64(0), 1);
    } catch (thrown) {
      absent = reason(thrown).code;
    }
    const deadline = clock.deadline();
    const inTime = deadline != null && clock.now() < deadline;
    const pause = find(task.settings, "corpus.pause");
    messages.whiteboard(
      `ran=${ran} taken=${took} echoed=${note} size=${size} ended=${ended} ready=[${ready}]\n` +
        `files=${files} absent=${absent} in-time=${inTime} pause=${pause}\n`,
    );
    return outcome("pass", undefined, [["returncode", integer(ran)]]);
  },
};

export const runProgram = {
  commands(task) {
    const absent = { ...sh("", [], {}), program: "corpus-absent-program" };
    const stdout = { tag: "file", val: "stdout" };
    const present = sh('echo program; exit "$1"', [task.runnable.uri], { stdout });
    return { commands: [absent, present], more: [] };
  },

  judge({ programEnd }) {
    if (programEnd.tag === "not-started") return outcome("error", programEnd.val.message);
    messages.whiteboard(decode(artifacts.read(undefined, "stdout", int64(0), 100)).trim());
    const number = code(programEnd.val);
    return number === 0 ? outcome("pass") : outcome("fail", `exit code ${number}`);
  },
};

export const runBatch = {
  runBatch() {
    for (let count = 1; ; count++) {
      const task = batch.takeTask();
      if (task == null) return DONE;
      if (task.runnable.uri === "bad") {
        batch.failTask({ code: "io", message: "it is bad", detail: [] });
      } else {
        messages.whiteboard(`${count} of a batch`);
        batch.finishTask(outcome("warn", "in a batch"));
      }
    }
  },
};

export const listTests = {
  listTests(task) {
    const { uri } = task.runnable;
    const child = process.start(sh('cat "$1"', [uri], { stdout: { tag: "pipe" } }));
    let printed = "";
    for (;;) {
      const part = child.read("stdout", 100);
      if (part.length === 0) break;
      printed += decode(part);
    }
    child.wait();
    const [first, ...tests] = words(printed).map((word) => runnable("corpus-list", word));
    pages.addRunnables([first]);
    const depends = { tag: "json", val: JSON.stringify([uri]) };
    return { tests, more: [["depends-on", depends]] };
  },
};

export const fulfil = {
  check({ requirement }) {
    try {
      cache.get("fulfilled");
    } catch (thrown) {
      if (reason(thrown).code !== "not-found") throw reason(thrown);
    }
    const exists = code(process.run(sh('test -e "$1"', [requirement.uri], {}))) === 0;
    return { presence: exists ? "present" : "absent", more: [] };
  },

  fulfil({ requirement }) {
    const path = requirement.uri;
    const download = fetch.fetch({ locations: ["source.txt"], checksum: SHA256, more: [] });
    const content = decode(download.read(int64(0), Number(download.info().size)));
    messages.progress(`about to write ${path}`);
    const written = process.run(sh('printf %s "$2" > "$1"', [path, content], {}));
    if (code(written) !== 0) {
      throw { code: "io", message: `${path} cannot be written`, detail: [] };
    }
    cache.put("fulfilled", encode(content));
    const env = { tag: "json", val: JSON.stringify({ CORPUS_THING: content }) };
    return { undo: [["path", text(path)]], more: [["env", env]] };
  },

  release({ request, undo }) {
    const path = undo == null ? request.requirement.uri : find(undo, "path");
    process.run(sh('rm -f "$1"', [path], {}));
    return DONE;
  },
};

// The tasks of the plan that are to be cancelled, the number of all tasks, and the instances that
// each task gets.
let cancelled = [];
let tasks = 0;
let instances = [];

export const schedule = {
  startJob({ settings }) {
    [cancelled, tasks, instances] = [[], 0, []];
    const [kind, board] = words(find(settings, "corpus.word"));
    if (kind === "board") {
      instances = [["instances", { tag: "json", val: JSON.stringify({ board: [board] }) }]];
    }
    return DONE;
  },

  addToPlan({ nodes }) {
    for (const { name } of nodes) {
      if (name.includes("unwanted")) cancelled.push(tasks);
      tasks++;
    }
    return DONE;
  },

  tasksEnded() {
    return DONE;
  },

  nextTasks(turn) {
    const cancel = cancelled;
    cancelled = [];
    const ready = [...turn.ready].filter((task) => !cancel.includes(task));
    return { start: ready.slice(-1).map((task) => ({ task, more: instances })), cancel, more: [] };
  },
};

let report;
let tests = 0;
let namesFiles = false;

// The names and sizes of a task's files.
function filesOf(task) {
  const { entries } = artifactList.listArtifacts(task, undefined);
  const files = entries.filter(({ name }) => name !== "debug.log");
  return files.map(({ name, size }) => ` ${name}:${size}`).join("");
}

export const format = {
  startReport(job) {
    report = output.openReport();
    const word = find(job.settings, "corpus.word");
    namesFiles = word === "files";
    report.append(encode(`0 tests, ${word}\n`));
    return DONE;
  },

  handle({ events }) {
    for (const { kind, task, data } of events) {
      let line = kind;
      if (task != null) {
        tests++;
        line += ` ${task} ${find(data, "status")}`;
        try {
          line += ` ${decode(artifacts.read(task, "stdout", int64(0), 100)).trim()}`;
        } catch {
          // A test that printed nothing.
        }
        if (namesFiles) line += filesOf(task);
      }
      report.append(encode(`${line}\n`));
    }
    return DONE;
  },

  finishReport({ complete }) {
    report.overwrite(int64(0), encode(`${tests}`));
    report.append(encode(`complete: ${complete}\n`));
    return DONE;
  },
};
