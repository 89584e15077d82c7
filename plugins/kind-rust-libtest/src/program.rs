//! Owns what a runnable stands for, and the command that runs it.

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{Command, Output};

use crate::{CARGO, cargo, reference};

/// Keyword argument: the directory in which the test runs.
pub(crate) const DIRECTORY: &str = "directory";
/// Keyword argument: why the tests of a binary are not listed.
pub(crate) const FAULT: &str = "fault";
/// Keyword argument: what runs the tests of a binary, if it is not libtest.
pub(crate) const HARNESS: &str = "harness";
/// Keyword argument: the package whose documentation tests are the task.
pub(crate) const DOCTESTS: &str = "doctests";

/// What runs the tests of a binary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Harness {
    /// Rust's own.
    Libtest,
    /// Another one that lists tests as libtest does. It need not print a summary.
    Own,
    /// None: the binary is one test as a whole.
    None,
}

impl Harness {
    /// The value of the keyword argument.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Libtest => "libtest",
            Self::Own => "own",
            Self::None => "none",
        }
    }

    fn of(runnable: &Runnable) -> Result<Self, Error> {
        match runnable.kwargs.text(HARNESS) {
            None => Ok(Self::Libtest),
            Some(name) => [Self::Libtest, Self::Own, Self::None]
                .into_iter()
                .find(|harness| harness.name() == name)
                .ok_or_else(|| {
                    let message = format!("harness must be libtest, own or none, not `{name}`");
                    Error::new("invalid", message)
                }),
        }
    }
}

/// What a task runs.
#[derive(Debug, PartialEq)]
pub(crate) enum Subject<'a> {
    /// One test of a binary.
    Test { name: &'a str, harness: Harness },
    /// A binary as a whole.
    Program,
    /// The documentation tests of a package.
    Doctests { package: &'a str },
}

impl<'a> Subject<'a> {
    /// What a task runs.
    ///
    /// # Errors
    /// `failed` for a binary whose tests are not listed; `invalid` for a runnable that was not
    /// listed, or is none of this kind.
    pub(crate) fn of(task: &'a Task) -> Result<Self, Error> {
        let runnable = &task.runnable;
        if let Some(fault) = runnable.kwargs.text(FAULT) {
            return Err(Error::new("failed", fault));
        }
        if let Some(package) = runnable.kwargs.text(DOCTESTS) {
            return Ok(Self::Doctests { package });
        }
        match (Harness::of(runnable)?, runnable.args.first()) {
            (Harness::None, _) => Ok(Self::Program),
            (harness, Some(name)) => Ok(Self::Test { name, harness }),
            (_, None) => {
                let uri = runnable.uri.as_deref().unwrap_or_default();
                let message = format!(
                    "the tests of {uri} were not listed; the lister `rust-libtest` does that, \
                     unless `plugins.disable` names it"
                );
                Err(Error::new("invalid", message))
            }
        }
    }
}

/// Whether a runnable is one test and needs no listing.
pub(crate) fn is_test(runnable: &Runnable) -> bool {
    let has = |name| runnable.kwargs.get(name).is_some();
    !runnable.args.is_empty() || has(FAULT) || has(HARNESS) || has(DOCTESTS)
}

/// The command of a task.
///
/// # Errors
/// Those of [`Subject::of`]; `invalid` for a runnable without a uri.
pub(crate) fn command(task: &Task) -> Result<Command, Error> {
    let command = match Subject::of(task)? {
        Subject::Test { .. } => binary(task)?.arg("--nocapture"),
        Subject::Program => binary(task)?,
        Subject::Doctests { package } => doctests(task, package)?,
    };
    Ok(command
        .stdout(Output::file("stdout"))
        .stderr(Output::file("stderr")))
}

/// The command that starts a test binary with the arguments of the runnable.
fn binary(task: &Task) -> Result<Command, Error> {
    let mut as_program = task.clone();
    let uri = task.runnable.uri.as_deref();
    as_program.runnable.uri = uri.map(|uri| cargo::absolute(task, uri));
    // Those of this kind are no variables.
    as_program.runnable.kwargs = Attributes::new();
    let mut command = persea_exec_command::command(&as_program)?;
    let directory = task.runnable.kwargs.text(DIRECTORY);
    command.cwd = directory.map(|directory| cargo::absolute(task, directory));
    Ok(command)
}

/// The command that runs the documentation tests of a package.
fn doctests(task: &Task, package: &str) -> Result<Command, Error> {
    let reference = cargo::parse(task.runnable.uri.as_deref().unwrap_or_default())?;
    let mut command = cargo::command(task, &reference)
        .args(["test", "--doc", "--package", package])
        .args(&reference.shared);
    if !reference.filters.is_empty() {
        command = command.arg("--").args(&reference.filters);
    }
    command.env.extend(task.runnable.env.iter().cloned());
    Ok(command)
}

/// The outcome of a task whose program does not exist.
///
/// # Errors
/// Those of [`Subject::of`].
pub(crate) fn not_found(task: &Task) -> Result<Outcome, Error> {
    if let Subject::Doctests { .. } = Subject::of(task)? {
        let error = Error::new("not-found", "cargo does not exist");
        return Err(cargo::missing(CARGO.get(&task.settings), &error));
    }
    let uri = task.runnable.uri.as_deref().unwrap_or_default();
    let built = match uri.starts_with(reference::SCHEME) {
        true => "",
        false => {
            "; it was removed since its tests were listed, or built in another environment: \
                  build it before the job with `cargo test --no-run`"
        }
    };
    Ok(Outcome::error(format!("{uri} does not exist{built}")))
}
