//! Owns the faults of Go and of test binaries: each is a clear error of its own reference or test,
//! and none makes a job green. Go and the binaries are scripts, so that they can do anything.

use crate::support::Fixture;
use crate::support::results::{assert_equal, cases};

/// What a Go does that is in order: it finds one package below the current directory, with the
/// package's own `binary` as its test binary. The package may change any of the three functions.
const GO: &str = r#"
name=${PWD##*/}
version() { echo go1.19.8; }
list() {
    printf '{"ImportPath": "m/%s", "Dir": "%s", "TestGoFiles": ["a_test.go"]}\n' "$name" "$PWD"
}
build() { cp binary "$1"; }
. ./go.sh
case $1 in
env) version ;;
list) list ;;
test) build "$4" ;;
esac
"#;

/// A project whose Go is a script.
fn project() -> Fixture {
    let fixture = Fixture::new();
    fixture.script("bin/go", GO);
    fixture
}

/// Adds a package: what differs in its Go, and what its binary does when it lists and when it runs.
fn package(fixture: &Fixture, name: &str, go: &str, (lists, runs): (&str, &str)) {
    fixture.file(&format!("{name}/go.sh"), go);
    let functions = "run() { for name; do \
                     printf '=== RUN   %s\\n--- PASS: %s (0.00s)\\n' \"$name\" \
                     \"$name\"; done; }\n";
    let body = format!("{functions}case \"$*\" in\n*-test.list=*) {lists} ;;\n*) {runs} ;;\nesac");
    fixture.script(&format!("{name}/binary"), &body);
}

/// The arguments that run references with the project's Go.
fn run(fixture: &Fixture, references: &[String]) {
    let go = format!("runner.go-test.go={}/bin/go", fixture.project().display());
    let mut args = vec![
        "run",
        "--set",
        &go,
        "--set",
        "runner.go-test.list_timeout=2",
    ];
    args.extend(["--set", "task.timeout.running=20"]);
    args.extend(references.iter().map(String::as_str));
    fixture.run(&args).code(1);
}

const SOUND: (&str, &str) = ("echo TestA", "run TestA; echo PASS");

#[test]
fn fault_of_go_is_an_error_of_its_reference() {
    let fixture = project();
    let faults = [
        ("old", "version() { echo; }", "is it Go 1.16 or later?"),
        (
            "other",
            "version() { echo hello; }",
            "and printed `hello`; is it Go 1.16 or later?",
        ),
        (
            "dies",
            "version() { kill -SEGV $$; }",
            "ended by signal 11 (SIGSEGV)",
        ),
        (
            "outside",
            "list() { echo 'go: no go.mod' >&2; exit 1; }",
            "go: no go.mod",
        ),
        (
            "crashes",
            "list() { kill -SEGV $$; }",
            "`go list` ended by signal 11 (SIGSEGV)",
        ),
        (
            "prints",
            "list() { echo hello; }",
            "printed no JSON of the known format",
        ),
        (
            "breaks",
            "list() { echo '{\"ImportPath\": \"m'; }",
            "printed no JSON of the known format",
        ),
        (
            "nameless",
            "list() { echo '{}'; }",
            "printed a package without an import path",
        ),
        (
            "empty",
            "list() { echo 'matched no packages' >&2; }",
            "matched no packages",
        ),
        (
            "faulty",
            "list() { echo '{\"ImportPath\": \"m\", \"Error\": {\"Err\": \"no Go files\"}}'; }",
            "no Go files",
        ),
    ];
    let mut references = Vec::new();
    for (name, go, _) in faults {
        package(&fixture, name, go, SOUND);
        references.push(format!("go:{name}"));
    }
    package(&fixture, "sound", "", SOUND);
    references.push("go:sound".to_owned());
    run(&fixture, &references);
    let job = fixture.job();
    assert_eq!(job.results()["total"], faults.len() + 1);
    assert_eq!(job.status("m/sound"), "PASS");
    for (name, _, words) in faults {
        let words = words.replace("`go ", &format!("`{}/bin/go ", fixture.project().display()));
        let results = job.results();
        let tests = results["tests"].as_array().unwrap();
        let prefix = format!("go:{name}");
        let name_of =
            |test: &&serde_json::Value| test["name"].as_str().unwrap().starts_with(&prefix);
        let test = tests
            .iter()
            .find(name_of)
            .unwrap_or_else(|| panic!("{name}: {results:#}"));
        job.assert_error(test["name"].as_str().unwrap(), &[&words]);
    }
    fixture.assert_no_strays();
}

