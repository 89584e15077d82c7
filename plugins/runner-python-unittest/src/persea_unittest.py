"""Runs methods of Python's unittest, and says how each ended in a line of JSON.

    python3 -c SCRIPT FILE:CLASS.METHOD...

The lines go to the file descriptor that PERSEA_REPORT_FD names. An empty line comes first: the interpreter has started.
Then one for each argument, in order:

    {"test": ..., "status": "pass|fail|error|skip", "class-name": ...,
     "reason": ..., "failure-type": ..., "traceback": ...}      (the second line where there is something to say)

What the tests print goes where it would go without this script; unittest's own text is added to standard output.
This runs in the users' interpreters, 3.6 and later, before their code and beside it: it imports what unittest
imports anyway, and leaves nothing behind that a test could trip over. It is ASCII throughout: an interpreter whose
locale has no UTF-8 takes nothing else from its command line.
"""


import os
import sys


def main():
    report = Report(int(os.environ.pop("PERSEA_REPORT_FD")))
    report.write(b"\n")
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
        self.write(("{" + ", ".join(members) + "}\n").encode("ascii"))

    def write(self, line):
        while line:
            line = line[os.write(self.descriptor, line) :]


def quote(text):
    """A JSON string. The json package would cost a twentieth of the time of a short test."""
    try:
        from _json import encode_basestring_ascii
    except ImportError:
        from json.encoder import encode_basestring_ascii
    try:
        # A file name in a locale that is not UTF-8 holds its bytes as lone surrogates.
        text = text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return encode_basestring_ascii(text)


def run(test):
    """Runs one test: imports its file and has unittest do the rest."""
    from unittest import SkipTest

    path, colon, name = test.rpartition(":")
    if not colon or "." not in name:
        return {"status": "error", "reason": "%s does not name a test: expected FILE:CLASS.METHOD" % test}
    if not path.endswith(".py"):
        path += ".py"
    # Python source is UTF-8 whatever the locale is; paths stay as the file system encoding has them.
    name = os.fsencode(name).decode("utf-8", "surrogateescape")
    sys.argv[:] = [path]
    class_name = name.rpartition(".")[0]
    try:
        module = load(path)
        class_name = module.__name__ + "." + class_name
        suite = find(module, path, name)
    except SkipTest as skip:
        return {"status": "skip", "class-name": class_name, "reason": skip_reason(skip)}
    except BaseException as error:
        result = dict(describe(error), status="error")
        result["class-name"] = class_name
        show(result["traceback"], 2)
        return result
    result = run_suite(suite, name)
    result["class-name"] = class_name
    return result


# The module of each file that was imported, or what importing it has raised: a file is imported once.
LOADED = {}


def load(path):
    """Returns the module of a file, as `python -m unittest discover` imports it from the project's top level."""
    if path not in LOADED:
        try:
            LOADED[path] = import_file(path)
        except BaseException as error:
            LOADED[path] = error
    loaded = LOADED[path]
    if isinstance(loaded, BaseException):
        raise loaded
    return loaded


def import_file(path):
    top, name = module_name(os.path.abspath(path))
    if top not in sys.path:
        sys.path.insert(0, top)
    __import__(name)
    module = sys.modules[name]
    found = getattr(module, "__file__", None)
    if os.path.exists(path) and not (found and os.path.samefile(found, path)):
        raise ImportError("the name %s stands for %s, not for %s" % (name, found or "a built-in module", path))
    return module


def module_name(path):
    """The directory from which a file is imported, and the name that its module has there.

    That directory is the first one above the file that is no package, or the project's own.
    """
    directory, file = os.path.split(path)
    parts = [file[: -len(".py")]]
    while is_package(directory):
        directory, package = os.path.split(directory)
        parts.insert(0, package)
    if len(parts) > 1 and parts[-1] == "__init__":
        parts.pop()
    return directory, ".".join(parts)


def is_package(directory):
    # A project that holds an __init__.py beside its pyproject.toml is no package of the directory above it.
    return (
        os.path.basename(directory).isidentifier()
        and os.path.isfile(os.path.join(directory, "__init__.py"))
        and not any(os.path.exists(os.path.join(directory, name)) for name in (".git", "pyproject.toml"))
    )


def find(module, path, name):
    """The suite of the test `name` of a module. SkipTest where the module may go without that test."""
    import unittest

    parts = name.split(".")
    owner = module
    for part in parts[:-1]:
        owner = getattr(owner, part, None)
    method = getattr(owner, parts[-1], None)
    if isinstance(owner, type) and issubclass(owner, unittest.TestCase) and callable(method):
        return unittest.TestSuite([owner(parts[-1])])
    if method is None and is_conditional(path, parts, owner):
        raise unittest.SkipTest("%s is not defined here: it depends on a condition that does not hold" % name)
    return unittest.TestLoader().loadTestsFromName(name, module)


def is_conditional(path, parts, owner):
    """Whether a class or method that is not there is defined below an `if`, a `try` or a loop."""
    import ast

    files = [path]
    for each in getattr(owner, "__mro__", ()):
        files.append(getattr(sys.modules.get(each.__module__), "__file__", None))
    names = set(parts) | set(each.__name__ for each in getattr(owner, "__mro__", ()))

    def search(body, below):
        for node in body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                if below and node.name in parts:
                    return True
                if isinstance(node, ast.ClassDef) and node.name in names and search(node.body, below):
                    return True
            elif isinstance(node, (ast.If, ast.Try, ast.For, ast.While, ast.With)):
                blocks = [node.body, getattr(node, "orelse", []), getattr(node, "finalbody", [])]
                blocks += [handler.body for handler in getattr(node, "handlers", [])]
                if any(search(block, True) for block in blocks):
                    return True
        return False

    for file in files:
        try:
            with open(file, "rb") as source:
                if search(ast.parse(source.read()).body, False):
                    return True
        except (OSError, SyntaxError, TypeError, ValueError):
            pass
    return False


def run_suite(suite, name):
    """Runs a suite of one test, and says how it went."""
    import io
    import unittest

    stream = io.StringIO()
    # As `python -m unittest` has it.
    warnings = None if sys.warnoptions else "default"
    runner = unittest.TextTestRunner(stream=stream, verbosity=0, resultclass=result_class(), warnings=warnings)
    result = runner.run(suite)
    show(stream.getvalue(), 1)
    for status in ("error", "fail"):
        raised = result.raised[status]
        if raised:
            return dict(summary(raised), status=status)
    if not result.wasSuccessful():
        return {"status": "fail", "reason": "unittest counts it as a failure"}
    if result.skipped:
        return {"status": "skip", "reason": skip_reason(result.skipped[0][1])}
    if not result.testsRun:
        return {"status": "error", "reason": "%s has no test" % name}
    return {"status": "pass"}


def result_class():
    """Makes the class of results, once for all processes that are forked from this one."""
    global RESULT
    if RESULT is not None:
        return RESULT
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

        def addUnexpectedSuccess(self, test):
            super().addUnexpectedSuccess(test)
            self.raised["fail"].append({"reason": "unexpected success", "subtest": None})

        def keep(self, status, test, err, shown):
            entry = describe(err[1], shown[-1][1])
            entry["subtest"] = subtest_name(test)
            self.raised[status].append(entry)

    RESULT = Result
    return Result


RESULT = None


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
