"""Runs a session of pytest and reports each test as a line of JSON.

    python3 -c SCRIPT SELECTED PART ARGUMENT...

The session is that of `pytest ARGUMENT...`, narrowed to SELECTED: a file, a directory or a node id; empty for all.
PART is empty, or `2/3` for the second of three parts of the tests.

The environment variable PERSEA_REPORT_FD names the file descriptor of the report. Its lines, in order:

    {"is": "ready"}                                                                 pytest was imported
    {"is": "problem", "reason": ...}                                                there is no usable pytest; the last
    {"is": "collected", "selected": 3, "deselected": 1}
    {"is": "start", "path": [...]}
    {"is": "case", "path": [...], "status": "pass|fail|error|skip|xfail|xpass", "duration": NANOSECONDS,
     "reason": ..., "failure-type": ..., "traceback": ..., "output": ..., "class-name": ..., "file": ..., "line": 7,
     "tags": [...]}                                                                 (members without a value are left out)
    {"is": "stopped", "reason": ..., "kind": "exit|interrupt|stop|internal"}        pytest ended the session early
    {"is": "end", "code": 1}                                                        the exit code of pytest

The script runs in the user's interpreter (3.6 and later), in one process with the user's code. It uses pytest's public
hooks. It is ASCII, because an interpreter in a locale without UTF-8 accepts nothing else as an argument.
"""


import os
import sys

OLDEST = (6, 2)

# Marks with a meaning of their own, which are no tags.
BUILT_IN_MARKS = {"parametrize", "skip", "skipif", "xfail", "usefixtures", "filterwarnings"}


def main():
    report = Report(int(os.environ.pop("PERSEA_REPORT_FD")))
    report.protect()
    leave_working_directory()
    import_pytest(report)
    selected, part, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
    reporter, selection = plugins(report)
    reporter.select(selected)
    selection.select(selected, part, arguments)
    code = run(report, arguments, [reporter, selection])
    sys.exit(code)


def leave_working_directory():
    """Removes the working directory from the path of modules, where the command `pytest` does not have it either."""
    if sys.path and sys.path[0] == "":
        del sys.path[0]


def import_pytest(report):
    """Imports pytest, or reports what is wrong with it and exits."""
    try:
        import pytest
    except ImportError as error:
        report.problem("pytest cannot be imported by %s (%s): %s" % (sys.executable, error, install("pytest")))
    version = getattr(pytest, "__version__", "of no version")
    numbers = tuple(int(number) for number in version.split(".")[:2] if number.isdigit())
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        wanted = install("'pytest>=%s'" % oldest)
        report.problem("pytest %s of %s is too old, %s is needed: %s" % (version, sys.executable, oldest, wanted))
    report.send({"is": "ready"})


def install(what):
    return "type `%s -m pip install %s`, or set runner.pytest.interpreter to a Python that has it" % (
        sys.executable,
        what,
    )


def is_file(selected):
    """Returns whether a selection is a file, or some tests of a file."""
    return bool(selected) and not os.path.isdir(selected.partition("::")[0])


def run(report, arguments, hooks):
    """Runs pytest in this process and returns its exit code."""
    import pytest

    sys.argv[:] = ["pytest"] + arguments
    try:
        code = pytest.main(list(arguments), plugins=hooks)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    code = int(code)
    report.send({"is": "end", "code": code})
    return code


class Report:
    """The pipe to Persea."""

    def __init__(self, descriptor):
        self.descriptor = descriptor
        os.set_inheritable(descriptor, False)

    def protect(self):
        """From now on a child process of a test can neither keep the pipe open nor write to it."""
        if hasattr(os, "register_at_fork"):  # since 3.7
            os.register_at_fork(after_in_child=self.close)

    def close(self):
        try:
            os.close(self.descriptor)
        except (OSError, TypeError):
            pass
        self.descriptor = None

    def send(self, event):
        import json

        if self.descriptor is not None:
            members = {name: clean(value) for name, value in event.items() if value is not None}
            write_all(self.descriptor, json.dumps(members).encode("ascii") + b"\n")

    def problem(self, reason):
        self.send({"is": "problem", "reason": reason})
        sys.exit(1)


def write_all(descriptor, data):
    while data:
        data = data[os.write(descriptor, data) :]


def clean(value):
    """Returns a value whose texts can be encoded: Python decodes odd bytes of a file name to lone surrogates."""
    if isinstance(value, list):
        return [clean(each) for each in value]
    if not isinstance(value, str):
        return value
    try:
        return value.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return value.encode("utf-8", "backslashreplace").decode("utf-8")