#[test]
fn missing_go_says_what_to_install() {
    let fixture = project();
    package(&fixture, "p", "", SOUND);
    fixture
        .run(&["run", "--set", "runner.go-test.go=/none/go", "go:p"])
        .code(1);
    let results = fixture.job().results();
    let reason = results["tests"][0]["fail_reason"].as_str().unwrap();
    assert!(
        reason.contains("install Go where the tests run"),
        "{reason}"
    );
    assert!(
        reason.contains("or set runner.go-test.go to the path of `/none/go`"),
        "{reason}"
    );
}

#[test]
fn go_that_hangs_is_ended() {
    let fixture = project();
    package(&fixture, "p", "list() { sleep 1000 & wait; }", SOUND);
    let go = format!("runner.go-test.go={}/bin/go", fixture.project().display());
    let args = [
        "run",
        "--set",
        &go,
        "--set",
        "task.timeout.running=2",
        "go:p",
    ];
    fixture.run(&args).code(1);
    let results = fixture.job().results();
    let reason = results["tests"][0]["fail_reason"].as_str().unwrap();
    assert!(
        reason.contains("the lister took too long (`task.timeout.running`)"),
        "{reason}"
    );
    fixture.assert_no_strays();
}

#[test]
fn fault_of_a_binary_that_lists_is_an_error_of_its_package() {
    let fixture = project();
    let faults = [
        (
            "crashes",
            "kill -SEGV $$",
            "its test binary ended by signal 11 (SIGSEGV)",
        ),
        (
            "exits",
            "echo no >&2; exit 3",
            "its test binary exited with code 3: no",
        ),
        (
            "prints",
            "echo hello",
            "its test binary printed `hello` in place of a list",
        ),
        (
            "doubles",
            "echo TestB; echo TestC; echo TestB",
            "its test binary lists `TestB` twice",
        ),
        (
            "hangs",
            "sleep 1000 & wait",
            "its test binary did not list them within 2 s",
        ),
    ];
    let mut references = Vec::new();
    for (name, lists, _) in faults {
        package(&fixture, name, "", (lists, "exit 1"));
        references.push(format!("go:{name}?isolate"));
    }
    let broken = "build() { echo '# m/broken'; echo 'a_test.go:3:1: no x'; exit 2; }";
    package(&fixture, "broken", broken, SOUND);
    package(&fixture, "unbuilt", "build() { :; }", SOUND);
    package(&fixture, "sound", "", SOUND);
    references.extend(["broken", "unbuilt", "sound"].map(|name| format!("go:{name}?isolate")));
    run(&fixture, &references);
    let job = fixture.job();
    assert_eq!(job.status("m/sound.TestA"), "PASS");
    for (name, _, words) in faults {
        let whole = format!("m/{name} has no list of its tests: ");
        job.assert_error(&format!("m/{name}"), &[&whole, words]);
    }
    job.assert_error(
        "m/broken",
        &["m/broken does not build: a_test.go:3:1: no x"],
    );
    job.assert_error("m/unbuilt", &["has built no tests of m/unbuilt; is it Go?"]);
    assert_eq!(job.results()["total"], faults.len() + 3);
    fixture.assert_no_strays();
}

