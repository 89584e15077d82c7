#!/usr/bin/env bash
# Runs the example job file on a Debian machine, where it installs a package for its tests and removes it again.
# Usage: tests/debian.sh PERSEA. Needs apt, and root or a sudo that does not ask.
set -euo pipefail
persea=$(realpath "$1")
cd "$(dirname "$0")/../docs/examples/suites"
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

packages() { dpkg-query --show --showformat '${binary:Package} ${Version} ${Status}\n'; }
# Without an index apt knows no package.
if [ -z "$(apt-cache policy hello 2>/dev/null)" ]; then
    sudo=()
    [ "$(id -u)" = 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get -qq update
fi
before=$(packages)
automatic=$(apt-mark showauto)
if grep -q '^hello ' <<<"$before"; then
    echo "the package hello is installed here, so nothing would be shown; remove it first" >&2
    exit 1
fi

XDG_STATE_HOME="$results/state" "$persea" run --results-dir "$results" --job job.toml
"$persea" report "$results/latest" --format tap | tee "$results/report"
grep -q '^ok .* greetings:hello-there' "$results/report"
tally='"pass":6,"fail":0,"error":0,"skip":0,"warn":0,"cancel":1,"interrupted":0'
grep -q "$tally" "$results/latest/events.jsonl"
grep -q '"state":"fulfilled"' "$results/latest/events.jsonl"
diff <(echo "$before") <(packages)
diff <(echo "$automatic") <(apt-mark showauto)
test ! -e scratch
echo "the machine has the packages that it had before"

# In sandboxes the package is never installed on the machine.
"$persea" run --spawner sandbox --max-parallel-tasks 1 --results-dir "$results" --job job.toml
grep -q "$tally" "$results/latest/events.jsonl"
grep -q '"snapshot":"1-package-hello"' "$results/latest/events.jsonl"
diff <(echo "$before") <(packages)
echo "the machine has not noticed the sandboxes"
