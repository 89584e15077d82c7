"""Runs test methods of Python's unittest and reports each result as a line of JSON.

    python3 -c SCRIPT FILE:CLASS.METHOD...

The environment variable PERSEA_REPORT_FD names the file descriptor of the report. The first line is empty and says
that the interpreter has started. Then each argument gets one line, in order:

    {"test": ..., "status": "pass|fail|error|skip", "class-name": ...,
     "reason": ..., "failure-type": ..., "traceback": ...,
     "cases": [{"name": ..., "status": ..., "reason": ...}], "cases-left-out": "3"}
                                                                (members without a value are left out)

The cases are the subtests of the test.

The output of tests goes where it would go without this script; unittest's own text is appended to standard output.

The script runs in the user's interpreter (3.6 and later), in one process with the user's code. So it imports only what
unittest imports anyway and changes no global state that a test could notice. The script is ASCII, because an
interpreter in a locale without UTF-8 accepts nothing else as an argument.
"""


import os
import sys


def main():
    report = Report(int(os.environ.pop("PERSEA_REPORT_FD")))
    report.write(b"\n")
    tests = sys.argv[1:]
    if sys.path and sys.path[0] == "":
        # As `python -m` does: imports keep working after a test has changed the working directory.
        sys.path[0] = os.getcwd()
    enable_diagnostics()
    for test in tests:
        try:
            report.send(test, run(test))
        except BaseException as error:  # KeyboardInterrupt and the like: report the test, then end the process
            report.send(test, dict(describe(error), status="error"))
            raise


def enable_diagnostics():
    """Makes a test that crashes or is killed leave its output and a traceback.

    Standard output is flushed at each line, and faulthandler prints the traceback at a fatal signal.
    """
    import faulthandler

    try:
        sys.stdout.reconfigure(line_buffering=True)  # since 3.7
    except (AttributeError, ValueError):
        pass
    try:
        faulthandler.enable()
    except (AttributeError, RuntimeError, ValueError):
        pass  # standard error is closed


class Report:
    """The pipe to Persea.

    Only this process has the descriptor: a child process of a test can neither keep the pipe open nor write to it.
    """

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
        self.write((encode(result) + "\n").encode("ascii"))

    def write(self, line):
        while line:
            line = line[os.write(self.descriptor, line) :]


def encode(value):
    """Returns a text, or a dictionary or list of them, as JSON. Members that are None are left out."""
    if isinstance(value, dict):
        members = ["%s: %s" % (quote(name), encode(each)) for name, each in value.items() if each is not None]
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(encode(each) for each in value) + "]"
    return quote(value)


def quote(text):
    """Returns a text as a JSON string. Importing the json package would take 5 % of the time of a short test."""
    try:
        from _json import encode_basestring_ascii
    except ImportError:
        from json.encoder import encode_basestring_ascii
    try:
        # Outside UTF-8 locales, Python decodes the bytes of a file name to lone surrogates.
        text = text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return encode_basestring_ascii(text)


def run(test):
    """Imports the file of one test, runs the test with unittest and returns the members of its report line."""
    from unittest import SkipTest

    path, colon, name = test.rpartition(":")
    if not colon or "." not in name:
        return {"status": "error", "reason": "%s does not name a test: expected FILE:CLASS.METHOD" % test}
    if not path.endswith(".py"):
        path += ".py"
    # Python source is UTF-8 in every locale. The path keeps the encoding of the file system.
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


# Maps each imported file to its module, or to the exception that its import raised, so that a file is imported once.
LOADED = {}


def load(path):
    """Imports a file under the name that `python -m unittest discover` gives it, and returns the module."""
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
        raise ImportError("the module name %s belongs to %s, not to %s" % (name, found or "a built-in module", path))
    return module


