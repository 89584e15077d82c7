//! Tests of the plugin's entry points.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use persea_plugin_sdk::process::Ending;
use persea_plugin_sdk::testing::{Answer, Files, Host, Processes};

fn resolve(reference: &str) -> Finding {
    let files = Files::new().file("Cargo.toml", "").file("a/Cargo.toml", "");
    let _host = Host::new().files(files).install();
    RustLibtest::resolve(&ResolveRequest::new(reference))
        .unwrap()
        .finding
}

#[test]
fn reference_becomes_one_runnable() {
    for reference in ["cargo:", "cargo:.", "cargo:a/?release"] {
        let expected = [Runnable::new(KIND).uri(reference)];
        assert_eq!(resolve(reference), Finding::Found(expected.into()));
    }
}

#[test]
fn other_references_are_left_to_other_resolvers() {
    for reference in ["a", "a/Cargo.toml", "cargo"] {
        assert!(
            matches!(resolve(reference), Finding::NotFound(_)),
            "{reference}"
        );
    }
}

#[test]
fn directory_without_a_package_and_unknown_option_are_corrupt() {
    for reference in ["cargo:b", "cargo:.?colour=red"] {
        assert!(
            matches!(resolve(reference), Finding::Corrupt(_)),
            "{reference}"
        );
    }
}

fn task(runnable: Runnable) -> Task {
    Task::new("1-t", runnable).with("project-dir", "/w")
}

fn of_test() -> Runnable {
    let test = Runnable::new(KIND)
        .uri("target/t")
        .args(["a::b", "--exact"]);
    test.kwarg(program::DIRECTORY, "p")
        .env("CARGO_MANIFEST_DIR", "/w/p")
}

#[test]
fn command_of_a_test_runs_in_its_package() {
    let commands = RustLibtest::commands(&task(of_test())).unwrap();
    assert_eq!(commands.len(), 1);
    assert_eq!(commands[0].program, "/w/target/t");
    assert_eq!(commands[0].args, ["a::b", "--exact", "--nocapture"]);
    assert_eq!(commands[0].cwd.as_deref(), Some("/w/p"));
    let names: Vec<&str> = commands[0]
        .env
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(names.contains(&"CARGO_MANIFEST_DIR") && !names.contains(&program::DIRECTORY));
}

#[test]
fn command_of_a_program_has_no_option_of_libtest() {
    let program = Runnable::new(KIND).uri("t").kwarg(program::HARNESS, "none");
    let commands = RustLibtest::commands(&task(program)).unwrap();
    assert_eq!(commands[0].args, [""; 0]);
}

#[test]
fn command_of_documentation_tests_has_the_options_of_the_build() {
    let uri = "cargo:p?features=f&package=x&filter=y";
    let doc = Runnable::new(KIND)
        .uri(uri)
        .kwarg(program::DOCTESTS, "x@1.0.0");
    let commands = RustLibtest::commands(&task(doc)).unwrap();
    let expected = [
        "test",
        "--doc",
        "--package",
        "x@1.0.0",
        "--features=f",
        "--",
        "y",
    ];
    assert_eq!(commands[0].args, expected);
    assert_eq!(commands[0].cwd.as_deref(), Some("/w/p"));
}

#[test]
fn runnable_that_was_not_listed_is_an_error() {
    let error = RustLibtest::commands(&task(Runnable::new(KIND).uri("cargo:."))).unwrap_err();
    assert!(
        error
            .message
            .starts_with("the tests of cargo:. were not listed"),
        "{error}"
    );
    let wrong = of_test().kwarg(program::HARNESS, "x");
    assert_eq!(
        RustLibtest::commands(&task(wrong)).unwrap_err().code,
        "invalid"
    );
}

#[test]
fn missing_binary_is_an_error_with_what_to_do() {
    let missing = || Error::new("not-found", "no").with("os-error", 2);
    let outcome = RustLibtest::judge(&task(of_test()), Err(missing())).unwrap();
    assert_eq!(outcome.status, Status::Error);
    let reason = outcome.reason.unwrap();
    assert!(
        reason.starts_with("target/t does not exist; it was removed"),
        "{reason}"
    );
    let doc = Runnable::new(KIND)
        .uri("cargo:.")
        .kwarg(program::DOCTESTS, "x");
    let error = RustLibtest::judge(&task(doc), Err(missing())).unwrap_err();
    assert!(error.message.contains("install Rust"), "{error}");
}

#[test]
fn listing_and_judging_use_what_the_processes_print() {
    let answer = Answer::code(0).stdout("a: test\n");
    let _host = Host::new().processes(Processes::always(answer)).install();
    let listing = RustLibtest::list_tests(&task(Runnable::new(KIND).uri("t"))).unwrap();
    assert_eq!(listing.tests.len(), 1);
    let end = Ok(Exit::new(Ending::Code(0)));
    let outcome = RustLibtest::judge(&task(of_test()), end).unwrap();
    assert_eq!(outcome.status, Status::Error, "there is no summary");
}
