//! Persea's plugin `bats`: the test files of Bats, the Bash Automated Testing System.
//!
//! This module owns the plugin's roles. A file becomes one runnable, which runs the whole file with
//! a case for each test. `session` runs bats and judges its end, `stream` reads what it prints.
//! There is no lister: bats counts the tests of a file without running any, but does not name them.

mod reference;
mod session;
mod stream;

use persea_exec_command::CLEAR_ENV;
use persea_plugin_sdk::prelude::*;

const KIND: &str = "bats";

/// The end of the names of test files.
const END: &str = ".bats";

/// Bats: a path, or a name to look up in PATH.
const BATS: Setting<Text> = Setting::text("runner.bats.bats")
    .default("bats")
    .summary("The bats that runs test files");

/// The plugin `bats`.
pub struct Bats;

impl Plugin for Bats {
    fn describe() -> Description {
        Description::new(KIND, "finds and runs the test files of Bats")
            .role(Role::resolver([KIND]))
            .role(Role::runner([KIND]))
            .setting(&BATS)
            .setting(&CLEAR_ENV)
    }
}

impl Resolver for Bats {
    fn resolve(request: &ResolveRequest) -> Result<Resolution, Error> {
        Ok(reference::resolve(&request.reference))
    }
}

impl Runner for Bats {
    fn run(task: Task) -> Result<Outcome, Error> {
        session::run(&task)
    }
}

export!(Bats: resolver, runner);
