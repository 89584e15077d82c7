"""A component with every role of the contract: what each role does is in the README of the corpus."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import fulfil, list_tests, resolve, run_program, schedule, vary
from wit_world.imports import (
    artifact_list,
    artifacts,
    batch,
    cache,
    cases,
    fetch,
    log,
    messages,
    monotonic_clock,
    pages,
    poll,
    process,
    report_output,
    types,
    workspace,
)

DONE = types.Done(more=[])
SHA256 = "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"


def text(value):
    return types.Value_Text(value)


def error(code, message):
    return Err(types.Error(code=code, message=message, detail=[]))


def find(attributes, name):
    """The value of an attribute; none where there is no such attribute."""
    for key, value in reversed(attributes):
        if key == name:
            return getattr(value, "value", None)
    return None


def sh(script, *args, stdin=None, stdout=None, stderr=None):
    """A command that runs a script of the shell."""
    return process.Command(
        program="sh",
        args=["-c", script, "sh", *args],
        env=[("CORPUS_SET", "set"), ("CORPUS_UNSET", None)],
        clear_env=False,
        cwd=None,
        stdin=stdin or process.Input_Empty(),
        stdout=stdout or process.Output_Discard(),
        stderr=stderr or process.Output_Discard(),
        report=process.Output_Discard(),
        more=[],
    )


def code(exit):
    """The exit code of a process; -1 where it ended otherwise."""
    return exit.ending.value if isinstance(exit.ending, process.Ending_Code) else -1


def runnable(kind, uri):
    return types.Runnable(
        kind=kind,
        uri=uri,
        args=[],
        kwargs=[],
        env=[],
        tags=[("corpus", [])],
        requirements=[],
        identifier=None,
        more=[],
    )


def printed(command, pipe):
    """What a process writes to one of its pipes, in quotes, and its exit code."""
    content = b""
    with process.start(command) as child:
        while part := child.read(pipe, 100):
            content += part
        ended = code(child.wait())
    content = content.decode().replace("\r", "").replace("\n", "\\n")
    return f'"{content}" {ended}'


# A program that writes to the socket for its report.
CONNECT = """import os, socket
connection = socket.socket(socket.AF_UNIX)
connection.connect(os.environ['PERSEA_REPORT_SOCKET'])
connection.sendall(b'by socket\\n')
"""


def use_streams():
    """Tries what a process can have beside pipes of its own."""
    log.log(log.Level.WARN, "logged by the corpus")
    given = process.Input_File("source.txt")
    copied = process.run(sh("cat", stdin=given, stdout=process.Output_File("input")))
    with process.start(sh("exec sleep 1000")) as child:
        has_id = (child.id() or 0) > 0
        child.signal(15)
        ending = child.wait().ending
    signal = ending.value if isinstance(ending, process.Ending_Signal) else -1

    by_descriptor = sh('echo "by $PERSEA_REPORT_FD" >&3')
    by_descriptor.report = process.Output_Pipe()
    by_socket = sh("")
    by_socket.program, by_socket.args = "python3", ["-c", CONNECT]
    by_socket.report = process.Output_Pipe()
    by_socket.more = [("report-socket", types.Value_Boolean(True))]
    screen = sh(
        "stty size; test -t 2 && echo on a terminal",
        stdout=process.Output_Pipe(),
        stderr=process.Output_WithStdout(),
    )
    screen.more = [("terminal", types.Value_Json('{"rows":30,"columns":90}'))]
    messages.whiteboard(
        f"input={code(copied)} id={str(has_id).lower()} signal={signal}\n"
        f"report={printed(by_descriptor, process.Pipe.REPORT)}\n"
        f"socket={printed(by_socket, process.Pipe.REPORT)}\n"
        f"terminal={printed(screen, process.Pipe.STDOUT)}\n"
    )


def outcome(status, reason=None, more=()):
    return types.Outcome(status=status, reason=reason, more=list(more))


class Plugin(exports.Plugin):
    def describe(self, request):
        def role(name, *kinds, more=()):
            return types.Role(name=name, kinds=list(kinds), more=list(more))

        return types.Description(
            name="corpus",
            version="1.0.0",
            summary="does a little of everything",
            roles=[
                role("resolver", "noop", more=[("order", types.Value_Integer(60))]),
                role("varianter"),
                role("runner", "corpus", "corpus-batch", "corpus-list"),
                role("batch-runner", "corpus-batch"),
                role("lister", "corpus-list"),
                role("requirement-resolver", "corpus-thing"),
                role("scheduler"),
                role("result-format", more=[("file", text("results.corpus"))]),
                role("role-of-a-later-contract", more=[("unknown", types.Value_Null())]),
            ],
            settings=[
                types.Setting(
                    key="corpus.word",
                    shape="text",
                    default_value=text("hello"),
                    summary="what to say",
                    more=[],
                ),
                types.Setting(
                    key="corpus.pause",
                    shape="duration",
                    default_value=text("1s"),
                    summary="how long to wait",
                    more=[("most", types.Value_Number(60.0))],
                ),
            ],
            more=[("contract", text("0.2.0"))],
        )


class Resolve(exports.Resolve):
    def resolve(self, request):
        name = request.reference
        if not name.endswith(".corpus"):
            return resolve.Resolution(resolve.Finding_NotFound(f"{name} is not of the corpus"), [])
        size = workspace.stat(name).size
        words = workspace.read(name, 0, size).decode().split()
        if words[0] == "corrupt":
            return resolve.Resolution(resolve.Finding_Corrupt(f"{name}:1: it is corrupt"), [])
        if words[0] == "directory":
            entries = workspace.list_directory(words[1])
            tests = [runnable("noop", f"{name} {kind.name.lower()}") for name, kind in entries]
            return resolve.Resolution(resolve.Finding_Found(tests), [])
        pages.add_runnables([runnable("noop", words[0])])
        found = [runnable("noop", word) for word in words[1:]]
        depends = types.Value_Json(f'["{name}"]')
        return resolve.Resolution(resolve.Finding_Found(found), [("depends-on", depends)])


class Vary(exports.Vary):
    def vary(self, request):
        count = find(request.parameters, "count")
        if count is None:
            raise error("invalid", "`count` is missing")

        def variation(number):
            return types.Variation([("number", types.Value_Integer(number))], [])

        pages.add_variations([variation(0)])
        if find(request.parameters, "additions"):
            more = variation(1)
            required = '[{"kind": "command", "kwargs": {"setup": "echo met >> met"}}]'
            more.more = [
                ("timeout", types.Value_Integer(7000000000)),
                ("requirements", types.Value_Json(required)),
                ("resources", types.Value_Json('{"board": 1}')),
            ]
            return vary.Variations([more], [])
        return vary.Variations([variation(number) for number in range(1, count)], [])


class Run(exports.Run):
    def run(self, task):
        uri = task.runnable.uri
        if uri == "fail":
            return outcome(types.Status.FAIL, "it failed", [("class-name", text("corpus"))])
        if uri == "error":
            raise error("io", "it went wrong")
        if uri == "panic":
            log.panicked("it is broken", "corpus:1")
            raise AssertionError
        if uri == "streams":
            use_streams()
            return outcome(types.Status.PASS)
        if uri != "powers":
            return outcome(types.Status.PASS)

        messages.progress("about to begin")
        cases.start(["suite", "one"])
        one = cases.Finished(["suite", "one"], types.Status.PASS, 1000, None, [])
        two = cases.Finished(["suite", "two"], types.Status.SKIP, None, "not here", [])
        cases.finish([one, two])

        both = sh(
            'echo "out $CORPUS_SET${CORPUS_UNSET-}"; echo err >&2',
            stdout=process.Output_File("stdout"),
            stderr=process.Output_WithStdout(),
        )
        ran = code(process.run(both))
        given = process.Input_Bytes(b"given")
        taken = sh("cat", stdin=given, stdout=process.Output_File("taken"))
        taken = code(process.run(taken))

        word = find(task.settings, "corpus.word")
        cat = sh("cat; exit 3", stdin=process.Input_Pipe(), stdout=process.Output_Pipe())
        echoed = b""
        with process.start(cat) as child:
            child.write(word.encode())
            child.close_stdin()
            readable = poll.Interest_Readable(process.Pipe.STDOUT)
            with poll.watch(child, readable) as pollable:
                while True:
                    ready = poll.poll([pollable], None)
                    # It stays ready; the host looks for a millisecond at most.
                    while not pollable.ready():
                        pass
                    part = child.read(process.Pipe.STDOUT, 100)
                    if not part:
                        break
                    echoed += part
            ended = code(child.wait())

        artifacts.write("note.txt", echoed)
        size = artifacts.size(None, "note.txt")
        note = artifacts.read(None, "note.txt", 0, 100).decode()
        files = [entry.name for entry in artifact_list.list_artifacts(None, None).entries]
        try:
            artifacts.read(None, "absent", 0, 1)
            absent = "found"
        except Err as failure:
            absent = failure.value.code
        deadline = monotonic_clock.deadline()
        in_time = deadline is not None and monotonic_clock.now() < deadline
        pause = find(task.settings, "corpus.pause")
        messages.whiteboard(
            f"ran={ran} taken={taken} echoed={note} size={size} ended={ended} ready={list(ready)}\n"
            f"files={','.join(sorted(files))} absent={absent} in-time={str(in_time).lower()}"
            f" pause={pause}\n"
        )
        return outcome(types.Status.PASS, None, [("returncode", types.Value_Integer(ran))])


class RunProgram(exports.RunProgram):
    def commands(self, task):
        absent = sh("")
        absent.program = "corpus-absent-program"
        present = sh(
            'echo program; exit "$1"', task.runnable.uri, stdout=process.Output_File("stdout")
        )
        return run_program.Program([absent, present], [])

    def judge(self, ended):
        if isinstance(ended.program_end, run_program.ProgramEnd_NotStarted):
            return outcome(types.Status.ERROR, ended.program_end.value.message)
        printed = artifacts.read(None, "stdout", 0, 100).decode().strip()
        messages.whiteboard(printed)
        number = code(ended.program_end.value)
        if number == 0:
            return outcome(types.Status.PASS)
        return outcome(types.Status.FAIL, f"exit code {number}")


class RunBatch(exports.RunBatch):
    def run_batch(self, request):
        count = 0
        while True:
            task = batch.take_task()
            if task is None:
                return DONE
            count += 1
            if task.runnable.uri == "bad":
                batch.fail_task(types.Error("io", "it is bad", []))
            else:
                messages.whiteboard(f"{count} of a batch")
                batch.finish_task(outcome(types.Status.WARN, "in a batch"))


class ListTests(exports.ListTests):
    def list_tests(self, task):
        uri = task.runnable.uri
        words = b""
        with process.start(sh('cat "$1"', uri, stdout=process.Output_Pipe())) as child:
            while part := child.read(process.Pipe.STDOUT, 100):
                words += part
            child.wait()
        tests = [runnable("corpus-list", word) for word in words.decode().split()]
        pages.add_runnables(tests[:1])
        depends = types.Value_Json(f'["{uri}"]')
        return list_tests.Listing(tests[1:], [("depends-on", depends)])


class Fulfil(exports.Fulfil):
    def check(self, request):
        try:
            cache.get("fulfilled")
        except Err as failure:
            if failure.value.code != "not-found":
                raise
        exists = code(process.run(sh('test -e "$1"', request.requirement.uri))) == 0
        presence = fulfil.Presence.PRESENT if exists else fulfil.Presence.ABSENT
        return fulfil.CheckedRequirement(presence, [])

    def fulfil(self, request):
        path = request.requirement.uri
        with fetch.fetch(fetch.Source(["source.txt"], SHA256, [])) as download:
            content = download.read(0, download.info().size).decode()
        messages.progress(f"about to write {path}")
        if code(process.run(sh('printf %s "$2" > "$1"', path, content))) != 0:
            raise error("io", f"{path} cannot be written")
        cache.put("fulfilled", content.encode())
        env = types.Value_Json('{"CORPUS_THING": "%s"}' % content)
        return fulfil.FulfilledRequirement([("path", text(path))], [("env", env)])

    def release(self, request):
        path = request.request.requirement.uri
        if request.undo is not None:
            path = find(request.undo, "path")
        process.run(sh('rm -f "$1"', path))
        return DONE


# The tasks of the plan that are to be cancelled, all tasks, and the instances that each gets.
plan = {"tasks": 0, "cancel": [], "more": []}


class Schedule(exports.Schedule):
    def start_job(self, job):
        plan.update(tasks=0, cancel=[], more=[])
        word = find(job.settings, "corpus.word")
        if word.startswith("board "):
            board = '{"board": ["%s"]}' % word.removeprefix("board ")
            plan["more"] = [("instances", types.Value_Json(board))]
        return DONE

    def add_to_plan(self, page):
        for node in page.nodes:
            if "unwanted" in node.name:
                plan["cancel"].append(plan["tasks"])
            plan["tasks"] += 1
        return DONE

    def tasks_ended(self, ends):
        return DONE

    def next_tasks(self, turn):
        cancel, plan["cancel"] = plan["cancel"], []
        ready = [task for task in turn.ready if task not in cancel]
        start = [schedule.TaskStart(task, plan["more"]) for task in ready]
        return schedule.Choice(start[-1:], cancel, [])


# The open report, how many tests it has, and whether it names the files of each.
report = {"output": None, "tests": 0, "names_files": False}


def files_of(task):
    """The names and sizes of a task's files."""
    entries = artifact_list.list_artifacts(task, None).entries
    entries = [entry for entry in entries if entry.name != "debug.log"]
    return "".join(f" {entry.name}:{entry.size}" for entry in entries)


class Format(exports.Format):
    def start_report(self, job):
        word = find(job.settings, "corpus.word")
        report.update(output=report_output.open_report(), tests=0, names_files=word == "files")
        report["output"].append(f"0 tests, {word}\n".encode())
        return DONE

    def handle(self, page):
        for event in page.events:
            line = event.kind
            if event.task is not None:
                report["tests"] += 1
                line += f" {event.task} {find(event.data, 'status')}"
                try:
                    printed = artifacts.read(event.task, "stdout", 0, 100).decode().strip()
                    line += f" {printed}"
                except Err:
                    pass
                if report["names_files"]:
                    line += files_of(event.task)
            report["output"].append(f"{line}\n".encode())
        return DONE

    def finish_report(self, job_end):
        report["output"].overwrite(0, str(report["tests"]).encode())
        report["output"].append(f"complete: {str(job_end.complete).lower()}\n".encode())
        return DONE