def module_name(path):
    """Returns the directory to import a file from and the name of its module there.

    The directory is the nearest one above the file that is not a package.
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
    # The root of a project may contain an __init__.py and still is not a package of its parent directory.
    return (
        os.path.basename(directory).isidentifier()
        and os.path.isfile(os.path.join(directory, "__init__.py"))
        and not any(os.path.exists(os.path.join(directory, name)) for name in (".git", "pyproject.toml"))
    )


def find(module, path, name):
    """Returns a suite of the one test `name` of a module.

    Raises SkipTest when the test is missing because a condition in the source does not hold.
    """
    import unittest

    parts = name.split(".")
    owner = module
    for part in parts[:-1]:
        owner = getattr(owner, part, None)
    method = getattr(owner, parts[-1], None)
    if isinstance(owner, type) and issubclass(owner, unittest.TestCase) and callable(method):
        return unittest.TestSuite([owner(parts[-1])])
    if method is None and is_conditional(path, parts, owner):
        raise unittest.SkipTest("%s is not defined: a condition around its definition does not hold" % name)
    return unittest.TestLoader().loadTestsFromName(name, module)


def is_conditional(path, parts, owner):
    """Returns whether the source defines a missing class or method below an `if`, a `try`, a `with` or a loop."""
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
    """Runs a suite of one test and returns its status, with a reason unless it passed."""
    import io
    import unittest

    stream = io.StringIO()
    # The default of `python -m unittest`.
    warnings = None if sys.warnoptions else "default"
    runner = unittest.TextTestRunner(stream=stream, verbosity=0, resultclass=result_class(), warnings=warnings)
    result = runner.run(suite)
    show(stream.getvalue(), 1)
    described = describe_result(result, name)
    if result.cases:
        described["cases"] = result.cases
    if result.cases_left_out:
        described["cases-left-out"] = str(result.cases_left_out)
    return described


def describe_result(result, name):
    """Returns the status of a test, with a reason unless it passed."""
    for status in ("error", "fail"):
        raised = result.raised[status]
        if raised:
            return dict(summary(raised), status=status)
    if not result.wasSuccessful():
        return {"status": "fail", "reason": "unittest counts the test as failed"}
    if result.skipped:
        return {"status": "skip", "reason": skip_reason(result.skipped[0][1])}
    if not result.testsRun:
        return {"status": "error", "reason": "%s has no test" % name}
    return {"status": "pass"}


def result_class():
    """Returns the class of test results. It is made once, so that forked processes share it."""
    global RESULT
    if RESULT is not None:
        return RESULT
    import unittest

    class Result(unittest.TextTestResult):
        """A test result that keeps the exceptions; unittest's own keeps only their text."""

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.raised = {"error": [], "fail": []}
            self.cases = []
            self.cases_left_out = 0
            self.cases_length = 0

        def addError(self, test, err):
            super().addError(test, err)
            self.keep("error", test, err, self.errors)

        def addFailure(self, test, err):
            super().addFailure(test, err)
            self.keep("fail", test, err, self.failures)

        def addSubTest(self, test, subtest, err):
            super().addSubTest(test, subtest, err)
            if err is None:
                self.add_case(subtest, "pass")
            else:
                failed = issubclass(err[0], test.failureException)
                status = "fail" if failed else "error"
                self.keep(status, subtest, err, self.failures if failed else self.errors)
                self.add_case(subtest, status, self.raised[status][-1]["reason"])

        def addSkip(self, test, reason):
            super().addSkip(test, reason)
            self.add_case(test, "skip", skip_reason(reason))

        def add_case(self, subtest, status, reason=None):
            """Adds a subtest to the cases, which have at most 1000 items and 50,000 characters."""
            name = subtest_name(subtest)
            if name is None:
                return
            name = first_line(name)[:200] or "subtest"
            self.cases_length += len(name) + len(reason or "")
            if len(self.cases) >= 1000 or self.cases_length > 50000:
                self.cases_left_out += 1
                return
            self.cases.append({"name": name, "status": status, "reason": reason})

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
    """Describes the first of several exceptions, with its subtest and the number of further exceptions."""
    first = dict(raised[0])
    subtest = first.pop("subtest")
    notes = [subtest] if subtest else []
    if len(raised) > 1:
        notes.append("and %d more" % (len(raised) - 1))
    if notes:
        first["reason"] += " [%s]" % ", ".join(notes)
    return first


def subtest_name(test):
    """Returns the name that unittest gives a subtest, such as `(i=1)`, or None for a test that is no subtest."""
    try:
        return test._subDescription()
    except Exception:
        return None


def describe(error, text=None):
    """Returns the reason, the type and the traceback of an exception.

    `text` is the traceback that unittest has formatted. Without it the traceback is formatted here, less the frames of
    this script.
    """
    import traceback

    if text is None:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_globals is globals():
            trace = trace.tb_next
        text = "".join(traceback.format_exception(type(error), error, trace))
    lines = traceback.format_exception_only(type(error), error)
    # A syntax error begins with indented lines that show the place.
    line = next((line for line in lines if not line.startswith(" ")), "")
    return {
        "reason": first_line(line),
        "failure-type": type(error).__name__,
        "traceback": shorten(text),
    }


def first_line(text):
    """Returns the first line of a text, at most 1000 characters.

    The second line is appended where the first one ends with a colon, as in "ValueError:".
    """
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    line = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return line if len(line) <= 1000 else line[:999] + "\u2026"


def skip_reason(reason):
    return first_line(reason) or "no reason given"


def shorten(text, limit=50000):
    """Cuts the middle out of a long traceback: the diff of two large values can have any size."""
    if len(text) <= limit:
        return text
    return text[: limit // 2] + "\n[...]\n" + text[-limit // 2 :]


def show(text, descriptor):
    """Writes a text after the output of the tests, also where a test has replaced or closed sys.stdout."""
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
