//! Persea's plugin `pytest`: finds, lists and runs the tests of pytest.
//!
//! This module owns the entry points. `resolve` recognizes references, `listing` asks pytest for
//! the files of a directory, `command` makes command lines, `session` turns the report of a session
//! into cases and an outcome, and `batch` runs many sessions with one interpreter. The Python
//! scripts, which pytest's hooks call, own everything below the interpreter.

mod batch;
mod command;
mod late_exit;
mod listing;
mod project;
mod report;
mod resolve;
mod session;
mod source;
mod stderr;

use command::{INTERPRETER, OPTIONS, PART_SIZE, Request};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Output};
use session::{Session, missing_interpreter};

/// The kind of a session: a file, some tests of a file, a directory, or a whole project.
const KIND: &str = "pytest";

/// The kind of a directory that a lister replaces by its files, each with a session of its own.
const FILES: &str = "pytest-files";

/// What every script begins with.
const SCRIPT: &str = concat!(
    include_str!("persea_pytest.py"),
    "\n\n",
    include_str!("persea_pytest_texts.py")
);

/// The part of the script that runs one session.
const ONE: &str = "main()\n";

/// A script: [`SCRIPT`] with a part that begins.
fn script(part: &str) -> String {
    format!("{SCRIPT}\n\n{part}")
}

/// The plugin `pytest`.
pub struct Pytest;

impl Plugin for Pytest {
    fn describe() -> Description {
        Description::new(KIND, "finds, lists and runs the tests of pytest")
            .role(Role::resolver([KIND, FILES]).with("order", 60))
            .role(Role::lister([FILES]))
            .role(Role::runner([KIND, FILES]))
            .role(Role::batch_runner([KIND, FILES]))
            .setting(&INTERPRETER)
            .setting(&OPTIONS)
            .setting(&PART_SIZE)
    }
}

impl Resolver for Pytest {
    fn resolve(request: &ResolveRequest) -> Result<Resolution, Error> {
        resolve::resolve(&request.reference)
    }
}

impl Lister for Pytest {
    fn list_tests(task: &Task) -> Result<Listing, Error> {
        listing::list(task)
    }
}

impl Runner for Pytest {
    fn run(task: Task) -> Result<Outcome, Error> {
        let request = Request::new(&task)?;
        let command = request
            .command
            .clone()
            .args(["-c", &script(ONE), &request.selected, &request.part])
            .args(&request.arguments)
            .stdout(Output::file("stdout"))
            .stderr(Output::file("stderr"))
            .report(Output::Pipe);
        let child = match process::start(&command) {
            Ok(child) => child,
            Err(error) => return missing_interpreter(error),
        };
        let mut session = Session::new(&request);
        session.read(&child)?;
        let exit = session.wait(&child)?;
        Ok(session.outcome(&exit))
    }
}

impl BatchRunner for Pytest {
    fn run_batch(batch: &mut Batch) -> Result<(), Error> {
        batch::run(batch)
    }
}

export!(Pytest: resolver, lister, runner, batch_runner);

#[cfg(test)]
mod tests;
