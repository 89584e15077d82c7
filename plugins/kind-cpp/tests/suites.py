#!/usr/bin/env python3
"""Compares Persea with GoogleTest and Catch2 on suites from Debian's sources: same tests, same statuses, and the time
of each.

    suites.py PERSEA [--runs N] [SUITE...]

PERSEA is the binary. Without a SUITE, all of SUITES run. Each program runs by itself, each of its tests runs alone by
the program's own filter, and Persea runs both: a session, and isolated tests. The script fails where a test is missing,
has two results, or has another status than the program says. It prints a table for docs/cpp.md; a time is the least of
N (default 1).

The sources are those of Debian 12 and 13; apt-get fetches them, and g++ compiles them with Debian's libgtest-dev and
catch2. Both are kept in the directory cpp-suites below $CARGO_TARGET_DIR or target. Once that directory is filled, no
network is needed.
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import xml.etree.ElementTree

KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
MIRROR = "http://deb.debian.org/debian"
RELEASES = ["bookworm", "trixie"]

# The name and the version of a source in Debian.
GOOGLETEST = ("googletest", "1.12.1-0.2")
SNAPPY = ("snappy", "1.1.9-3")
CATCH2_V2 = ("catch2", "2.13.10-1")
CATCH2_V3 = ("catch2", "3.7.1-0.5")

WITH_GTEST = ["-lgtest_main", "-lgtest", "-lpthread"]
# The name that Persea gives what fails outside of tests.
OUTSIDE = "NonTestSuiteFailure.(set-up or tear-down)"

MAIN_V2 = "#define CATCH_CONFIG_MAIN\n#include <catch2/catch.hpp>\n"

Suite = collections.namedtuple("Suite", "kind source directory files options filter written has_twins")
Suite.__new__.__defaults__ = ("", {}, False)


def usage_tests(directory, *names):
    return ["%s/UsageTests/%s.tests.cpp" % (directory, name) for name in names]


SUITES = {
    # Most of these tests fail: they show how GoogleTest says so. Two have the same name, so that they cannot be
    # isolated.
    "GoogleTest's output test": Suite(
        "googletest",
        GOOGLETEST,
        "googletest",
        ["test/googletest-output-test_.cc"],
        ["-I.", "-lgtest", "-lpthread"],
        has_twins=True,
    ),
    "GoogleTest's samples and skip tests": Suite(
        "googletest",
        GOOGLETEST,
        "googletest",
        ["samples/sample%d.cc" % n for n in (1, 2, 4)]
        + ["samples/sample%d_unittest.cc" % n for n in (1, 2, 3, 4, 5, 6, 7, 8)]
        + ["test/gtest_skip_test.cc", "test/gtest-typed-test_test.cc", "test/gtest-typed-test2_test.cc"],
        ["-I."] + WITH_GTEST,
    ),
    "snappy": Suite(
        "googletest",
        SNAPPY,
        ".",
        ["snappy-c.cc", "snappy-sinksource.cc", "snappy-stubs-internal.cc", "snappy.cc", "snappy-test.cc"]
        + ["snappy_test_data.cc", "snappy_unittest.cc"],
        ["-O1", "-I.", "-Igenerated", "-DHAVE_CONFIG_H"] + WITH_GTEST,
        "",
        {"generated/config.h": "#define HAVE_SYS_MMAN_H 1\n#define HAVE_UNISTD_H 1\n#define HAVE_SYS_TIME_H 1\n"},
    ),
    # Most of the tests that fail are hidden, so that the spec of the suite asks for those too.
    "Catch2 2's self tests": Suite(
        "catch2",
        CATCH2_V2,
        "projects/SelfTest",
        ["main.cpp"]
        + usage_tests(".", "BDD", "Class", "Condition", "Exception", "Message", "Misc", "Tricky", "VariadicMacros"),
        ["-I.", "-I/usr/include/catch2"],
        "*,[.]",
        {"main.cpp": MAIN_V2},
    ),
    "Catch2 3's self tests": Suite(
        "catch2",
        CATCH2_V3,
        ".",
        ["extras/catch_amalgamated.cpp"]
        + usage_tests("tests/SelfTest", "BDD", "Class", "Condition", "Exception", "Message", "Misc", "Skip", "Tricky"),
        ["-Iextras", "-Isrc", "-Igenerated"],
        "*,[.]",
        {"generated/catch2/catch_user_config.hpp": ""},
        True,
    ),
}


QUICK = {
    "1,000 quick tests of GoogleTest": Suite("googletest", None, ".", ["quick.cpp"], WITH_GTEST),
    "1,000 quick tests of Catch2 2": Suite("catch2", None, ".", ["main.cpp", "quick.cpp"], []),
}


def main():
    arguments = sys.argv[1:]
    if not arguments:
        sys.exit("suites: missing argument; run suites.py PERSEA with the path of the binary")
    persea, names, runs = os.path.realpath(arguments[0]), arguments[1:], 1
    if names[:1] == ["--runs"]:
        runs, names = int(names[1]), names[2:]
    known = {**SUITES, **QUICK}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit("suites: no such suite: %s; there are: %s" % (", ".join(unknown), ", ".join(known)))
    suites = {name: known[name] for name in names or known}
    repository = pathlib.Path(__file__).resolve().parents[3]
    cache = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", repository / "target")).resolve() / "cpp-suites"
    cache.mkdir(parents=True, exist_ok=True)
    directories = {name: prepare(cache, suite) for name, suite in suites.items()}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {name: compile_suite(pool, directories[name], suite) for name, suite in suites.items()}
        programs = {name: link(directories[name], suites[name], objects) for name, objects in jobs.items()}
    print("| Suite | Its own counts | Persea's | Program | Persea | Each test alone | Persea, isolated |")
    print("|---|---|---|---|---|---|---|")
    is_equal = True
    for name, suite in suites.items():
        with tempfile.TemporaryDirectory(prefix="persea-cpp-") as work:
            is_equal &= compare(name, suite, programs[name], persea, pathlib.Path(work), runs)
    sys.exit(0 if is_equal else "suites: Persea and a program differ; see above")


def prepare(cache, suite):
    """Returns the directory of a suite's sources, with what the project's own build would write there."""
    if suite.source is None:
        directory = cache / ("quick-" + suite.kind)
        directory.mkdir(exist_ok=True)
        write(directory / "quick.cpp", quick(suite.kind))
        write(directory / "main.cpp", MAIN_V2)
        return directory
    name, version = suite.source
    root = cache / ("%s-%s" % (name, version.rpartition("-")[0]))
    if not root.exists():
        fetch(cache, name, version)
    for file, text in suite.written.items():
        write(root / suite.directory / file, text)
    for template in root.glob("snappy-stubs-public.h.in"):
        text = re.sub(r"\$\{\w+\}", "1", template.read_text())
        write(root / "generated" / template.stem, text)
    return root / suite.directory


def quick(kind):
    """A file with 1,000 tests that do next to nothing."""
    if kind == "googletest":
        tests = ["TEST(S%d, t%d) { EXPECT_EQ(%d, %d); }" % (n // 20, n, n, n) for n in range(1000)]
        return "\n".join(["#include <gtest/gtest.h>"] + tests)
    tests = ['TEST_CASE("t%d") { REQUIRE(%d == %d); }' % (n, n, n) for n in range(1000)]
    return "\n".join(["#include <catch2/catch.hpp>"] + tests)


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists() or file.read_text() != text:
        file.write_text(text)


def fetch(cache, name, version):
    """Unpacks a source package of Debian."""
    apt = cache / "apt"
    for directory in ("state/lists/partial", "cache/archives/partial"):
        (apt / directory).mkdir(parents=True, exist_ok=True)
    lines = ["deb-src [signed-by=%s] %s %s main" % (KEYS, MIRROR, release) for release in RELEASES]
    (apt / "sources.list").write_text("\n".join(lines) + "\n")
    # A configuration of its own: the machine's sources stay as they are, and nobody needs to be root.
    options = ["Dir::State=%s" % (apt / "state"), "Dir::Cache=%s" % (apt / "cache"), "Dir::Etc::sourceparts=-"]
    options += ["Dir::Etc::sourcelist=%s" % (apt / "sources.list"), "APT::Sandbox::User="]
    command = ["apt-get", "--quiet=2"] + ["-o%s" % option for option in options]
    if not any((apt / "state/lists").glob("*_Sources*")):
        run_checked(command + ["update"], apt)
    run_checked(command + ["source", "--download-only", "--only-source", "%s=%s" % (name, version)], apt)
    upstream = version.rpartition("-")[0]
    (archive,) = apt.glob("%s_%s.orig.tar.*" % (name, upstream))
    unpacked = cache / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    with tarfile.open(archive) as tar:
        tar.extractall(unpacked, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(unpacked)
    (root,) = unpacked.iterdir()
    root.rename(cache / ("%s-%s" % (name, upstream)))


def run_checked(command, directory):
    ran = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if ran.returncode != 0:
        output = ran.stdout.decode(errors="replace")
        sys.exit("%s\nsuites: %s exited with code %d" % (output, " ".join(map(str, command)), ran.returncode))


def compile_suite(pool, directory, suite):
    """Starts the compilers of a suite. Returns the object files that they will have made."""
    objects = []
    for file in suite.files:
        source = directory / file
        target = source.with_suffix(".%s.o" % suite.kind)
        flags = [option for option in suite.options if not option.startswith("-l")]
        command = ["g++", "-O0", "-w", *flags, "-c", source, "-o", target]
        is_new = target.exists() and target.stat().st_mtime >= source.stat().st_mtime
        objects.append((target, None if is_new else pool.submit(run_checked, command, directory)))
    return objects


def link(directory, suite, objects):
    for _, job in objects:
        if job is not None:
            job.result()
    program = directory / ("tests-" + "-".join(pathlib.Path(file).stem for file in suite.files[:1]))
    libraries = [option for option in suite.options if option.startswith("-l")]
    run_checked(["g++", *(target for target, _ in objects), *libraries, "-o", program], directory)
    return program


def compare(name, suite, program, persea, work, runs):
    """Runs a suite in each way, prints a line of the table, and returns whether all results are equal."""
    times = collections.defaultdict(list)
    by_persea(persea, suite, program, work, "", [])  # the first time compiles the plugins
    for _ in range(runs):
        timed(selecting(suite, program), program.parent, times["program"])
        expected = by_framework(suite, program, work)
        alone = each_alone(suite, program, expected, times["alone"])
        found = by_persea(persea, suite, program, work, "", times["persea"])
        if suite.has_twins:
            isolated = found
        else:
            isolated = by_persea(persea, suite, program, work, "isolate", times["isolated"])
    # The reporters of Catch2 2 do not say what became of a test case; its exit code does.
    expected = {test: status or alone[test] for test, status in expected.items()}
    ways = ("program", "persea", "alone", "isolated")
    seconds = ["%.2f s" % min(times[way]) if times[way] else "" for way in ways]
    print("| %s | %s | %s | %s |" % (name, counts(expected), counts(found), " | ".join(seconds)), flush=True)
    is_equal = bool(expected)
    for way, results in (("a session", found), ("isolated tests", isolated)):
        for test in sorted(set(expected) | set(results)):
            if results.get(test) != expected.get(test):
                is_equal = False
                told = (name, test, expected.get(test), results.get(test), way)
                print("%s: %s: the program says %s, Persea %s (%s)" % told)
    return is_equal


def collect(pairs):
    """Returns statuses by name. A name that comes again is numbered, as Persea's cases are."""
    results, seen = {}, collections.Counter()
    for name, status in pairs:
        seen[name] += 1
        results[name if seen[name] == 1 else "%s (%d)" % (name, seen[name])] = status
    return results


