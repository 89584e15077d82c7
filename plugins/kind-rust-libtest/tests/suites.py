#!/usr/bin/env python3
"""Compares Persea with cargo's own tools on crates of the registry: same tests, same statuses, and
the time of each.

Usage: suites.py [--tool nextest|cargo-test] [--runs N] PERSEA [CRATE...]

Fetches each crate with `cargo vendor` into a temporary directory, builds its tests, runs them with
the tool and with Persea, and compares names and statuses. With --runs the two run alternately that
many times more, and the medians are printed. Ends with 1 where a test or a status differs.

cargo-nextest gives each test a name with its binary; `cargo test` does not, so there the names of
tests are compared without binaries.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

CRATES = {"itoa": "1.0.19", "semver": "1.0.28", "regex-syntax": "0.8.12"}

NEXTEST = ["cargo", "nextest", "run", "--no-fail-fast", "--color", "never"]
NEXTEST += ["--status-level", "all", "--final-status-level", "none"]
NEXTEST_LINE = re.compile(r"^ +([A-Z]+) +\[[^\]]*\] +(?:\( *\d+/\d+\) +)?(\S+) +(\S.*)$")
CARGO_TEST = ["cargo", "test", "--no-fail-fast", "--color", "never", "--lib", "--bins", "--tests"]
CARGO_LINE = re.compile(r"^test (.+?)(?: - should panic)? \.\.\. (ok|FAILED|ignored)")
STATUSES = {"ok": "PASS", "FAILED": "FAIL", "ignored": "SKIP"}


def fetch(directory, crates):
    """Puts the sources of these crates below a directory. Returns theirs."""
    needed = "".join(f'{name} = "={CRATES[name]}"\n' for name in crates)
    manifest = '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n'
    (directory / "src").mkdir()
    (directory / "src/lib.rs").touch()
    (directory / "Cargo.toml").write_text(f"{manifest}[dependencies]\n{needed}")
    command = ["cargo", "vendor", "--quiet", "--versioned-dirs", "crates"]
    subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL)
    found = {}
    for name in crates:
        found[name] = directory / "crates" / f"{name}-{CRATES[name]}"
        # A workspace of its own: the directory above is another package.
        with open(found[name] / "Cargo.toml", "a", encoding="utf-8") as file:
            file.write("\n[workspace]\n")
    return found


def run(command, directory, environment):
    """Runs a command. Returns its output and its wall time."""
    begun = time.monotonic()
    ran = subprocess.run(command, cwd=directory, env=environment, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return ran.stdout.decode(errors="replace"), time.monotonic() - begun


class Tool:
    """A tool of cargo's."""

    def __init__(self, name):
        self.name = name
        self.command = {"nextest": NEXTEST, "cargo-test": CARGO_TEST}[name]

    def results(self, output):
        """The tests in an output, with their statuses."""
        if self.name == "nextest":
            found = [NEXTEST_LINE.match(line) for line in output.splitlines()]
            return [(f"{it[2]}${it[3].strip()}", it[1]) for it in found if it]
        found = [CARGO_LINE.match(line) for line in output.splitlines()]
        return [(it[1], STATUSES[it[2]]) for it in found if it]

    def comparable(self, name):
        """The name of a test of Persea's as this tool has it."""
        return name if self.name == "nextest" else name.partition("$")[2]


def persea_results(results):
    """The tests of Persea's latest job, with their statuses."""
    with open(results / "latest" / "results.json", encoding="utf-8") as file:
        return [(test["name"], test["status"]) for test in json.load(file)["tests"]]


def counts(results):
    """The number of tests, and those of each status."""
    by = collections.Counter(status for _, status in results)
    return f"{len(results)}: " + ", ".join(f"{by[status]} {status}" for status in sorted(by))


def main():
    """Compares the tools."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("persea", type=pathlib.Path)
    parser.add_argument("--tool", choices=["nextest", "cargo-test"], default="nextest")
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("crates", nargs="*", metavar="CRATE")
    options = parser.parse_intermixed_args()
    tool = Tool(options.tool)
    differs = False
    with tempfile.TemporaryDirectory(prefix="persea-suites-") as temporary:
        directory = pathlib.Path(temporary)
        results = directory / "results"
        # Without debug information the tests are the same, and built in half the time.
        environment = {**os.environ, "CARGO_TERM_COLOR": "never", "CARGO_PROFILE_DEV_DEBUG": "0"}
        environment.pop("CARGO_TARGET_DIR", None)
        persea = [options.persea.resolve(), "run", "--quiet", "--results-dir", results]
        persea += ["cargo:.?doc=false"]
        print(f"| suite | {tool.name} | Persea | {tool.name}, s | Persea, s | ratio of the pairs |")
        print("|---|---|---|---|---|---|")
        for name, crate in fetch(directory, options.crates or list(CRATES)).items():
            run(["cargo", "test", "--no-run", "--quiet"], crate, environment)
            output, _ = run(tool.command, crate, environment)
            theirs = sorted(tool.results(output))
            ours_output, _ = run(persea, crate, environment)
            found = persea_results(results)
            ours = sorted((tool.comparable(test), status) for test, status in found)
            if theirs != ours or not ours:
                differs = True
                print(f"error: {name} differs", file=sys.stderr)
                for row in sorted(set(theirs) ^ set(ours)):
                    print(f"  {tool.name if row in theirs else 'Persea'}: {row}", file=sys.stderr)
                print(output[-2000:], ours_output[-2000:], sep="\n", file=sys.stderr)
            times = []
            for _ in range(options.runs):
                times.append((run(tool.command, crate, environment)[1],
                              run(persea, crate, environment)[1]))
            row = [f"{name} {CRATES[name]}", counts(theirs), counts(ours)]
            if times:
                row += [f"{statistics.median(each):.2f}" for each in zip(*times)]
                row.append(f"{statistics.median(own / other for other, own in times):.2f}")
            else:
                row += ["", "", ""]
            print(f"| {' | '.join(row)} |", flush=True)
    return int(differs)


if __name__ == "__main__":
    sys.exit(main())