def plugins(report):
    """Returns the two plugins of a session: one reports, one chooses the tests. pytest must be importable."""
    import pytest

    class Selection:
        """Narrows a session to some of its tests, after pytest has found its configuration.

        A session of one file neither measures the coverage of the project nor starts workers of its own, unless its
        own arguments say so: what the project sets for its whole suite fails for one file (`--cov-fail-under`), or
        takes longer than the file (`-n`).
        """

        def select(self, selected, part, arguments):
            self.selected = selected
            self.part = tuple(int(number) for number in part.split("/")) if part else None
            self.arguments = arguments
            self.is_file = is_file(selected)

        def says(self, *options):
            return any(argument.startswith(options) for argument in self.arguments)

        @pytest.hookimpl(hookwrapper=True)
        def pytest_load_initial_conftests(self, early_config):
            options = early_config.known_args_namespace
            if self.is_file and hasattr(options, "cov_source") and not self.says("--cov"):
                options.cov_source = []
            yield

        @pytest.hookimpl(tryfirst=True)
        def pytest_cmdline_main(self, config):
            if self.is_file and hasattr(config.option, "tx") and not self.says("-n", "--numproc", "-d", "--dist"):
                config.option.numprocesses = 0
                config.option.dist = "no"
                config.option.tx = []
            if self.selected:
                config.args = [self.selected]
                kinds = getattr(config, "ArgsSource", None)  # since 7.2
                if kinds is not None:
                    config.args_source = kinds.ARGS

        @pytest.hookimpl(trylast=True)
        def pytest_configure(self, config):
            # The cache of the project is read, by --lf for instance, but sessions side by side do not write to it.
            cache, directory = getattr(config, "cache", None), os.environ.get("AVOCADO_TEST_WORKDIR")
            if directory and hasattr(cache, "_cachedir"):
                cache._cachedir = type(cache._cachedir)(os.path.join(directory, ".pytest_cache"))

        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(self, items):
            if self.part:
                number, count = self.part
                items[:] = [item for item in items if part_of(item.nodeid, count) == number]

    class Reporter:
        """Reports what happens in a session."""

        def __init__(self):
            self.is_one_file = False
            self.deselected = 0
            self.reports = {}
            self.tags = {}
            self.types = {}
            self.sent = set()

        def select(self, selected):
            self.is_one_file = is_file(selected)

        def path(self, nodeid):
            """Returns the names of a test: its file, unless the session has but one; its classes; its own."""
            file, _, rest = nodeid.partition("::")
            head, bracket, parameters = rest.partition("[")
            names = head.split("::") if rest else []
            if bracket:
                names[-1] += bracket + parameters
            if not self.is_one_file or not names:
                names.insert(0, file or "session")
            return names

        def pytest_deselected(self, items):
            self.deselected += len(items)

        @pytest.hookimpl(trylast=True)
        def pytest_collection_finish(self, session):
            report.send({"is": "collected", "selected": len(session.items), "deselected": self.deselected})

        @pytest.hookimpl(tryfirst=True)
        def pytest_collectreport(self, report):
            if (report.failed or report.skipped) and report.nodeid not in self.sent:
                self.sent.add(report.nodeid)
                self.send(report.nodeid, [report])

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_protocol(self, item):
            names = {mark.name for mark in item.iter_markers()} - BUILT_IN_MARKS
            if names:
                self.tags[item.nodeid] = sorted(names)

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_logstart(self, nodeid):
            self.reports.setdefault(nodeid, [])
            report.send({"is": "start", "path": self.path(nodeid)})

        def pytest_exception_interact(self, call, report):
            if getattr(report, "nodeid", None) is not None:
                self.types.setdefault(report.nodeid, call.excinfo.typename)

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_logreport(self, report):
            if report.outcome == "rerun":
                self.reports[report.nodeid] = []
                self.types.pop(report.nodeid, None)
            elif hasattr(report, "context"):
                # pytest counts a subtest that passes with its test.
                if not report.passed:
                    self.send(report.nodeid, [report], subtest(report.context))
            elif report.when in ("setup", "call", "teardown"):
                self.reports.setdefault(report.nodeid, []).append(report)
            else:  # a worker of pytest-xdist has crashed
                self.reports.pop(report.nodeid, None)
                self.send(report.nodeid, [report])

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_logfinish(self, nodeid):
            if self.reports.get(nodeid):
                self.send(nodeid, self.reports[nodeid])
            self.reports.pop(nodeid, None)

        def pytest_internalerror(self, excrepr):
            self.stopped("internal", "INTERNALERROR: " + summary(excrepr))

        def pytest_keyboard_interrupt(self, excinfo):
            if excinfo.typename == "Exit":
                self.stopped("exit", "pytest.exit: " + first_line(getattr(excinfo.value, "msg", "")))
            else:
                self.stopped("interrupt", first_line(excinfo.exconly()))

        def stopped(self, kind, reason):
            report.send({"is": "stopped", "kind": kind, "reason": reason})
            for nodeid in list(self.reports):
                case = self.describe(nodeid, self.reports.pop(nodeid))
                if case["status"] in ("pass", "xpass", "xfail"):
                    case.update(status="error", reason=reason)
                report.send(case)

        @pytest.hookimpl(tryfirst=True)
        def pytest_sessionfinish(self, session):
            reason = getattr(session, "shouldfail", False) or getattr(session, "shouldstop", False)
            if reason:
                report.send({"is": "stopped", "kind": "stop", "reason": first_line(reason)})

        def send(self, nodeid, reports, subtest=None):
            report.send(self.describe(nodeid, reports, subtest))

        def describe(self, nodeid, reports, subtest=None):
            """Returns the case of a test from the reports of its phases."""
            path = self.path(nodeid)
            if subtest is not None:
                path.append(subtest)
            case = {"is": "case", "path": path, "class-name": class_name(nodeid), "tags": self.tags.get(nodeid)}
            location = getattr(reports[0], "location", None) if reports else None
            if location:
                case["file"] = location[0]
                case["line"] = None if location[1] is None else location[1] + 1
            seconds = sum(getattr(each, "duration", 0) for each in reports)
            case["duration"] = max(0, int(seconds * 1e9))
            failed = [each for each in reports if each.failed]
            skipped = [each for each in reports if each.skipped]
            expected = [each for each in reports if hasattr(each, "wasxfail")]
            if failed:
                first = failed[0]
                case["status"] = "fail" if getattr(first, "when", "collect") == "call" else "error"
                case["reason"] = "; ".join(failure(each) for each in failed)[:2000]
                case["failure-type"] = self.types.get(nodeid)
                case["traceback"] = shorten("\n".join(getattr(each, "longreprtext", "") for each in failed))
                output = captured(reports)
                if output:
                    case["output"] = shorten(output)
                    case["reason"] += " [%s]" % last_output(failed)
            elif expected:
                case["status"] = "xfail" if expected[0].skipped else "xpass"
                case["reason"] = first_line(expected[0].wasxfail)
            elif skipped:
                case["status"] = "skip"
                case["reason"] = skip_reason(skipped[0])
            else:
                case["status"] = "pass"
            return case

    return Reporter(), Selection()


