//! Owns the faults of C++ test programs: each is a clear error of its own reference or test, and
//! none makes a job green. The programs are scripts, so that they can do anything.

use serde_json::json;

use crate::support::Fixture;
use crate::support::results::{assert_equal, cases};

/// Shell functions for both frameworks: `report` is the path of the report, `list` writes a list
/// with these names, `results` a report in which these tests pass.
const FUNCTIONS: &str = r#"
for argument; do
    case $argument in --gtest_output=xml:*) report=${argument#*xml:} ;; esac
    [ "$before" != --out ] || report=$argument
    before=$argument
done
gtest() { echo "<testsuites><testsuite name='A'>"; for name; do
    echo "<testcase name='$name' status='run' result='completed'/>"; done
    echo "</testsuite></testsuites>"; }
catch() { echo "<Catch2TestRun>"; for name; do
    echo "<TestCase name='$name'><OverallResult success='true'/></TestCase>"; done
    echo "</Catch2TestRun>"; }
matching() { echo "<MatchingTests>"; for name; do
    echo "<TestCase><Name>$name</Name></TestCase>"; done
    echo "</MatchingTests>"; }
list() { case $kind in googletest) gtest "$@" ;; *) matching "$@" ;; esac >"$report"; }
results() { case $kind in googletest) gtest "$@" ;; *) catch "$@" ;; esac >"$report"; }
"#;

/// Adds a program that lists and runs as these commands of the shell do.
fn program(fixture: &Fixture, kind: &str, name: &str, (lists, runs): (&str, &str)) {
    let body = format!(
        "kind={kind}\n{FUNCTIONS}\ncase \"$*\" in\n*list?tests*|*list-test-names*) {lists} ;;\n\
         *) {runs} ;;\nesac"
    );
    fixture.script(&format!("build/{name}"), &body);
}

const KINDS: [&str; 2] = ["googletest", "catch2"];

#[test]
fn fault_of_a_list_is_an_error_of_its_reference() {
    let faults = [
        (
            "crashes",
            "kill -SEGV $$",
            "it ended by signal 11 (SIGSEGV)",
        ),
        ("exits", "echo no >&2; exit 3", "it exited with code 3: no"),
        (
            "prints",
            "echo hello",
            "it printed `hello` in place of a list",
        ),
        ("silent", "exit 0", "it wrote no list; is it a test program"),
        (
            "rubbish",
            "echo hello >\"$report\"",
            "its list of tests is broken off",
        ),
        (
            "breaks",
            "list b; truncate -s -9 \"$report\"",
            "its list of tests is broken off",
        ),
        ("doubles", "list b c b", "b` twice"),
        ("empty", "list", "lists no tests"),
        (
            "hangs",
            "sleep 1000 & wait",
            "it did not list its tests within 2 s",
        ),
    ];
    for kind in KINDS {
        let fixture = Fixture::new();
        let timeout = format!("runner.{kind}.list_timeout=2");
        let mut references = Vec::new();
        for (name, lists, _) in faults {
            program(&fixture, kind, name, (lists, "exit 1"));
            references.push(format!("{kind}:build/{name}?isolate"));
        }
        program(&fixture, kind, "sound", ("list b", "results b"));
        references.push(format!("{kind}:build/sound?isolate"));
        let mut args = vec!["run", "--set", &timeout];
        args.extend(references.iter().map(String::as_str));
        fixture.run(&args).code(1);
        let job = fixture.job();
        assert_eq!(job.results()["total"], faults.len() + 1);
        let sound = match kind {
            "googletest" => "build/sound:A.b",
            _ => "build/sound:b",
        };
        assert_eq!(job.status(sound), "PASS");
        for (name, _, words) in faults {
            let reference = format!("{kind}:build/{name}?isolate: build/{name}");
            let words = [format!("build/{name}"), words.to_owned()];
            job.assert_error(&reference, &[&words[0], &words[1]]);
        }
        fixture.assert_no_strays();
    }
}

#[test]
fn test_that_is_lost_after_listing_is_an_error() {
    for kind in KINDS {
        let gone = match kind {
            "googletest" => "A.gone",
            _ => "gone",
        };
        let words = format!("the test `{gone}` does not exist any more: build/");
        for (name, lists, runs, words) in [
            ("loses", "list gone", "results", words.as_str()),
            ("renames", "list gone", "results other", &words),
            (
                "removed",
                "list gone; rm build/removed",
                "",
                "build/removed does not exist where",
            ),
            (
                "silent",
                "list gone",
                "exit 0",
                "exited with code 0 before its first test",
            ),
            (
                "prints",
                "list gone",
                "echo hello",
                "before its first test: hello; is it a test",
            ),
            (
                "rubbish",
                "list gone",
                "echo hello >\"$report\"",
                "before its first test",
            ),
        ] {
            let fixture = Fixture::new();
            program(&fixture, kind, name, (lists, runs));
            fixture.script("build/beside", "exit 0");
            let reference = format!("{kind}:build/{name}?isolate");
            fixture.run(&["run", &reference, "build/beside"]).code(1);
            let job = fixture.job();
            job.assert_error(&format!("build/{name}:{gone}"), &[words]);
            assert_eq!(job.status("build/beside"), "PASS");
        }
    }
}