#[test]
fn test_that_is_lost_after_listing_is_an_error() {
    let gone = "the test `TestGone` does not exist any more: m/";
    for (name, go, runs, status, words) in [
        (
            "loses",
            "",
            "echo 'testing: warning: no tests to run'; echo PASS",
            "ERROR",
            gone,
        ),
        ("renames", "", "echo PASS; exit 0", "ERROR", gone),
        ("removed", "", "rm -r ../removed; echo PASS", "ERROR", gone),
        (
            "unbuildable",
            "build() { test ! -e built || { echo 'a_test.go:3:1: no x'; exit 2; }; touch built; \
             cp binary \"$1\"; }",
            "",
            "ERROR",
            "m/unbuildable does not build: a_test.go:3:1: no x",
        ),
        (
            "silent",
            "",
            "exit 0",
            "ERROR",
            "m/silent exited with code 0 before the first one; does",
        ),
        (
            "prints",
            "",
            "echo hello",
            "ERROR",
            "before the first one: hello; does its TestMain",
        ),
        (
            "exits",
            "",
            "exit 3",
            "FAIL",
            "m/exits exited with code 3 before the first one",
        ),
        (
            "unfinished",
            "",
            "echo '=== RUN   TestGone'; echo PASS",
            "ERROR",
            "it has no result",
        ),
    ] {
        let fixture = project();
        package(&fixture, name, go, ("echo TestGone", runs));
        fixture.script("beside", "exit 0");
        run(
            &fixture,
            &[format!("go:{name}?isolate"), "beside".to_owned()],
        );
        let job = fixture.job();
        let test = format!("m/{name}.TestGone");
        let (found, reason) = (job.status(&test), job.reason(&test));
        assert_eq!(found, status, "{name}: {reason}");
        assert!(reason.contains(words), "{name}: {reason}");
        assert_eq!(job.status("beside"), "PASS");
    }
}

#[test]
fn session_that_ends_early_loses_no_test_and_is_never_green() {
    for (ends, lists, status, words) in [
        (
            "exit 0",
            "printf 'TestA\\nTestB\\nTestC\\n'",
            "ERROR",
            "1 in error (TestB)",
        ),
        (
            "exit 3",
            "printf 'TestA\\nTestB\\nTestC\\n'",
            "FAIL",
            "1 failed (TestB)",
        ),
        (
            "kill -ABRT $$",
            "printf 'TestA\\nTestB\\nTestC\\n'",
            "FAIL",
            "1 failed (TestB)",
        ),
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
            "did not list them within 2 s",
        ),
    ] {
        let fixture = project();
        let runs = format!(
            "if test -e again; then run TestC; echo PASS; else touch again; run TestA; \
             echo '=== RUN   TestB'; {ends}; fi"
        );
        package(&fixture, "p", "", (lists, &runs));
        run(&fixture, &["go:p".to_owned()]);
        let (found, reason) = (fixture.job().status("m/p"), fixture.job().reason("m/p"));
        assert_eq!(found, status, "{ends}: {reason}");
        assert!(reason.contains(words), "{ends}: {reason}");
        let of_b = if ends == "exit 0" { "ERROR" } else { "FAIL" };
        let mut expected = vec![("TestA", "PASS"), ("TestB", of_b)];
        if lists.starts_with("printf") {
            expected.push(("TestC", "PASS"));
        }
        assert_equal(&cases(&fixture), &expected);
        fixture.assert_no_strays();
    }
}

#[test]
fn reference_that_cannot_run_is_corrupt() {
    let fixture = project();
    for (reference, words) in [
        (
            "go:none",
            "there is no none; write go: and the directory of a Go package",
        ),
        ("go:bin/go", "bin/go is not a directory"),
        ("go:bin?colour=red", "unknown option `colour`"),
        (
            "go:bin?race=yes",
            "option `race` must be true or false, not yes",
        ),
    ] {
        let listed = fixture.run(&["list", reference]).code(2);
        assert!(format!("{listed}").contains(words), "{listed}");
    }
}
