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
    {"is": "foreign", "path": [...]}                                                a test that does not belong to SELECTED
    {"is": "stopped", "reason": ..., "kind": "exit|interrupt|stop|internal"}        pytest ended the session early
    {"is": "end", "code": 1, "waits-for": [...]}                                    the exit code of pytest, and the
                                                                                    threads that an exit waits for

The script runs in the user's interpreter (3.6 and later), in one process with the user's code. It uses pytest's public
hooks. It is ASCII, because an interpreter in a locale without UTF-8 accepts nothing else as an argument.

The plugin appends `persea_pytest_texts.py`, and a part that begins: the call of main for one session,
`persea_pytest_batch.py` for many, or `persea_pytest_list.py` to name files.
"""


import os
import sys

OLDEST = (6, 2)

# Marks with a meaning of their own, which are no tags.
BUILT_IN_MARKS = {"parametrize", "skip", "skipif", "xfail", "usefixtures", "filterwarnings"}

PHASES = ("setup", "call", "teardown")

# The outcomes of a phase. A plugin may have others, which never make a test pass.
OUTCOMES = ("passed", "failed", "skipped")

# The outcomes by which pytest-rerunfailures and pytest-retry say that an attempt has failed and another follows.
RETRIED = ("rerun", "retried")


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
    return ended(report, code)


def ended(report, code):
    """Reports the end of pytest, and what the process waits for when it exits. Returns the exit code."""
    import threading

    left = []
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread() and thread is not threading.current_thread():
            left.append("thread %s" % thread.name)
    multiprocessing = sys.modules.get("multiprocessing")
    if hasattr(multiprocessing, "active_children"):
        left += ["process %s" % child.name for child in multiprocessing.active_children() if not child.daemon]
    report.send({"is": "end", "code": int(code), "waits-for": left[:20] or None})
    return int(code)


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

        without_cov = False

        def select(self, selected, part, arguments):
            self.selected = selected
            self.reference = Reference(selected)
            self.part = tuple(int(number) for number in part.split("/")) if part else None
            self.arguments = arguments
            self.is_file = is_file(selected)

        def says(self, *options):
            return any(argument.startswith(options) for argument in self.arguments)

        def says_workers(self):
            """Returns whether an argument asks for workers of pytest-xdist, or says that there are none."""
            return self.says("-n", "--numproc", "-d", "--dist", "--tx")

        @pytest.hookimpl(hookwrapper=True)
        def pytest_load_initial_conftests(self, early_config):
            options = early_config.known_args_namespace
            if self.is_file and hasattr(options, "cov_source") and not self.says("--cov"):
                options.cov_source = []
                self.without_cov = True
            yield

        @pytest.hookimpl(tryfirst=True)
        def pytest_cmdline_main(self, config):
            if self.is_file and hasattr(config.option, "tx") and not self.says_workers():
                config.option.numprocesses = 0
                config.option.dist = "no"
                config.option.tx = []
            has_workers = has_workers_of_xdist(config.option)
            if has_workers and self.part:
                raise pytest.UsageError("a session with workers of pytest-xdist cannot be divided into parts")
            if self.selected:
                config.args = [self.selected]
                kinds = getattr(config, "ArgsSource", None)  # since 7.2
                if kinds is not None:
                    config.args_source = kinds.ARGS
                if has_workers:
                    options = worker_options(config, self.arguments) + ["--no-cov"] * self.without_cov
                    given = config.invocation_params
                    named = self.selected if self.selected[0] != "-" else os.path.join(".", self.selected)
                    args = tuple(options) + (named,)
                    config.invocation_params = type(given)(args=args, plugins=given.plugins, dir=given.dir)

        @pytest.hookimpl(trylast=True)
        def pytest_configure(self, config):
            # The cache of the project is read, by --lf for instance, but sessions side by side do not write to it.
            cache, directory = getattr(config, "cache", None), os.environ.get("AVOCADO_TEST_WORKDIR")
            if directory and hasattr(cache, "_cachedir"):
                cache._cachedir = type(cache._cachedir)(os.path.join(directory, ".pytest_cache"))

        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(self, config, items):
            if self.reference.is_init_file:
                # Until pytest 8 such a file stands for its whole package.
                items[:] = [item for item in items if self.reference.has(str(config.rootpath), item.nodeid)]
            if self.part:
                number, count = self.part
                items[:] = [item for item in items if part_of(item.nodeid, count) == number]

    class Reporter:
        """Reports what happens in a session."""

        def __init__(self):
            self.reference = Reference("")
            self.root = ""
            self.only_sets_up = False
            self.has_collected = False
            self.deselected = 0
            self.open = {}
            self.tags = {}
            self.types = {}
            self.sent = set()
            self.foreign = set()

        def select(self, selected):
            self.reference = Reference(selected)

        def path(self, nodeid):
            """Returns the names of a test: its file, unless the session has but one; its classes; its own."""
            file, _, rest = nodeid.partition("::")
            head, bracket, parameters = rest.partition("[")
            names = head.split("::") if rest else []
            if bracket:
                names[-1] += bracket + parameters
            if not self.reference.is_file or not names or not self.reference.has(self.root, nodeid):
                names.insert(0, file or "session")
            return names

        @pytest.hookimpl(trylast=True)
        def pytest_configure(self, config):
            self.root = str(config.rootpath)
            self.only_sets_up = getattr(config.option, "setuponly", False)

        def pytest_deselected(self, items):
            self.deselected += len(items)

        @pytest.hookimpl(trylast=True)
        def pytest_collection_finish(self, session):
            report.send({"is": "collected", "selected": len(session.items), "deselected": self.deselected})

        @pytest.hookimpl(optionalhook=True)
        def pytest_xdist_node_collection_finished(self, node, ids):
            # Every worker collects the same tests, and with `--dist=each` runs all of them.
            if not self.has_collected and node.config.getoption("dist") != "each":
                self.has_collected = True
                report.send({"is": "collected", "selected": len(ids), "deselected": self.deselected})

        @pytest.hookimpl(tryfirst=True)
        def pytest_collectreport(self, report):
            if report.outcome != "passed" and report.nodeid not in self.sent:
                self.sent.add(report.nodeid)
                self.send(report.nodeid, Attempts([report]))

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_protocol(self, item):
            names = {mark.name for mark in item.iter_markers()} - BUILT_IN_MARKS
            if names:
                self.tags[item.nodeid] = sorted(names)

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_logstart(self, nodeid):
            if nodeid not in self.open:
                self.open[nodeid] = Attempts()
                report.send({"is": "start", "path": self.path(nodeid)})
            self.open[nodeid].start()

        def pytest_exception_interact(self, call, report):
            if getattr(report, "nodeid", None) is not None:
                self.types.setdefault(report.nodeid, call.excinfo.typename)

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_logreport(self, report):
            test = self.open.setdefault(report.nodeid, Attempts())
            if report.outcome in RETRIED:
                test.retry(report)
                self.types.pop(report.nodeid, None)
            elif hasattr(report, "context"):
                test.subtests.append(report)
            elif report.when in PHASES:
                test.add(report)
            else:  # a worker of pytest-xdist has crashed
                del self.open[report.nodeid]
                self.send(report.nodeid, Attempts([report]))

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_logfinish(self, nodeid):
            test = self.open.get(nodeid)
            if test is not None and test.finish():
                self.send(nodeid, self.open.pop(nodeid))

        def pytest_internalerror(self, excrepr):
            self.stopped("internal", "INTERNALERROR: " + summary(excrepr))

        def pytest_keyboard_interrupt(self, excinfo):
            if excinfo.typename == "Exit":
                self.stopped("exit", "pytest.exit: " + first_line(getattr(excinfo.value, "msg", "")))
            else:
                self.stopped("interrupt", first_line(excinfo.exconly()))

        def stopped(self, kind, reason):
            report.send({"is": "stopped", "kind": kind, "reason": reason})
            self.close(reason)

        @pytest.hookimpl(tryfirst=True)
        def pytest_sessionfinish(self, session):
            reason = getattr(session, "shouldfail", False) or getattr(session, "shouldstop", False)
            if reason:
                report.send({"is": "stopped", "kind": "stop", "reason": first_line(reason)})
            self.close(first_line(reason) if reason else "the session ended before the test did")

        def close(self, reason):
            """Reports each test that has not ended: it is in error for this reason, unless it has failed already."""
            for nodeid in list(self.open):
                test = self.open.pop(nodeid)
                self.send(nodeid, test, None if test.has_ended() else reason)

        def send(self, nodeid, test, unfinished=None):
            for each in test.subtests:
                # pytest counts a subtest that passes with its test.
                if not each.passed:
                    report.send(self.describe(nodeid, Attempts([each]), None, subtest(each.context)))
            report.send(self.describe(nodeid, test, unfinished))
            if nodeid not in self.foreign and not self.reference.has(self.root, nodeid):
                self.foreign.add(nodeid)
                report.send({"is": "foreign", "path": self.path(nodeid)})

        def describe(self, nodeid, test, unfinished, subtest=None):
            """Returns the case of a test from the reports of the phases of its last attempt.

            `unfinished` is the reason why the test has not ended; None where it has.
            """
            path = self.path(nodeid)
            if subtest is not None:
                path.append(subtest)
            reports = test.reports
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
            unknown = [each for each in reports if each.outcome not in OUTCOMES]
            if failed:
                first = failed[0]
                case["status"] = "fail" if getattr(first, "when", "collect") == "call" else "error"
                case["reason"] = test.words() + "; ".join(failure(each) for each in failed)[:2000]
                case["failure-type"] = self.types.get(nodeid)
                case["traceback"] = shorten("\n".join(getattr(each, "longreprtext", "") for each in failed))
                output = captured(reports)
                if output:
                    case["output"] = shorten(output)
                    case["reason"] += " [%s]" % last_output(failed)
            elif unknown:
                case["status"] = "error"
                case["reason"] = "pytest reported the outcome `%s`" % first_line(unknown[0].outcome)
            elif unfinished is not None:
                case["status"] = "error"
                case["reason"] = test.words() + unfinished
            elif expected:
                case["status"] = "xfail" if expected[0].skipped else "xpass"
                case["reason"] = first_line(expected[0].wasxfail)
            elif skipped:
                case["status"] = "skip"
                case["reason"] = skip_reason(skipped[0])
            elif any(getattr(each, "when", None) == "call" for each in reports):
                case["status"] = "pass"
                case["reason"] = "passed on attempt %d" % test.attempt if test.attempt > 1 else None
            elif reports and self.only_sets_up:
                case["status"] = "skip"
                case["reason"] = "pytest only set up its fixtures"
            else:
                case["status"] = "error"
                case["reason"] = "pytest reported no run of the test"
            return case

    return Reporter(), Selection()


class Attempts:
    """The reports of a test that has started: those of its last attempt, and how many attempts failed before it."""

    def __init__(self, reports=()):
        self.reports = list(reports)
        self.subtests = []
        self.attempt = 1
        self.runs = 0
        self.last = None
        self.is_withheld = False

    def start(self):
        if self.is_withheld:
            self.attempt += 1
            self.reports = []
        self.is_withheld = False
        self.runs += 1
        self.last = None

    def retry(self, report):
        """Takes the report of a failed phase after which a plugin runs the test again."""
        if self.last is None:
            self.attempt += 1
        self.last = report
        self.reports = []
        self.subtests = []
        if report.when not in PHASES:  # a worker of pytest-xdist has crashed, so that this attempt has no end
            self.runs = 0

    def add(self, report):
        # The teardown belongs to the attempt that has failed. Some plugins do not start a test anew.
        if self.last is not None and report.when != "teardown":
            self.last = None
        if self.last is None:
            self.reports.append(report)

    def finish(self):
        """Takes the end of an attempt. Returns whether the test has ended."""
        self.runs -= 1
        if self.runs > 0 or self.last is not None:
            return False
        # The plugin flaky keeps the call of a failed attempt to itself.
        self.is_withheld = not any(each.when == "call" or each.outcome != "passed" for each in self.reports)
        return not self.is_withheld

    def has_ended(self):
        return self.last is None and any(each.when == "teardown" for each in self.reports)

    def words(self):
        """Returns how a reason of a failure begins."""
        if self.last is not None:
            return "attempt %d failed (%s) and was the last: " % (self.attempt - 1, failure(self.last))
        return "failed in each of %d attempts: " % self.attempt if self.attempt > 1 else ""


class Reference:
    """What a session is narrowed to: a file, a directory or a node id; empty for all."""

    def __init__(self, selected):
        path, _, self.names = selected.partition("::")
        self.is_file = is_file(selected)
        self.is_init_file = os.path.basename(path) == "__init__.py" and not self.names
        self.paths = {os.path.abspath(path), os.path.realpath(path)} if path and os.path.exists(path) else None
        self.files = {}

    def has(self, root, nodeid):
        """Returns whether a test belongs to the reference, also where a plugin's node id does not show it."""
        file, _, rest = nodeid.partition("::")
        if self.paths is None or not file:
            return True
        known = self.files.get(file)
        if known is None:
            known = self.files[file] = self.has_file(os.path.join(root, file))
        if not known:
            return False
        return not self.names or not rest or rest == self.names or rest.startswith(
            (self.names + "::", self.names + "[", self.names + "@")
        )

    def has_file(self, file):
        if not os.path.exists(file):
            return True
        own = (os.path.abspath(file), os.path.realpath(file))
        return any(path == one or one.startswith(os.path.join(path, "")) for path in self.paths for one in own)


def has_workers_of_xdist(option):
    return bool(
        getattr(option, "numprocesses", None) or getattr(option, "tx", None) or getattr(option, "dist", "no") != "no"
    )


def worker_options(config, arguments):
    """Returns the options of a worker of pytest-xdist. A worker reads the configuration and collects by itself.

    The files and directories among the arguments do not count in a narrowed session, and the configuration is that of
    the session, although the reference may lie below another one.
    """
    options, named = list(arguments), list(getattr(config.option, "file_or_dir", None) or ())
    while options and options[-1] in named:
        named.remove(options.pop())
    # One word: xdist takes a word that is a path for a part of the reference.
    found = ["--rootdir=%s" % config.rootpath, "-c%s" % (config.inipath or os.devnull)]
    confcutdir = getattr(config.known_args_namespace, "confcutdir", None)
    if confcutdir:
        found.append("--confcutdir=%s" % confcutdir)
    return found + options


def part_of(nodeid, count):
    """Returns the part, from 1, to which a test belongs. The tests of a class, or of a function, belong together."""
    import zlib

    owner = nodeid.partition("[")[0].split("::")[1:2]
    return zlib.crc32("".join(owner).encode("utf-8", "surrogateescape")) % count + 1
