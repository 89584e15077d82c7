//! Tests of documentation tests: what rustdoc prints becomes cases.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use persea_plugin_sdk::process::Ending;
use persea_plugin_sdk::testing::{Artifacts, Host};

const FAILED: &str = "\nrunning 4 tests\n\
    test a/src/lib.rs - (line 10) ... ignored\n\
    test a/src/lib.rs - (line 4) - compile ... ok\n\
    test a/src/lib.rs - g (line 27) - compile ... FAILED\n\
    test a/src/lib.rs - f (line 23) ... FAILED\n\
    \nfailures:\n\n---- a/src/lib.rs - g (line 27) stdout ----\n\
    error[E0308]: mismatched types\n  --> a/src/lib.rs:28:14\n\
    ---- a/src/lib.rs - f (line 23) stdout ----\nTest executable failed (exit status: 101).\n\n\
    stderr:\n\nthread 'main' (1) panicked at a/src/lib.rs:5:1:\nassertion failed\n\n\
    failures:\n    a/src/lib.rs - f (line 23)\n\n\
    test result: FAILED. 1 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out\n";

fn judged(
    code: i32,
    stdout: &str,
    stderr: &str,
) -> (Outcome, Vec<(String, Status, Option<String>)>) {
    let files = Artifacts::new()
        .file("stdout", stdout)
        .file("stderr", stderr);
    let host = Host::new().artifacts(files).install();
    let outcome = judge(&Exit::new(Ending::Code(code))).unwrap();
    let cases = host.cases().into_iter();
    let cases = cases.map(|case| (case.path.concat(), case.status, case.reason));
    (outcome, cases.collect())
}

#[test]
fn failed_documentation_tests_are_cases_with_reasons() {
    let (outcome, cases) = judged(101, FAILED, "");
    let expected = "2 of 4 failed: a/src/lib.rs - g (line 27) - compile, \
                    a/src/lib.rs - f (line 23)";
    assert_eq!(outcome, Outcome::fail(expected).with("returncode", 101));
    let reasons: Vec<Option<&str>> = cases.iter().map(|case| case.2.as_deref()).collect();
    let mismatched = Some("error[E0308]: mismatched types");
    assert_eq!(
        reasons,
        [Some("ignored"), None, mismatched, Some("assertion failed")]
    );
    let statuses: Vec<Status> = cases.iter().map(|case| case.1).collect();
    assert_eq!(
        statuses,
        [Status::Skip, Status::Pass, Status::Fail, Status::Fail]
    );
}

#[test]
fn package_without_documentation_tests_is_skipped() {
    let none = "\nrunning 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; \
                0 filtered out; finished in 0.00s\n";
    assert_eq!(judged(0, none, "").0.status, Status::Skip);
    let ignored = format!("test a.rs - (line 1) ... ignored\n{none}");
    assert_eq!(judged(0, &ignored, "").0.status, Status::Skip);
    let passed = format!("test a.rs - (line 1) ... ok\n{none}");
    assert_eq!(judged(0, &passed, "").0.status, Status::Pass);
}

#[test]
fn documentation_tests_without_a_result_are_an_error() {
    let (outcome, _) = judged(0, "hello\n", "");
    assert_eq!(outcome.status, Status::Error);
    let (outcome, _) = judged(101, "", "error: no library targets found in package `a`\n");
    let reason = "error: no library targets found in package `a`";
    assert_eq!(outcome, Outcome::error(reason).with("returncode", 101));
}
