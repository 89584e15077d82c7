"""Runs methods of Python's unittest, and says how each ended in a line of JSON.

    python3 -c SCRIPT FILE:CLASS.METHOD...

The lines go to the file descriptor that PERSEA_REPORT_FD names, one for each argument, in order:

    {"test": ..., "status": "pass|fail|error|skip", "class-name": ...,
     "reason": ..., "failure-type": ..., "traceback": ...}      (the second line where there is something to say)

What the tests print goes where it would go without this script; unittest's own text is added to standard output.
This runs in the users' interpreters, 3.6 and later, before their code and beside it: it imports what unittest
imports anyway, and leaves nothing behind that a test could trip over.
"""


import os
import sys


def main():
    report = Report(int(os.environ.pop("PERSEA_REPORT_FD")))
    tests = sys.argv[1:]
    if sys.path and sys.path[0] == "":
        # As `python -m` has it: a test that changes its directory doesn't change what can be imported.
        sys.path[0] = os.getcwd()
    enable_diagnostics()
    for test in tests:
        try:
            report.send(test, run(test))
        except BaseException as error:  # KeyboardInterrupt and the like end the process, but not without a word
            report.send(test, dict(describe(error), status="error"))
            raise


def enable_diagnostics():
    """Sees to it that a test that crashes or is killed leaves what it printed, and where it was."""
    import faulthandler

    try:
        sys.stdout.reconfigure(line_buffering=True)  # since 3.7
    except (AttributeError, ValueError):
        pass
    try:
        faulthandler.enable()
    except (AttributeError, RuntimeError, ValueError):
        pass  # there is no standard error


class Report:
    """The pipe to Persea. It is this process's alone: no child that outlives a test holds it open or speaks in its name."""

    def __init__(self, descriptor):
        self.descriptor = descriptor
        os.set_inheritable(descriptor, False)
        if hasattr(os, "register_at_fork"):  # since 3.7
            os.register_at_fork(after_in_child=self.close)

    def close(self):
        try:
            os.close(self.descriptor)
        except OSError:
            pass
        self.descriptor = None

    def send(self, test, result):
        if self.descriptor is None:
            return
        result["test"] = test
        members = ["%s: %s" % (quote(name), quote(value)) for name, value in result.items() if value is not None]
        line = ("{" + ", ".join(members) + "}\n").encode("ascii")
        while line:
            line = line[os.write(self.descriptor, line) :]


def quote(text):
    """A JSON string. The json package would cost a twentieth of the time of a short test."""
    try:
        from _json import encode_basestring_ascii
    except ImportError:
        from json.encoder import encode_basestring_ascii
    return encode_basestring_ascii(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def run(test):
    """Runs one test: imports its file and has unittest do the rest."""
    from unittest import SkipTest

    path, colon, name = test.rpartition(":")
    if not colon or "." not in name:
        return {"status": "error", "reason": "%s does not name a test: expected FILE:CLASS.METHOD" % test}
    if not path.endswith(".py"):
        path += ".py"
    sys.argv[:] = [path]
    class_name = name.rpartition(".")[0]
    try:
        module = load(path)
    except SkipTest as skip:
        return {"status": "skip", "class-name": class_name, "reason": skip_reason(skip)}
    except BaseException as error:
        result = dict(describe(error), status="error")
        result["class-name"] = class_name
        show(result["traceback"], 2)
        return result
    result = run_in(module, name)
    result["class-name"] = module.__name__ + "." + class_name
    return result


def load(path):
    """Imports a file as unittest does: by its name, with its directory first in the module path."""
    directory, file = os.path.split(os.path.abspath(path))
    name = file[: -len(".py")]
    if sys.path[:1] != [directory]:
        sys.path.insert(0, directory)
    try:
        __import__(name)
    except ImportError as error:
        # A file of a package that imports relatively has to be imported as what it is.
        if "relative import" not in str(error) or not os.path.exists(os.path.join(directory, "__init__.py")):
            raise
        top = directory
        while os.path.exists(os.path.join(top, "__init__.py")):
            top, package = os.path.split(top)
            name = package + "." + name
        sys.path.insert(0, top)
        __import__(name)
    module = sys.modules[name]
    found = getattr(module, "__file__", None)
    if os.path.exists(path) and not (found and os.path.samefile(found, path)):
        raise ImportError("the name %s stands for %s, not for %s" % (name, found or "a built-in module", path))
    return module


def run_in(module, name):
    """Runs the test `name` of a module that is loaded."""
    import io
    import unittest

    class Result(unittest.TextTestResult):
        """Keeps what unittest's own result forgets: what was raised."""

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.raised = {"error": [], "fail": []}

        def addError(self, test, err):
            super().addError(test, err)
            self.keep("error", test, err, self.errors)

        def addFailure(self, test, err):
            super().addFailure(test, err)
            self.keep("fail", test, err, self.failures)

        def addSubTest(self, test, subtest, err):
            super().addSubTest(test, subtest, err)
            if err is not None:
                failed = issubclass(err[0], test.failureException)
                self.keep("fail" if failed else "error", subtest, err, self.failures if failed else self.errors)

        def keep(self, status, test, err, shown):
            entry = describe(err[1], shown[-1][1])
            entry["subtest"] = subtest_name(test)
            self.raised[status].append(entry)

    stream = io.StringIO()
    suite = unittest.TestLoader().loadTestsFromName(name, module)
    result = unittest.TextTestRunner(stream=stream, verbosity=0, resultclass=Result).run(suite)
    show(stream.getvalue(), 1)
    for status in ("error", "fail"):
        raised = result.raised[status]
        if raised:
            return dict(summary(raised), status=status)
    if result.skipped:
        return {"status": "skip", "reason": skip_reason(result.skipped[0][1])}
    if not result.testsRun:
        return {"status": "error", "reason": "%s has no test" % name}
    return {"status": "pass"}


def summary(raised):
    """The first thing that was raised, and how much there is besides."""
    first = dict(raised[0])
    subtest = first.pop("subtest")
    notes = [subtest] if subtest else []
    if len(raised) > 1:
        notes.append("and %d more" % (len(raised) - 1))
    if notes:
        first["reason"] += " [%s]" % ", ".join(notes)
    return first


def subtest_name(test):
    """What a subtest is called: `(i=1)`."""
    try:
        return test._subDescription()
    except Exception:
        return None


def describe(error, text=None):
    """An exception in a line, by its type, and with its traceback, where `text` isn't that; without our own frames."""
    import traceback

    if text is None:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_globals is globals():
            trace = trace.tb_next
        text = "".join(traceback.format_exception(type(error), error, trace))
    lines = traceback.format_exception_only(type(error), error)
    # A syntax error begins with the place, indented.
    line = next((line for line in lines if not line.startswith(" ")), "")
    return {
        "reason": first_line(line),
        "failure-type": type(error).__name__,
        "traceback": shorten(text),
    }


def first_line(text):
    """What fits in a line: the first one, and the second where the first only names the exception."""
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    line = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return line if len(line) <= 1000 else line[:999] + "\u2026"


def skip_reason(reason):
    return first_line(reason) or "no reason given"


def shorten(text, limit=50000):
    """A traceback for a report: the diff of two large values can be of any size."""
    if len(text) <= limit:
        return text
    return text[: limit // 2] + "\n[...]\n" + text[-limit // 2 :]


def show(text, descriptor):
    """Writes text behind what tests have printed, whatever they have done with sys.stdout."""
    for stream in (sys.stdout, sys.__stdout__, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    data = text.encode("utf-8", "backslashreplace")
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        pass


main()
