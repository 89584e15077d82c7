#!/bin/sh
# Validates Persea's results.xml against two schemas: the one of Jenkins' xUnit plugin for JUnit reports, and the one by
# which Avocado tests its own reports.
#
#     schema.sh PERSEA
#
# PERSEA is the binary. The script runs many kinds of jobs in a temporary directory and validates each report by both
# schemas. Then it checks that broken reports are rejected, which shows that the validation works.
#
# The schemas are not in this repository. They come from the source archives of pytest and Avocado on PyPI. The script
# keeps them, with a Python environment that has lxml, in the directory junit-schema below $CARGO_TARGET_DIR or target.
# Once that directory is filled, no network is needed.
set -eu

lxml=6.0.2
pytest=8.4.2
pytest_sha256=86c0d0b93306b961d58d62a4db4879f27fe25513d4b969df351abdddb3c30e01
# Checksum of junit-10.xsd, in pytest and in https://github.com/jenkinsci/xunit-plugin.
schema_sha256=a1a816f58d1bf95ebabf371994df0b9246dee66ea9572fbec4f9296f1b2c0ff6
avocado=113.0
avocado_sha256=fcc9ea443f7bb33455b00495ab322f7a84ba3d5c0901806a2868bf2929493d2e
# Checksum of selftests/.data/jenkins-junit.xsd in Avocado.
avocado_schema_sha256=d8a77747fa141c887b0822f04a5ee0dbaa35a167c0c20c24a3f39081852907be

fail() {
    echo "schema: $*" >&2
    exit 1
}

