#!/usr/bin/env python3
"""Runs the suites of real projects with pytest, with `pytest -n2` and with Persea, and compares all results.

    suites.py PERSEA [--repeat N] [SUITE...]

PERSEA is the binary. Without a SUITE, all of SUITES run. The script fails if a test has another status than pytest
says, is missing or was run twice. It prints a table for docs/pytest.md; a time is the least of N (default 1).

The projects are source archives from PyPI, in the versions below. They and a Python environment with pytest are kept in
the directory pytest-suites below $CARGO_TARGET_DIR or target. Once that directory is filled, no network is needed.
"""

import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import xml.etree.ElementTree

PYTEST = ["pytest==9.0.2", "pytest-xdist==3.8.0"]

# The name and version of a project, its directory in the archive, and what its tests need.
SUITES = {
    "click": ("click==8.1.8", "click-8.1.8", []),
    "h11": ("h11==0.16.0", "h11-0.16.0", []),
    "jinja2": ("jinja2==3.1.6", "jinja2-3.1.6", ["trio==0.31.0"]),
    "more-itertools": ("more-itertools==10.7.0", "more_itertools-10.7.0", []),
    "packaging": ("packaging==25.0", "packaging-25.0", ["pretend==1.0.9"]),
    "pluggy": ("pluggy==1.6.0", "pluggy-1.6.0", []),
    "pyflakes": ("pyflakes==3.3.2", "pyflakes-3.3.2", []),
    "simplejson": ("simplejson==3.20.1", "simplejson-3.20.1", []),
}


def main():
    arguments = sys.argv[1:]
    if not arguments:
        sys.exit("suites: missing argument; run suites.py PERSEA with the path of the binary")
    persea, names = os.path.realpath(arguments[0]), arguments[1:]
    repeat = 1
    if names[:1] == ["--repeat"]:
        repeat, names = int(names[1]), names[2:]
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        sys.exit("suites: no such suite: %s; there are %s" % (", ".join(unknown), ", ".join(SUITES)))
    repository = pathlib.Path(__file__).resolve().parents[3]
    cache = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", repository / "target")).resolve() / "pytest-suites"
    cache.mkdir(parents=True, exist_ok=True)
    print("| Suite | pytest | Persea | `pytest` | `pytest -n2` | `persea run pytest:.` |")
    print("|---|---|---|---|---|---|")
    is_equal = True
    for name in names or SUITES:
        python, project = prepare(cache, *SUITES[name])
        with tempfile.TemporaryDirectory() as work:
            is_equal &= compare(name, persea, python, project, pathlib.Path(work), repeat)
    sys.exit(0 if is_equal else "suites: Persea and pytest differ; see above")