def part_of(nodeid, count):
    """Returns the part, from 1, to which a test belongs. The tests of a class, or of a function, belong together."""
    import zlib

    owner = nodeid.partition("[")[0].split("::")[1:2]
    return zlib.crc32("".join(owner).encode("utf-8", "surrogateescape")) % count + 1


def class_name(nodeid):
    """Returns the name that pytest's own JUnit report gives the class of a test."""
    file, _, rest = nodeid.partition("::")
    if file.endswith(".py"):
        file = file[: -len(".py")]
    return ".".join([file.replace("/", ".")] + rest.partition("[")[0].split("::")[:-1])


def subtest(context):
    """Returns the name of a subtest, as pytest writes it."""
    message, values = getattr(context, "msg", None), getattr(context, "kwargs", None) or {}
    parts = ["[%s]" % message] if message is not None else []
    if values:
        # Those of unittest are texts already.
        shown = ("%s=%s" % (name, value if isinstance(value, str) else repr(value)) for name, value in values.items())
        parts.append("(%s)" % ", ".join(shown))
    return first_line(" ".join(parts)) or "(<subtest>)"


def failure(report):
    """Returns the reason of a failed phase: that of a fixture says so."""
    reason = summary(report.longrepr)
    when = getattr(report, "when", "collect")
    words = {"setup": "setup failed: ", "teardown": "teardown failed: ", "collect": "collection failed: "}
    return words.get(when, "") + reason


def summary(longrepr):
    """Returns the essence of a traceback in one line."""
    message = getattr(getattr(longrepr, "reprcrash", None), "message", None)
    if message:
        return first_line(message)
    lines = [line for line in str(longrepr).splitlines() if line.strip()]
    errors = [line[1:].strip() for line in lines if line.startswith("E ")]
    # The last line of an error in a module is its exception; the first one of a fixture says what is missing.
    named = [line for line in errors if line.split(":")[0].rpartition(".")[2].endswith(("Error", "Exception"))]
    chosen = named[-1:] or errors[:1] or lines[-1:]
    return first_line(chosen[0]) if chosen else "no reason given"


def skip_reason(report):
    longrepr = report.longrepr
    reason = longrepr[2] if isinstance(longrepr, tuple) and len(longrepr) == 3 else longrepr
    reason = first_line(reason)
    return (reason[len("Skipped: ") :] if reason.startswith("Skipped: ") else reason) or "no reason given"


def captured(reports):
    """Returns what a test has printed and logged, each stream below its name."""
    parts = []
    for name, text in getattr(reports[-1], "sections", []) if reports else []:
        parts.append("---- %s ----\n%s" % (name, text))
    return "\n".join(parts)


def last_output(reports):
    """Returns the last line that a failed test has printed, with the name of its stream."""
    for name, text in reversed(getattr(reports[0], "sections", [])):
        lines = [line.strip() for line in text[-5000:].splitlines() if line.strip()]
        if lines:
            return "%s: %s" % (name[:1].lower() + name[1:], lines[-1][-200:])
    return "it printed output"


def first_line(text):
    """Returns the first line of a text, at most 1000 characters.

    The second line is appended where the first one ends with a colon, as in "ValueError:".
    """
    lines = [line.strip() for line in str(text)[:100000].splitlines() if line.strip()]
    line = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return line if len(line) <= 1000 else line[:999] + "\u2026"


def shorten(text, limit=20000):
    """Cuts the middle out of a long text."""
    if len(text) <= limit:
        return text
    return text[: limit // 2] + "\n[...]\n" + text[-limit // 2 :]


main()
