//! Tests of the plugin's entry points.
#![allow(clippy::unwrap_used, clippy::unreachable)]
use super::*;
use persea_plugin_sdk::testing::{Files, Host};

fn resolve(reference: &str) -> Finding {
    let files = Files::new().file("a/a_test.go", "");
    let _host = Host::new().files(files).install();
    GoTest::resolve(&ResolveRequest::new(reference))
        .unwrap()
        .finding
}

#[test]
fn reference_becomes_one_runnable() {
    for reference in ["go:a", "go:a/...?race&run=A"] {
        let expected = [Runnable::new(KIND).uri(reference)];
        assert_eq!(resolve(reference), Finding::Found(expected.into()));
    }
}

#[test]
fn other_references_are_left_to_other_resolvers() {
    for reference in ["a", "a/a_test.go", "go", "golang:a"] {
        assert!(
            matches!(resolve(reference), Finding::NotFound(_)),
            "{reference}"
        );
    }
}

#[test]
fn reference_that_cannot_be_run_is_corrupt() {
    for (reference, words) in [
        ("go:b", "there is no b; write go: and the directory"),
        ("go:a/a_test.go", "a/a_test.go is not a directory"),
        ("go:a?colour=red", "unknown option `colour`"),
    ] {
        match resolve(reference) {
            Finding::Corrupt(why) => assert!(why.contains(words), "{reference}: {why}"),
            other => unreachable!("{reference}: {other:?}"),
        }
    }
}
