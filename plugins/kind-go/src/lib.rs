//! Persea's plugin `go-test`: the tests of Go packages.
//!
//! This module owns the plugin's roles. A reference `go:DIR` or `go:DIR/...` becomes one runnable,
//! which the lister replaces by one for each package that `go list` finds, or for each test where
//! the user wants each test alone (`listing`). The runner builds the test binary of a package
//! (`build`), runs it as `go test` does and follows what it prints (`session`, `stream`), and makes
//! reasons of that (`reason`).

mod build;
mod listing;
mod reason;
mod reference;
mod session;
mod stream;
mod subject;
mod toolchain;

use std::time::Duration;

use persea_exec_command::CLEAR_ENV;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::workspace::{self, FileKind};
use reference::GoReference;

const KIND: &str = "go-test";

/// Go: a path, or a name to look up in PATH.
const GO: Setting<Text> = Setting::text("runner.go-test.go")
    .default("go")
    .summary("The go that builds Go tests");

/// Whether each test is a task of its own.
const ISOLATE: Setting<Boolean> = Setting::boolean("runner.go-test.isolate")
    .default(false)
    .summary("Whether each test of a Go package is a task with a process of its own");

/// The longest that a test binary may take to list its tests.
const LIST_TIMEOUT: Setting<Time> = Setting::duration("runner.go-test.list_timeout")
    .default(Duration::from_secs(30))
    .summary("The longest that a Go test binary may take to list its tests; 0 means no limit");

/// The plugin `go-test`.
pub struct GoTest;

impl Plugin for GoTest {
    fn describe() -> Description {
        Description::new(KIND, "builds, lists and runs the tests of Go packages")
            .role(Role::resolver([KIND]))
            .role(Role::lister([KIND]))
            .role(Role::runner([KIND]))
            .setting(&GO)
            .setting(&ISOLATE)
            .setting(&LIST_TIMEOUT)
            .setting(&CLEAR_ENV)
    }
}

/// A reference `go:DIR` becomes one runnable, which stands for all packages of the reference.
impl Resolver for GoTest {
    fn resolve(request: &ResolveRequest) -> Result<Resolution, Error> {
        let text = request.reference.as_str();
        if !text.starts_with(reference::SCHEME) {
            return Ok(Resolution::not_found("the reference is not go:DIR"));
        }
        let reference = match GoReference::parse(text) {
            Ok(reference) => reference,
            Err(why) => return Ok(Resolution::corrupt(why)),
        };
        // A directory outside of the project cannot be looked at; go says what is wrong with it.
        let directory = &reference.directory;
        let why = match workspace::stat(directory) {
            Ok(stat) if stat.kind != FileKind::Directory => {
                format!("{directory} is not a directory")
            }
            Err(error) if error.code == "not-found" => format!("there is no {directory}"),
            Ok(_) | Err(_) => return Ok(Resolution::found([Runnable::new(KIND).uri(text)])),
        };
        Ok(Resolution::corrupt(format!(
            "{why}; write go: and the directory of a Go package, with /... for all below it"
        )))
    }
}

impl Lister for GoTest {
    fn list_tests(task: &Task) -> Result<Listing, Error> {
        listing::list(task).map(Listing::new)
    }
}

impl Runner for GoTest {
    fn run(task: Task) -> Result<Outcome, Error> {
        session::run(&task)
    }
}

export!(GoTest: resolver, lister, runner);

#[cfg(test)]
mod tests;