#[test]
fn fault_of_a_session_is_an_error_of_its_task() {
    for kind in KINDS {
        for (name, runs, words) in [
            (
                "silent",
                "exit 0",
                "exited with code 0 before its first test; is it a test program",
            ),
            (
                "usage",
                "echo 'no option' >&2; exit 2",
                "before its first test: no option; is it",
            ),
            (
                "crashes",
                "kill -SEGV $$",
                "ended by signal 11 (SIGSEGV) before its first test",
            ),
            (
                "rubbish",
                "echo hello >\"$report\"",
                "before its first test",
            ),
            ("empty", "results", "has run no tests"),
        ] {
            let fixture = Fixture::new();
            program(&fixture, kind, name, ("exit 1", runs));
            fixture.script("build/beside", "exit 0");
            let reference = format!("{kind}:build/{name}");
            fixture.run(&["run", &reference, "build/beside"]).code(1);
            let job = fixture.job();
            job.assert_error(&format!("build/{name}"), &[words]);
            assert_eq!(job.status("build/beside"), "PASS");
        }
    }
}

/// The first process of a program of each framework that ends while test `b` runs.
const BEGUN: [(&str, &str); 2] = [
    (
        "googletest",
        "printf '[==========] Running\\n[ RUN      ] A.a\\n[       OK ] A.a (0 ms)\\n\
         [ RUN      ] A.b\\n'",
    ),
    (
        "catch2",
        "{ catch a | grep -v '</Catch'; echo \"<TestCase name='b'>\"; } >\"$report\"",
    ),
];

#[test]
fn session_that_ends_early_loses_no_test_and_is_never_green() {
    for (kind, begun) in BEGUN {
        for (ends, lists, status, words) in [
            ("exit 0", "list a b c", "ERROR", "1 in error ("),
            ("exit 3", "list a b c", "FAIL", "1 failed ("),
            ("kill -ABRT $$", "list a b c", "FAIL", "1 failed ("),
            (
                "exit 0",
                "exit 9",
                "ERROR",
                "nobody knows which tests were not run",
            ),
            (
                "exit 0",
                "sleep 1000 & wait",
                "ERROR",
                "did not list its tests within 2 s",
            ),
        ] {
            let fixture = Fixture::new();
            let runs =
                format!("if test -e again; then results c; else touch again; {begun}; {ends}; fi");
            program(&fixture, kind, "t", (lists, &runs));
            let timeout = format!("runner.{kind}.list_timeout=2");
            let reference = format!("{kind}:build/t");
            fixture.run(&["run", "--set", &timeout, &reference]).code(1);
            let reason = fixture.job().reason("build/t");
            assert_eq!(
                fixture.job().status("build/t"),
                status,
                "{kind} {ends}: {reason}"
            );
            assert!(reason.contains(words), "{kind} {ends}: {reason}");
            let prefix = if kind == "googletest" { "A>" } else { "" };
            let named = |name: &str| format!("{prefix}{name}");
            let (a, b, c) = (named("a"), named("b"), named("c"));
            let of_b = if ends == "exit 0" { "ERROR" } else { "FAIL" };
            let mut expected = vec![(a.as_str(), "PASS"), (b.as_str(), of_b)];
            if lists.starts_with("list") {
                expected.push((c.as_str(), "PASS"));
            }
            assert_equal(&cases(&fixture), &expected);
            fixture.assert_no_strays();
        }
    }
}

#[test]
fn reference_that_cannot_run_is_corrupt() {
    let fixture = Fixture::new();
    fixture.file("build/t.cc", "text");
    fixture.script("build/t", "exit 0");
    for (reference, words) in [
        (
            "googletest:build/none",
            "there is no build/none; build the tests first",
        ),
        ("catch2:build", "build is not a file"),
        ("catch2:build/t.cc", "build/t.cc is not executable"),
        ("googletest:build/t?colour=red", "unknown option `colour`"),
    ] {
        let listed = fixture.run(&["list", reference]).code(2);
        assert!(format!("{listed}").contains(words), "{listed}");
    }
}

#[test]
fn recipe_that_makes_no_sense_is_an_error_of_its_task() {
    let fixture = Fixture::new();
    program(&fixture, "googletest", "t", ("list b", "results b"));
    let with = |name: &str, member: &str, value: serde_json::Value| {
        let mut runnable = json!({"kind": "googletest", "uri": "build/t", "identifier": name});
        runnable[member] = value;
        runnable
    };
    let recipe = [
        with("selects", "args", json!(["--gtest_filter=A.*"])),
        with("reports", "args", json!(["--gtest_output=json"])),
        with("wrong", "kwargs", json!({"isolate": "yes"})),
        with("missing", "uri", json!("build/none")),
        with("sound", "args", json!(["--other"])),
    ];
    fixture.recipe("job.json", &recipe);
    fixture.run(&["run", "job.json"]).code(1);
    let found = fixture.job().statuses();
    let of = |name: &str| {
        let mut found = found.iter().filter(|(known, _)| known.contains(name));
        found.next().map(|(_, status)| status.as_str())
    };
    for name in ["selects", "reports", "wrong", "missing"] {
        assert_eq!(of(name), Some("ERROR"), "{name}: {found:?}");
    }
    assert_eq!(of("sound"), Some("PASS"), "{found:?}");
}