[ $# -eq 1 ] || fail 'missing argument; run schema.sh PERSEA with the path of the binary'
[ -x "$1" ] || fail "$1 is not an executable file; build it with cargo build --release"
persea=$(realpath "$1")
cd "$(dirname "$0")/../../.."
mkdir -p "${CARGO_TARGET_DIR:-target}/junit-schema"
cache=$(realpath "${CARGO_TARGET_DIR:-target}/junit-schema")
repository=$PWD
python=$cache/venv/bin/python
schema=$cache/junit-10.xsd
avocado_schema=$cache/avocado.xsd
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- The schemas, and lxml.

pip() {
    echo "schema: pip $*" >&2
    "$python" -m pip --disable-pip-version-check --retries 2 "$@" >"$work/log" 2>&1 && return
    cat "$work/log" >&2
    fail "pip failed (see above); PyPI is needed once, to fill $cache
schema: check the network and pip's configuration (pip config list), and run this again
schema: without a network, copy that directory from another machine"
}

is_schema() { echo "$2  $1" | sha256sum --check --status; } # is_schema FILE SHA256

if ! "$python" -c "import lxml.etree as it; assert it.__version__ == '$lxml'" 2>/dev/null; then
    python3 -m venv --clear "$cache/venv" ||
        fail "cannot create a Python environment in $cache/venv; on Debian, install python3-venv"
    # lxml has a wheel for each platform, so it is pinned by its version alone.
    pip install --no-deps --only-binary :all: "lxml==$lxml"
fi
# archive NAME VERSION SHA256: downloads a source archive into $work. pip builds the archive's metadata for that, with
# the build tools below, which pytest and Avocado need.
archive() {
    cat >"$work/tools" <<'END'
packaging==25.0 --hash=sha256:29572ef2b1f17581046b3a2227d5c611fb25ec70ca1ba8554b24b0e69331a484
setuptools==80.9.0 --hash=sha256:062d34222ad13e0cc312a4c02d73f059e86a4acbfbdea8f8f76b28c99f306922
setuptools-scm==8.3.1 --hash=sha256:332ca0d43791b818b841213e76b1971b7711a960761c5bea5fc5cdb5196fbce3
tomli==2.2.1 --hash=sha256:cb55c73c5f4408779d0cf3eef9f762b9c9f147a77de7b258bef0a5628adc85cc ; python_version < "3.11"
END
    echo "$1==$2 --hash=sha256:$3" >"$work/wanted"
    pip install --no-deps --only-binary :all: --require-hashes --requirement "$work/tools"
    pip download --no-deps --no-binary :all: --require-hashes --no-build-isolation --dest "$work" \
        --requirement "$work/wanted"
}

if ! { [ -f "$schema" ] && is_schema "$schema" $schema_sha256; }; then
    archive pytest $pytest $pytest_sha256
    tar -xzOf "$work/pytest-$pytest.tar.gz" "pytest-$pytest/testing/example_scripts/junit-10.xsd" >"$work/xsd" ||
        fail "pytest $pytest has no junit-10.xsd; set a version in $0 that has it"
    is_schema "$work/xsd" $schema_sha256 ||
        fail "junit-10.xsd of pytest $pytest differs from Jenkins'; compare both, then correct schema_sha256 in $0"
    mv "$work/xsd" "$schema"
fi
if ! { [ -f "$avocado_schema" ] && is_schema "$avocado_schema" $avocado_schema_sha256; }; then
    archive avocado-framework $avocado $avocado_sha256
    tar -xzOf "$work/avocado_framework-$avocado.tar.gz" \
        "avocado_framework-$avocado/selftests/.data/jenkins-junit.xsd" >"$work/xsd" ||
        fail "Avocado $avocado has no jenkins-junit.xsd; set a version in $0 that has it"
    is_schema "$work/xsd" $avocado_schema_sha256 ||
        fail "jenkins-junit.xsd of Avocado $avocado has changed; compare both, then correct avocado_schema_sha256 in $0"
    mv "$work/xsd" "$avocado_schema"
fi

# --- Many kinds of jobs, each with a valid report.

reports=0

# check NAME CODE ARGUMENT...: runs `persea run` with these arguments in the current directory, which must end with the
# exit code CODE, and validates its report.
check() {
    name=$1 expected=$2
    shift 2
    code=0
    env -i PATH="$PATH" HOME="$work/home" TMPDIR="$work" NO_COLOR=1 PYTHONDONTWRITEBYTECODE=1 \
        "$persea" run --results-dir "$work/results/$name" "$@" </dev/null >"$work/log" 2>&1 || code=$?
    [ "$code" -eq "$expected" ] || {
        cat "$work/log" >&2
        fail "the job $name ended with the exit code $code, not $expected (see above)"
    }
    report=$work/results/$name/latest/results.xml
    [ -f "$report" ] || fail "the job $name has no results.xml"
    for by in "$schema" "$avocado_schema"; do
        "$python" "$repository/plugins/format-xunit/tests/schema.py" "$by" "$report" || {
            cp "$report" "$cache/refused.xml"
            fail "the report of the job $name is not valid by $by (see above); it is kept as $cache/refused.xml"
        }
    done
    reports=$((reports + 1))
}

script() { # script FILE: writes an executable file from standard input
    mkdir -p "$(dirname "$1")"
    { echo '#!/bin/sh' && cat; } >"$1"
    chmod +x "$1"
}

mkdir -p "$work/home" "$work/project"

check first-job 0 docs/examples/first-job
cd "$repository/tests/mixed"
check mixed 9 --config persea.toml mixed.json
mixed=$work/results/mixed/latest/results.xml
cd "$work/project"

# Output of tests: all bytes; invalid UTF-8, surrogates and characters that XML forbids; ends of CDATA sections; colours;
# and more than a report keeps, with `]]>` everywhere, also where the report shortens it.
script 'out put/bytes.sh' <<'END'
byte=0
while [ $byte -lt 256 ]; do
    printf "\\$(printf %03o $byte)"
    byte=$((byte + 1))
done
exit 1
END
script 'out put/utf8.sh' <<'END'
printf 'caf\351 \300\200 \355\240\200 \364\220\200\200 \357\277\276 \357\277\277 '
printf '\360\237\246\200 \302\205 \342\200\250 \360\237'
printf '\357\273\277\342\200\256\377' >&2
exit 1
END
script 'out put/xml.sh' <<'END'
printf ']]>]]]]>>]]]]><![CDATA[>]]'
printf '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><!-- -- --></system-err></testsuite>&b;&#0;&amp;' >&2
exit 1
END
script 'out put/colour.sh' <<'END'
printf '\033[31mred\033[0m \033]0;title\007 \033[2J\r\n'
exit 1
END
script 'out put/long.sh' <<'END'
seq 50000 | tr '\n' ']' | sed 's/]/]]>/g'
seq 50000 | tr '\n' ']' | sed 's/]/]]>\x1b\xff\xe2\x82\xac/g' >&2
exit 1
END
check output 1 'out put'

# Texts of tests: names, kinds, classes, reasons, tracebacks; and the name of the suite.
script '<a & "b">/]]>.sh' <<'END'
exit 1
END
cat >names.json <<'END'
[
    {"kind": "exec-test", "uri": "/bin/false", "identifier": "\"quoted\" 'quoted' <b>&amp;</b> & ]]>"},
    {"kind": "exec-test", "uri": "/bin/false", "identifier": "\u0000\u0001\t\r\n\u001b[31m\u007f\u0085\u2028\ufffe\uffff"},
    {"kind": "exec-test", "uri": "/bin/true", "identifier": "-- \ud83e\udd80 \u202e"},
    {"kind": "exec-test", "uri": "<a & \"b\">/]]>.sh"},
    {"kind": "exec-test", "uri": "/<does>/not \"exist\" & ]]>\u0007"},
    {"kind": "<arm> & \"leg\"\u0007", "uri": "a:<b>.c&d"},
    {"kind": "exec-test", "uri": "/bin/true", "kwargs": {"dependencies": [{"type": "<b> & \"c\""}]}}
]
END
script point.t <<'END'
printf '1..2\nok 1 - <a> & "b" ]]>\nnot ok 2 - <a> & "b" ]]> \033[31m\007\377\n'
END
echo '{"kind": "tap", "uri": "point.t"}' >tap.json
cat >test_talk.py <<'END'
import unittest


class Talk(unittest.TestCase):
    def test_fails(self):
        self.fail("<a> & 'b' \"c\" ]]> \x00\x1b[31m\ufffe\n")

    def test_raises(self):
        raise type("<Odd & \"name\">", (Exception,), {})("]]>\x07")

    @unittest.skip("<a> & 'b' \"c\" ]]> \x00\x1b[31m\uffff\n")
    def test_is_skipped(self):
        pass
END
check names 1 --set 'job.run.result.xunit.job_name="<a> & \"b\" ]]> \u0007\ufffe"' names.json tap.json test_talk.py

# Endings of jobs: all tests skipped or cancelled, timeouts of a test and of the job, stop at the first failure.
script skip.sh <<'END'
echo 'not here'
exit 77
END
echo '[{"kind": "exec-test", "uri": "./skip.sh"}, {"kind": "exec-test", "uri": "./skip.sh"}]' >skipped.json
check skipped 0 --set 'runner.exectest.exitcodes.skip=[77]' skipped.json
check cancelled 0 --dry-run skipped.json
script sleep.sh <<'END'
echo 'good night'
exec sleep 60
END
check test-timed-out 8 --task-timeout 1 ./sleep.sh /bin/true
check job-timed-out 8 --job-timeout 1 --max-parallel-tasks 1 ./sleep.sh /bin/true
check failed-fast 1 --failfast --max-parallel-tasks 1 /bin/false /bin/true
script flaky.sh <<'END'
echo 'tried'
[ -e tried ] || { : >tried && exit 1; }
END
check flaky 0 --retries 1 ./flaky.sh
rm tried
check failed-again 1 --retries 2 /bin/false ./flaky.sh
cat >suites.toml <<'END'
[[suite]]
name = '<a> & "b"'
references = ["/bin/true", "/bin/true", "/bin/false"]
[suite.variants]
axes.size = ["small", "large"]
END
check suites 1 --job suites.toml
# A host that is killed leaves unfinished tests.
results=$work/results/killed
script kill.sh <<'END'
kill -9 "$(cat host)"
sleep 60
END
env -i PATH="$PATH" HOME="$work/home" TMPDIR="$work" sh -c 'echo $$ >host && exec "$@"' sh \
    "$persea" run --results-dir "$results" --max-parallel-tasks 1 /bin/true ./kill.sh /bin/true \
    </dev/null >"$work/log" 2>&1 || :
env -i PATH="$PATH" HOME="$work/home" TMPDIR="$work" "$persea" report --set "run.results_dir=$results" \
    --format xunit -o "$work/killed.xml" latest 2>"$work/log" || [ $? -eq 2 ] || fail 'the killed job has no report'
for by in "$schema" "$avocado_schema"; do
    "$python" "$repository/plugins/format-xunit/tests/schema.py" "$by" "$work/killed.xml" ||
        fail "the report of the killed job is not valid by $by (see above)"
done
grep -q 'tests="3" errors="2"' "$work/killed.xml" || fail 'the report of the killed job lacks tests'
grep -q '<property name="complete" value="false"/>' "$work/killed.xml" || fail 'the report of the killed job looks complete'
reports=$((reports + 1))
# Elements for failed attempts are valid by Jenkins' schema only.
rm -f tried
env -i PATH="$PATH" HOME="$work/home" TMPDIR="$work" "$persea" run --results-dir "$work/results/reruns" --retries 1 \
    --set job.run.result.xunit.rerun_elements=true ./flaky.sh /bin/false </dev/null >"$work/log" 2>&1 || :
report=$work/results/reruns/latest/results.xml
grep -q '<flakyFailure ' "$report" && grep -q '<rerunFailure ' "$report" || fail 'the report has no elements for failed attempts'
"$python" "$repository/plugins/format-xunit/tests/schema.py" "$schema" "$report" || fail "$report is not valid"
reports=$((reports + 1))

# --- Broken reports are rejected.

refused=0

# refuse WORD EXPRESSION [SCHEMA]: the mixed job's report, changed by a sed expression, is rejected with a message that
# has WORD.
refuse() {
    sed "$2" "$mixed" >"$work/broken.xml"
    if "$python" "$repository/plugins/format-xunit/tests/schema.py" "${3:-$schema}" "$work/broken.xml" >"$work/log" 2>&1; then
        fail "a report that sed '$2' broke is accepted; schema.py does not validate"
    fi
    grep -qF "$1" "$work/log" || {
        cat "$work/log" >&2
        fail "a report that sed '$2' broke is rejected for another reason (see above)"
    }
    refused=$((refused + 1))
}

refuse flavour 's/<testcase /&flavour="sour" /'
refuse colour 's/<properties>/<colour\/>&/'
refuse classless 's/<testcase classname="[^"]*" name=/<testcase classless=/'
refuse 'tests is 99' 's/ tests="[0-9]*"/ tests="99"/'
refuse message 's/<skipped>/<skipped message="b">/' "$avocado_schema"
refuse flakyFailure 's/<skipped>/<flakyFailure type="b"\/>&/' "$avocado_schema"
refuse 'not well-formed' 's/<\/testsuite>//'

echo "schema: $reports reports are valid, and $refused broken ones were rejected"
