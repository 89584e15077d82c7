//! Tests of the judgement: outputs of libtest, of Rust 1.95.
#![allow(clippy::unwrap_used)]
use super::*;
use persea_plugin_sdk::process::Ending;
use persea_plugin_sdk::testing::{Artifacts, Host};

fn judged(ending: Ending, stdout: &str, stderr: &str) -> (Status, String) {
    judged_of(ending, stdout, stderr, Harness::Libtest)
}

fn judged_of(ending: Ending, stdout: &str, stderr: &str, harness: Harness) -> (Status, String) {
    let files = Artifacts::new()
        .file("stdout", stdout)
        .file("stderr", stderr);
    let _host = Host::new().artifacts(files).install();
    let outcome = judge(&Exit::new(ending), "a::t", harness).unwrap();
    (outcome.status, outcome.reason.unwrap_or_default())
}

fn summary(counts: &str) -> String {
    format!("\nrunning 1 test\n\ntest result: ok. {counts}; 0 measured; 9 filtered out\n\n")
}

#[test]
fn test_that_libtest_counts_as_passed_passes() {
    let passed = summary("1 passed; 0 failed; 0 ignored");
    assert_eq!(judged(Ending::Code(0), &passed, "").0, Status::Pass);
    let (status, reason) = judged(Ending::Signal(11), &passed, "");
    assert_eq!(
        (status, reason.as_str()),
        (
            Status::Fail,
            "ended by signal 11 (SIGSEGV) after its summary"
        )
    );
    let bench = "test result: ok. 0 passed; 0 failed; 0 ignored; 1 measured; 0 filtered out\n";
    assert_eq!(judged(Ending::Code(0), bench, "").0, Status::Pass);
}

#[test]
fn test_that_does_not_exist_any_more_is_an_error() {
    let none = summary("0 passed; 0 failed; 0 ignored");
    let (status, reason) = judged(Ending::Code(0), &none, "");
    assert_eq!(status, Status::Error);
    assert!(
        reason.starts_with("the test `a::t` does not exist any more"),
        "{reason}"
    );
}

#[test]
fn test_that_ends_its_process_is_an_error() {
    let (status, _) = judged(Ending::Code(0), "\nrunning 1 test\n", "");
    assert_eq!(status, Status::Error);
    let own = judged_of(Ending::Code(0), "fine\n", "", Harness::Own);
    assert_eq!(
        own.0,
        Status::Pass,
        "another harness need not print a summary"
    );
}

#[test]
fn ignored_test_is_skipped_with_its_reason() {
    let output = "\nrunning 1 test\ntest a::t ... ignored, too slow\n\n\
                  test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n";
    let skipped = (Status::Skip, "ignored: too slow".to_owned());
    assert_eq!(judged(Ending::Code(0), output, ""), skipped);
    let without = output.replace(", too slow", "");
    assert_eq!(
        judged(Ending::Code(0), &without, ""),
        (Status::Skip, "ignored".to_owned())
    );
}

#[test]
fn failed_test_has_the_message_of_its_panic() {
    let failed = summary("0 passed; 1 failed; 0 ignored");
    let panic = "\nthread 'a::t' (7) panicked at src/lib.rs:1:2:\nno\n";
    let (status, reason) = judged(Ending::Code(101), &failed, panic);
    assert_eq!(
        (status, reason.as_str()),
        (Status::Fail, "panicked at src/lib.rs:1:2: no")
    );
    let (_, reason) = judged(Ending::Signal(6), "\nrunning 1 test\n", panic);
    assert_eq!(
        reason,
        "panicked at src/lib.rs:1:2: no; ended by signal 6 (SIGABRT)"
    );
    let (_, reason) = judged(Ending::Code(101), &failed, "x\nError: \"bad\"\n");
    assert_eq!(reason, "Error: \"bad\"");
    let (status, reason) = judged(Ending::Code(3), "\nrunning 1 test\n", "Error: x\n");
    assert_eq!(
        (status, reason.as_str()),
        (Status::Fail, "exited with code 3")
    );
    let (_, reason) = judged(Ending::Code(101), &failed, "");
    assert_eq!(reason, "the test failed without a message");
}

#[test]
fn note_of_libtest_is_preferred_to_the_expected_panic() {
    let output = "test a::t - should panic ... FAILED\n\nfailures:\n\n---- a::t stdout ----\n\
                  note: panic did not contain expected string\n      panic message: \"y\"\n \
                  expected substring: \"x\"\n\nfailures:\n    a::t\n\n\
                  test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 9 filtered out\n";
    let panic = "\nthread 'a::t' (7) panicked at src/lib.rs:1:2:\ny\n";
    let expected = "panic did not contain expected string; panic message: \"y\"; \
                    expected substring: \"x\"";
    assert_eq!(
        judged(Ending::Code(101), output, panic),
        (Status::Fail, expected.to_owned())
    );
}

#[test]
fn summary_that_a_test_prints_does_not_count_when_libtests_follows() {
    let forged = "test result: ok. 1 passed; 0 failed; 0 ignored\n";
    let output = format!("{forged}{}", summary("0 passed; 1 failed; 0 ignored"));
    assert_eq!(judged(Ending::Code(101), &output, "").0, Status::Fail);
}

#[test]
fn program_is_judged_by_its_exit() {
    let judged = |ending, stderr: &str| {
        let files = Artifacts::new().file("stderr", stderr);
        let _host = Host::new().artifacts(files).install();
        let outcome = judge_program(&Exit::new(ending)).unwrap();
        (outcome.status, outcome.reason.unwrap_or_default())
    };
    assert_eq!(judged(Ending::Code(0), "x").0, Status::Pass);
    let panic = "thread 'main' panicked at tests/own.rs:1:2:\nno\n";
    let expected = (Status::Fail, "panicked at tests/own.rs:1:2: no".to_owned());
    assert_eq!(judged(Ending::Code(101), panic), expected);
    let expected = (Status::Fail, "ended by signal 9 (SIGKILL)".to_owned());
    assert_eq!(judged(Ending::Signal(9), ""), expected);
    assert_eq!(judged(Ending::Unknown, "").0, Status::Error);
}
