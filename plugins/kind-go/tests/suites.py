#!/usr/bin/env python3
"""Compares Persea with `go test -json` on the tests of Go libraries: same tests and subtests, same statuses, and the
time of each.

    suites.py PERSEA [--runs N] [SUITE...]

PERSEA is the binary. Without a SUITE, all of SUITES run. The script fails where a test is missing, has two results, or
has another status than Go says, in a job of packages or in one of isolated tests. It prints a table for docs/go.md; a
time is the least of N (default 1). The variable GO names another Go than that in PATH.

The checks of `go vet` are off, because some libraries are older than some checks.

The libraries are those of Debian's packages, which hold their tests; apt-get fetches them. They are kept in the directory
go-suites below $CARGO_TARGET_DIR or target. Once that directory is filled, no network is needed.
"""

import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

# The package of Debian and the import path of each suite, none of which needs other modules.
SUITES = {
    "errors": ("golang-github-pkg-errors-dev", "github.com/pkg/errors"),
    "go-cmp": ("golang-github-google-go-cmp-dev", "github.com/google/go-cmp"),
    "golang-lru": ("golang-github-hashicorp-golang-lru-dev", "github.com/hashicorp/golang-lru"),
    "httprouter": ("golang-github-julienschmidt-httprouter-dev", "github.com/julienschmidt/httprouter"),
    "mux": ("golang-github-gorilla-mux-dev", "github.com/gorilla/mux"),
    "pflag": ("golang-github-spf13-pflag-dev", "github.com/spf13/pflag"),
    "uuid": ("golang-github-google-uuid-dev", "github.com/google/uuid"),
}

GO = shutil.which(os.environ.get("GO", "go")) or sys.exit("suites: there is no Go; install golang-go")
STATUSES = {"pass": "PASS", "fail": "FAIL", "skip": "SKIP"}


def main():
    arguments = sys.argv[1:]
    if not arguments:
        sys.exit("suites: missing argument; run suites.py PERSEA with the path of the binary")
    persea, names, runs = os.path.realpath(arguments[0]), arguments[1:], 1
    if names[:1] == ["--runs"]:
        runs, names = int(names[1]), names[2:]
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        sys.exit("suites: no such suite: %s; there are: %s" % (", ".join(unknown), ", ".join(SUITES)))
    repository = pathlib.Path(__file__).resolve().parents[3]
    cache = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", repository / "target")).resolve() / "go-suites"
    cache.mkdir(parents=True, exist_ok=True)
    print("| Suite | Go's counts | Persea's | `go test` | Persea | Persea, isolated |")
    print("|---|---|---|---|---|---|")
    is_equal = True
    for name in names or SUITES:
        module = prepare(cache, name, *SUITES[name])
        with tempfile.TemporaryDirectory(prefix="persea-go-") as work:
            is_equal &= compare(name, persea, module, pathlib.Path(work), runs)
    sys.exit(0 if is_equal else "suites: Persea and Go differ; see above")


def prepare(cache, name, package, import_path):
    """Returns the directory of a module with the sources of a package of Debian."""
    module = cache / name
    if not module.exists():
        unpacked = cache / ("unpacked-" + name)
        shutil.rmtree(unpacked, ignore_errors=True)
        unpacked.mkdir()
        run_checked(["apt-get", "-qq", "-oAPT::Sandbox::User=", "download", package], unpacked)
        (archive,) = unpacked.glob("*.deb")
        run_checked(["dpkg-deb", "--extract", archive, "files"], unpacked)
        begun = cache / ("begun-" + name)
        shutil.rmtree(begun, ignore_errors=True)
        shutil.copytree(unpacked / "files/usr/share/gocode/src" / import_path, begun)
        (begun / "go.mod").write_text("module %s\n\ngo 1.18\n" % import_path)
        (begun / "go.sum").unlink(missing_ok=True)
        begun.rename(module)
        shutil.rmtree(unpacked)
    return module


def run_checked(command, directory):
    ran = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if ran.returncode != 0:
        output = ran.stdout.decode(errors="replace")
        sys.exit("%s\nsuites: %s exited with code %d" % (output, " ".join(map(str, command)), ran.returncode))


def compare(name, persea, module, work, runs):
    """Runs a suite in each way, prints a line of the table, and returns whether all results are equal."""
    times = collections.defaultdict(list)
    by_persea(persea, module, work, "", [])  # the first time fills the caches of Go and of Persea
    for _ in range(runs):
        expected, unfinished = by_go(module, times["go"])
        found = by_persea(persea, module, work, "", times["persea"])
        isolated = by_persea(persea, module, work, "&isolate", times["isolated"])
    seconds = ["%.2f s" % min(times[way]) for way in ("go", "persea", "isolated")]
    print("| %s | %s | %s | %s |" % (name, counts(expected), counts(found), " | ".join(seconds)), flush=True)
    is_equal = bool(expected)
    for way, results in (("packages", found), ("isolated tests", isolated)):
        for test in sorted(set(expected) | set(results)):
            # Go before 1.20 loses the result of a test that prints half a line.
            if results.get(test) != expected.get(test) and test not in unfinished:
                is_equal = False
                told = (name, test, expected.get(test), results.get(test), way)
                print("%s: %s: Go says %s, Persea %s (%s)" % told)
    return is_equal


def counts(results):
    number = collections.Counter(results.values())
    return ", ".join("%d %s" % (number[status], status) for status in sorted(number))


def timed(command, module, times):
    environment = dict(os.environ, GOFLAGS="-mod=mod", GOPROXY="off", GOTOOLCHAIN="local")
    begin = time.monotonic()
    ran = subprocess.run(
        command,
        cwd=module,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    times.append(time.monotonic() - begin)
    return ran


def by_go(module, times):
    """Returns the status of each test by its package and name, and the tests that began and have no status."""
    printed = timed([GO, "test", "-json", "-count=1", "-vet=off", "./..."], module, times).stdout.decode(errors="replace")
    results, begun = {}, set()
    for line in printed.splitlines():
        if not line.startswith("{"):
            print(line)
            continue
        event = json.loads(line)
        test = "%s.%s" % (event.get("Package"), event.get("Test"))
        if "Test" in event and event["Action"] == "run":
            begun.add(test)
        if "Test" in event and event["Action"] in STATUSES:
            results[test] = STATUSES[event["Action"]]
    return results, begun - set(results)


def by_persea(persea, module, work, options, times):
    """Returns the status of each test by its package and name."""
    shutil.rmtree(work / "results", ignore_errors=True)
    command = [persea, "run", "--quiet", "--results-dir", work / "results", "--max-parallel-tasks", "2"]
    command += ["--set", "runner.go-test.go=%s" % GO, "go:./...?vet=off" + options]
    ran = timed(command, module, times)
    if ran.returncode not in (0, 1):
        sys.exit("%s\nsuites: persea exited with code %d" % (ran.stdout.decode(), ran.returncode))
    latest, found = work / "results" / "latest", {}
    tests = json.loads((latest / "results.json").read_text())["tests"]
    # A test's id has a number before its name.
    names = {test["id"].partition("-")[0]: test["name"] for test in tests}

    def add(name, status):
        if name in found:
            sys.exit("suites: %s has two results" % name)
        found[name] = status

    for line in (latest / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "case-finished":
            name = names[event["task"].partition("-")[0]]
            separator = "/" if options else "."
            add(name + separator + "/".join(event["data"]["path"]), event["data"]["status"])
    if options:
        for test in tests:
            if test["fail_reason"] != "no test files":
                add(test["name"], test["status"])
    return found


if __name__ == "__main__":
    main()
