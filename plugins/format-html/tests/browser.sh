#!/usr/bin/env bash
# Opens pages of the result format html in a headless Chromium, and checks what people do there.
#
#     browser.sh PERSEA [PICTURES]
#
# PERSEA is the binary. With PICTURES, a directory, pictures of the page are written there. The
# script runs jobs in a temporary directory. It needs Node, npm's registry for playwright-core and
# axe-core, which it keeps in the directory browser-tests below $CARGO_TARGET_DIR or target, and a
# program `chromium`, or one that $CHROMIUM names.
set -euo pipefail

playwright=1.65.1
axe=4.14.1

[ $# -ge 1 ] || { echo 'browser: missing argument; run browser.sh PERSEA' >&2; exit 1; }
persea=$(realpath "$1")
pictures=${2:-}
[ -z "$pictures" ] || pictures=$(realpath "$pictures")
here=$(realpath "$(dirname "$0")")
cd "$here/../../.."
tools=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}/browser-tests")
if [ ! -e "$tools/ready-$playwright-$axe" ]; then
    mkdir -p "$tools"
    npm install --silent --no-fund --no-audit --prefix "$tools" \
        "playwright-core@$playwright" "axe-core@$axe"
    touch "$tools/ready-$playwright-$axe"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/project" "$work/home"
cd "$work/project"

script() { # script FILE: writes an executable file from standard input
    { echo '#!/bin/sh' && cat; } >"$1"
    chmod +x "$1"
}

run() { # run RESULTS ARGUMENT...: runs a job, which may fail, and makes its page
    local results=$1
    shift
    env -i PATH="$PATH" HOME="$work/home" TMPDIR="$work" NO_COLOR=1 PYTHONDONTWRITEBYTECODE=1 \
        "$persea" run --results-dir "$work/$results" --max-parallel-tasks 2 \
        --set job.run.result.html.enabled=true "$@" </dev/null >"$work/log" 2>&1 ||
        [ $? -eq 1 ] || { cat "$work/log" >&2; exit 1; }
    [ -s "$work/$results/latest/results.html" ] || { cat "$work/log" >&2; exit 1; }
}

script fails.sh <<'END'
echo 'out </script><script>document.title = "owned"</script><img src=x onerror=alert(1)>'
echo 'the disk is gone' >&2
exit 3
END
script passes.sh <<'END'
exit 0
END
script flaky.sh <<'END'
[ -e seen ] || { : >seen && exit 1; }
END
script cases.t <<'END'
printf '1..3\nok 1 - reads\nnot ok 2 - writes\n# Subtest: deep\n    ok 1 - dives\n    1..1\nok 3 - deep\n'
END
cat >job.toml <<'END'
[[suite]]
name = "first"
references = ["passes.sh", "fails.sh", "flaky.sh"]
[[suite]]
name = "second"
references = ["cases.json", "waits.json"]
END
echo '{"kind": "tap", "uri": "cases.t"}' >cases.json
echo '{"kind": "exec-test", "uri": "passes.sh", "identifier": "waits", "needs": ["cases.t"]}' >waits.json
run small --retries 1 --job job.toml
printf '#!/bin/sh\nexit 0\n' >fails.sh
# Another case of the same test fails.
script cases.t <<'END'
printf '1..3\nnot ok 1 - reads\nok 2 - writes\n# Subtest: deep\n    ok 1 - dives\n    1..1\nok 3 - deep\n'
END
run fixed --job job.toml
# A job as large as those that the page must be quick for.
python3 - >many.json <<'END'
import json
print(json.dumps([
    {"kind": "noop", "identifier": f"group-{number % 100}/test-{number}"}
    for number in range(10000)]))
END
run large many.json

NODE_PATH="$tools/node_modules" node "$here/browser.cjs" \
    "$work/small/latest/results.html" "$work/fixed/latest/results.json" \
    "$work/large/latest/results.html" "$pictures"
