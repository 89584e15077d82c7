//! Tests of the resolver through its only entry point, `resolve`.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use persea_plugin_sdk::testing::{Files, Host};

mod inheritance;
mod references;
mod warnings;

/// Resolves a reference in a project of these files.
fn ask(files: Files, reference: &str) -> Resolution {
    let _host = Host::new().files(files).install();
    LIBRARY.take();
    PythonUnittest::resolve(&ResolveRequest::new(reference)).unwrap()
}

/// The runnables of a reference that has tests.
fn found(files: Files, reference: &str) -> Vec<Runnable> {
    match ask(files, reference).finding {
        Finding::Found(runnables) => runnables,
        other => panic!("{other:?}"),
    }
}

/// The uris of the runnables of a reference.
fn uris(files: Files, reference: &str) -> Vec<String> {
    found(files, reference)
        .into_iter()
        .map(|runnable| runnable.uri.unwrap())
        .collect()
}

/// The reason of a reference that has no tests.
fn not_found(files: Files, reference: &str) -> String {
    match ask(files, reference).finding {
        Finding::NotFound(why) => why,
        other => panic!("{other:?}"),
    }
}
