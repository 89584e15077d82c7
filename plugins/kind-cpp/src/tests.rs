//! Tests of the plugin's entry points.
#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use persea_plugin_sdk::testing::{Files, Host};

fn resolve(reference: &str) -> Finding {
    let files = Files::new()
        .executable("b/t", "")
        .file("b/t.cc", "")
        .directory("b/d");
    let _host = Host::new().files(files).install();
    let request = ResolveRequest::new(reference);
    Cpp::resolve(&request).unwrap().finding
}

#[test]
fn reference_becomes_one_runnable() {
    for (reference, expected) in [
        ("googletest:b/t", Runnable::new("googletest").uri("b/t")),
        (
            "catch2:b/t?isolate",
            Runnable::new("catch2").uri("b/t").kwarg("isolate", true),
        ),
    ] {
        assert_eq!(resolve(reference), Finding::Found([expected].into()));
    }
}

#[test]
fn other_references_are_left_to_other_resolvers() {
    for reference in ["b/t", "catch2", "googletests:b/t"] {
        assert!(
            matches!(resolve(reference), Finding::NotFound(_)),
            "{reference}"
        );
    }
}

#[test]
fn reference_that_cannot_be_run_is_corrupt() {
    for (reference, words) in [
        (
            "googletest:b/none",
            "there is no b/none; build the tests first",
        ),
        ("googletest:b/d", "b/d is not a file"),
        ("catch2:b/t.cc", "b/t.cc is not executable"),
        ("catch2:", "write catch2: and the path of a test program"),
        ("catch2:b/t?x", "unknown option `x`"),
    ] {
        match resolve(reference) {
            Finding::Corrupt(why) => assert!(why.contains(words), "{reference}: {why}"),
            other => panic!("{reference}: {other:?}"),
        }
    }
}