def prepare(cache, requirement, directory, needs):
    """Returns the interpreter with pytest and the project, and the directory of the project's sources."""
    environment, sources = cache / ("venv-" + directory), cache / directory
    python = environment / "bin" / "python"
    wanted = [requirement] + PYTEST + needs
    ready = environment / "ready"
    if not ready.exists() or ready.read_text() != "\n".join(wanted):
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
        pip(python, "install", *wanted)
        pip(python, "download", "--no-deps", "--no-binary", ":all:", "--dest", environment, requirement)
        (archive,) = environment.glob("*.tar.gz")
        shutil.rmtree(sources, ignore_errors=True)
        with tarfile.open(archive) as tar:
            tar.extractall(cache, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(cache)
        ready.write_text("\n".join(wanted))
    return python, sources


def pip(python, *arguments):
    command = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    if ran.returncode != 0:
        sys.exit("%s\nsuites: pip %s failed; PyPI is needed once for each suite" % (ran.stdout, arguments[0]))


def compare(name, persea, python, project, work, repeat):
    """Runs a suite in each way, prints a line of the table, and returns whether all results are equal."""
    times = collections.defaultdict(list)
    by_persea(persea, python, project, work, [])  # the first time compiles the plugins
    for _ in range(repeat):
        expected = by_pytest(python, project, work, [], times["pytest"])
        by_pytest(python, project, work, ["-n2"], times["pytest -n2"])
        found, doubled = by_persea(persea, python, project, work, times["persea"])
    seconds = ["%.1f s" % min(times[way]) for way in ("pytest", "pytest -n2", "persea")]
    print("| %s | %s | %s | %s |" % (name, counts(expected), counts(found), " | ".join(seconds)), flush=True)
    for test in sorted(set(expected) | set(found)):
        # pytest's report does not tell an unexpected success from a success.
        status = {"unexpected success": "passed"}.get(found.get(test), found.get(test))
        if status != expected.get(test):
            print("%s: %s.%s: pytest says %s, Persea %s" % (name, *test, expected.get(test), found.get(test)))
    for test in doubled:
        print("%s: %s.%s has two results" % (name, *test))
    same = {test: "passed" if status == "unexpected success" else status for test, status in found.items()}
    return bool(expected) and same == expected and not doubled


def counts(results):
    number = collections.Counter(results.values())
    return ", ".join("%d %s" % (number[status], status) for status in sorted(number))


def timed(command, project, work, times):
    environment = dict(os.environ, HOME=str(work), PYTHONDONTWRITEBYTECODE="1", NO_COLOR="1")
    # Plugins are compiled once for all suites.
    environment.update(XDG_CACHE_HOME=str(project.parent / "cache"))
    begin = time.monotonic()
    ran = subprocess.run(
        command,
        cwd=project,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )
    times.append(time.monotonic() - begin)
    return ran


def by_pytest(python, project, work, more, times):
    """Returns the status of each test by its class and name, from pytest's own report."""
    report = work / "junit.xml"
    options = ["-q", "-p", "no:cacheprovider", "--junitxml=%s" % report, "-o", "junit_family=xunit2"]
    ran = timed([python, "-c", PYTEST_COMMAND] + options + more, project, work, times)
    if ran.returncode not in (0, 1):
        sys.exit("%s\nsuites: pytest exited with code %d" % (ran.stdout, ran.returncode))
    results = {}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        status = "passed"
        for child in case:
            if child.tag == "skipped":
                status = "failed as expected" if child.get("type") == "pytest.xfail" else "skipped"
            elif child.tag in ("failure", "error"):
                status = {"failure": "failed", "error": "in error"}[child.tag]
        test = (case.get("classname"), case.get("name"))
        if results.get(test, "passed") == "passed":
            results[test] = status
    return results


# What the program `pytest` does: unlike `python -m pytest` it does not put the working directory into the path.
PYTEST_COMMAND = "import sys; sys.path.pop(0); import pytest; sys.exit(pytest.console_main())"


def by_persea(persea, python, project, work, times):
    """Returns the status of each test by its class and name, and the tests with two results."""
    shutil.rmtree(work / "results", ignore_errors=True)
    command = [persea, "run", "--results-dir", work / "results", "--max-parallel-tasks", "2"]
    command += ["--set", "runner.pytest.interpreter=%s" % json.dumps(str(python)), "pytest:."]
    ran = timed(command, project, work, times)
    if ran.returncode not in (0, 1):
        sys.exit("%s\nsuites: persea exited with code %d" % (ran.stdout, ran.returncode))
    results, doubled = {}, []
    with open(work / "results" / "latest" / "events.jsonl", encoding="utf-8") as journal:
        for line in journal:
            event = json.loads(line)
            if event["event"] != "case-finished":
                continue
            data = event["data"]
            words = {"PASS": "passed", "FAIL": "failed", "ERROR": "in error", "SKIP": "skipped"}
            status = words.get(data["status"], data["status"])
            if data.get("expected-failure"):
                status = "failed as expected"
            elif data.get("unexpected-success"):
                status = "unexpected success"
            test = (data["class-name"], data["path"][-1])
            if test in results:
                doubled.append(test)
            results[test] = status
    return results, doubled


main()
