//! Persea's plugin `rust-libtest`: the tests of Rust packages, each in a process of its own.
//!
//! This module owns the plugin's roles. A reference `cargo:DIR` becomes one runnable, which the
//! lister replaces: `cargo` builds the test binaries, `listing` asks each for its tests. The runner
//! starts the binary for one test (`program`) and judges what libtest prints (`verdict`). The
//! documentation tests of a package are one task with cases (`doctest`).

mod cargo;
mod doctest;
mod harness;
mod listing;
mod panics;
mod program;
mod reference;
mod variables;
mod verdict;

use std::time::Duration;

use persea_exec_command::{CLEAR_ENV, start_failure};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{Command, Exit};
use persea_plugin_sdk::workspace;
use reference::CargoReference;

const KIND: &str = "rust-libtest";

/// Cargo: a path, or a name to look up in PATH.
const CARGO: Setting<Text> = Setting::text("runner.rust-libtest.cargo")
    .default("cargo")
    .summary("The cargo that builds Rust tests");

/// Which tests run, with regard to `#[ignore]`.
const RUN_IGNORED: Setting<Text> = Setting::text("runner.rust-libtest.run_ignored")
    .default("no")
    .choices(&["no", "too", "only"])
    .summary("Whether tests with #[ignore] are skipped (no), run (too), or run alone (only)");

/// The longest that a test binary may take to list its tests.
const LIST_TIMEOUT: Setting<Time> = Setting::duration("runner.rust-libtest.list_timeout")
    .default(Duration::from_secs(30))
    .summary("The longest that a Rust test binary may take to list its tests; 0 means no limit");

/// The plugin `rust-libtest`.
pub struct RustLibtest;

impl Plugin for RustLibtest {
    fn describe() -> Description {
        Description::new(KIND, "builds, lists and runs the tests of Rust packages")
            .role(Role::resolver([KIND]))
            .role(Role::lister([KIND]))
            .role(Role::program_runner([KIND]))
            .setting(&CARGO)
            .setting(&RUN_IGNORED)
            .setting(&LIST_TIMEOUT)
            .setting(&CLEAR_ENV)
    }
}

/// A reference `cargo:DIR` becomes one runnable, which stands for all tests of the packages there.
impl Resolver for RustLibtest {
    fn resolve(request: &ResolveRequest) -> Result<Resolution, Error> {
        let text = request.reference.as_str();
        if !text.starts_with(reference::SCHEME) {
            return Ok(Resolution::not_found("the reference is not cargo:DIR"));
        }
        let reference = match CargoReference::parse(text) {
            Ok(reference) => reference,
            Err(why) => return Ok(Resolution::corrupt(why)),
        };
        // A directory outside of the project cannot be looked at; cargo says what is wrong with it.
        if let Err(error) = workspace::stat(&reference.manifest())
            && error.code == "not-found"
        {
            let why = format!(
                "there is no {}; write cargo: and the directory of a Rust package or workspace",
                reference.manifest()
            );
            return Ok(Resolution::corrupt(why));
        }
        Ok(Resolution::found([Runnable::new(KIND).uri(text)]))
    }
}

impl Lister for RustLibtest {
    fn list_tests(task: &Task) -> Result<Listing, Error> {
        listing::list(task).map(Listing::new)
    }
}

impl ProgramRunner for RustLibtest {
    fn commands(task: &Task) -> Result<Vec<Command>, Error> {
        program::command(task).map(|command| vec![command])
    }

    fn judge(task: &Task, end: Result<Exit, Error>) -> Result<Outcome, Error> {
        let exit = match end {
            Ok(exit) => exit,
            Err(error) if error.code == "not-found" => return program::not_found(task),
            Err(error) => return Ok(start_failure(task, error)),
        };
        match program::Subject::of(task)? {
            program::Subject::Doctests { .. } => doctest::judge(&exit),
            program::Subject::Test { name, harness } => verdict::judge(&exit, name, harness),
            program::Subject::Program => verdict::judge_program(&exit),
        }
    }
}

export!(RustLibtest: resolver, lister, program_runner);

#[cfg(test)]
mod tests;