def counts(results):
    number = collections.Counter(results.values())
    return ", ".join("%d %s" % (number[status], status) for status in sorted(number))


def timed(command, directory, times):
    begin = time.monotonic()
    ran = subprocess.run(
        command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    times.append(time.monotonic() - begin)
    return ran


def selecting(suite, program):
    return [program] + ([suite.filter] if suite.filter else [])


def by_framework(suite, program, work):
    """Returns the status of each test by its name, from a report that Persea does not use; None where it lacks it."""
    if suite.kind == "googletest":
        # GoogleTest 1.12 writes broken JSON where the set-up of a suite fails.
        report = work / "report.xml"
        timed([program, "--gtest_output=xml:%s" % report], program.parent, [])
        results = []
        for test in xml.etree.ElementTree.parse(report).iter("testcase"):
            status = {"skipped": "SKIP", "suppressed": "SKIP"}.get(test.get("result"), "PASS")
            failed = test.find("failure") is not None
            # What fails outside of tests is a test without a name.
            name = "%s.%s" % (test.get("classname"), test.get("name"))
            results.append((OUTSIDE if name == "." else name, "FAIL" if failed else status))
        return collect(results)
    printed = timed(selecting(suite, program) + ["--reporter", "automake"], program.parent, []).stdout.decode()
    found = re.findall(r"^:test-result: (\w+) (.*)$", printed, re.MULTILINE)
    if found:
        return collect((name, status.replace("XFAIL", "PASS")) for status, name in found)
    names = timed(selecting(suite, program) + ["--list-test-names-only"], program.parent, []).stdout.decode()
    # A name that begins with # is quoted.
    return {re.sub('^"(#.*)"$', r"\1", name): None for name in names.splitlines() if name}


def each_alone(suite, program, tests, times):
    """Runs each test in a process of its own, two at a time. Returns their statuses by the exit code."""

    def alone(test):
        if suite.kind == "googletest":
            selection = "--gtest_filter=" + test
        else:
            selection = '"%s"' % re.sub(r'([\\,"])', r"\\\1", test)
        code = timed([program, selection], program.parent, []).returncode
        return test, {0: "PASS", 4: "SKIP"}.get(code, "FAIL")

    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = dict(pool.map(alone, tests))
    times.append(time.monotonic() - begin)
    return results


def by_persea(persea, suite, program, work, options, times):
    """Returns the status of each test by its name."""
    shutil.rmtree(work / "results", ignore_errors=True)
    options = "&".join([options] * bool(options) + ["filter=" + suite.filter] * bool(suite.filter))
    reference = "%s:./%s%s" % (suite.kind, program.name, "?" * bool(options) + options)
    command = [persea, "run", "--quiet", "--results-dir", work / "results", "--max-parallel-tasks", "2", reference]
    ran = timed(command, program.parent, times)
    if ran.returncode not in (0, 1):
        sys.exit("%s\nsuites: persea exited with code %d" % (ran.stdout.decode(), ran.returncode))
    latest, found = work / "results" / "latest", []
    if "isolate" in options:
        for test in json.loads((latest / "results.json").read_text())["tests"]:
            found.append((test["name"].partition(":")[2], test["status"]))
    else:
        for line in (latest / "events.jsonl").read_text().splitlines():
            event = json.loads(line)
            path = event["data"].get("path")
            # A longer path of Catch2 is that of a section.
            if event["event"] == "case-finished" and (suite.kind == "googletest" or len(path) == 1):
                found.append((".".join(path), event["data"]["status"]))
    return collect(found)


if __name__ == "__main__":
    main()
