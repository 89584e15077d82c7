# Names the files of a project that pytest would take tests from.
#
#     python3 -c SCRIPT SELECTED ARGUMENT...
#
# The plugin appends this file to `persea_pytest.py` and `persea_pytest_texts.py`.
#
# pytest walks through the directories and decides, with its configuration, its plugins and every conftest.py. No test
# file is imported, unless an argument chooses tests by their names or marks (-k, -m, --deselect, --lf): only the files
# that have such tests are named then. The lines of the report, beside those of a session:
#
#     {"is": "file", "path": ..., "tests": 12, "tags": [...]}       once for each file, in pytest's order. `tests` counts
#                                                                   functions whose name begins with `test`

SELECTING = ("keyword", "markexpr", "deselect", "lf", "stepwise")


def list_files():
    report = Report(int(os.environ.pop("PERSEA_REPORT_FD")))
    report.protect()
    leave_working_directory()
    import_pytest(report)
    selected, arguments = sys.argv[1], sys.argv[2:]
    _, selection = plugins(report)
    selection.select(selected, "", arguments)
    selection.is_file = True  # as in the sessions that follow
    code = run(report, arguments + ["--collect-only", "-q"], [lister(report, selection), selection])
    sys.exit(code)


def lister(channel, selection):
    import pytest
    from _pytest.reports import CollectReport  # pytest has it since 7.0

    class Lister:
        def __init__(self):
            self.is_selecting = False
            self.files = {}
            self.broken = {}
            self.deselected = 0

        @pytest.hookimpl(tryfirst=True)
        def pytest_cmdline_main(self, config):
            self.is_selecting = any(getattr(config.option, name, None) for name in SELECTING)

        @pytest.hookimpl(tryfirst=True)
        def pytest_make_collect_report(self, collector):
            # Until pytest 8 a package was a kind of file, and has to be walked through.
            if self.is_selecting or isinstance(collector, pytest.Package) or not isinstance(collector, pytest.File):
                return None
            self.files.setdefault(file_of(collector))
            return CollectReport(collector.nodeid, "passed", None, [])

        @pytest.hookimpl(tryfirst=True)
        def pytest_collectreport(self, report):
            if report.failed:
                self.broken[report.nodeid] = failure(report)

        def pytest_deselected(self, items):
            self.deselected += len(items)

        @pytest.hookimpl(trylast=True)
        def pytest_collection_finish(self, session):
            for item in session.items:
                self.files.setdefault(file_of(item))
            for nodeid, reason in self.broken.items():
                file = os.path.join(str(session.config.rootdir), nodeid.partition("::")[0])
                if os.path.isfile(file):
                    self.files.setdefault(os.path.realpath(file))
                else:
                    channel.send({"is": "stopped", "kind": "collect", "reason": "%s: %s" % (nodeid or ".", reason)})
            channel.send({"is": "collected", "selected": len(self.files), "deselected": self.deselected})
            # Parts would each start workers of pytest-xdist, which do not know of them.
            in_parts = not selection.says_workers()
            directory = os.getcwd()
            for file in self.files:
                shown = os.path.relpath(file, directory)
                shown = file if shown.startswith("..") else shown
                described = describe_file(file)
                if not in_parts:
                    described.pop("tests", None)
                channel.send(dict(described, **{"is": "file", "path": shown}))

        def pytest_internalerror(self, excrepr):
            channel.send({"is": "stopped", "kind": "internal", "reason": "INTERNALERROR: " + summary(excrepr)})

    return Lister()


def file_of(node):
    return str(getattr(node, "path", None) or node.fspath)


def describe_file(path):
    """Returns the marks in the source of a file, and how many functions look like tests."""
    import re

    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return {}
    tags = set(re.findall(r"\bpytest\.mark\.([A-Za-z_]\w*)", text)) - BUILT_IN_MARKS
    tests = len(re.findall(r"^[ \t]*(?:async[ \t]+)?def[ \t]+test", text, re.MULTILINE))
    return {"tags": sorted(tags), "tests": tests}


list_files()
