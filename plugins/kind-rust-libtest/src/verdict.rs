//! Owns the judgement of one test: from the exit of its binary and the summary that libtest prints.
//!
//! The exit code alone is not enough. For a test that does not exist libtest exits with code 0,
//! and so does a test that ends its own process.

use persea_exec_command::{describe_exit, unknown_ending, with_return_code};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::Exit;

use crate::panics;
use crate::program::Harness;
use persea_exec_command::files;

/// The part at the end of the output in which the summary is looked for, in bytes.
const TAIL: u32 = 64 << 10;

/// The counts in libtest's summary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Summary {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
    pub(crate) measured: u64,
}

impl Summary {
    /// Reads the last summary in an output: `test result: ok. 1 passed; 0 failed; …`.
    pub(crate) fn last(output: &str) -> Option<Self> {
        output.lines().rev().find_map(Self::read)
    }

    /// Reads a line that is a summary.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let counts = line.strip_prefix("test result: ")?;
        let (_, counts) = counts.split_once(". ")?;
        let mut summary = Self::default();
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else {
                continue;
            };
            let field = match what {
                "passed" => &mut summary.passed,
                "failed" => &mut summary.failed,
                "ignored" => &mut summary.ignored,
                "measured" => &mut summary.measured,
                _ => continue,
            };
            *field = number.parse().ok()?;
        }
        Some(summary)
    }
}

/// Judges a test by the exit of its binary and what it has printed.
///
/// # Errors
/// Those of reading the output.
pub(crate) fn judge(exit: &Exit, name: &str, harness: Harness) -> Result<Outcome, Error> {
    let stdout = files::tail("stdout", TAIL)?;
    let outcome = match (Summary::last(&stdout), harness) {
        (Some(summary), _) if summary.failed > 0 => failure(exit, name, &stdout)?,
        (Some(summary), _) if exit.success() => of_success(&summary, name, &stdout),
        (Some(_), _) => Outcome::fail(format!("{} after its summary", describe_exit(exit))),
        (None, Harness::Own) if exit.success() => Outcome::pass(),
        (None, _) if exit.success() => {
            let reason = "the test ended its process with code 0 before libtest had its result";
            Outcome::error(reason)
        }
        (None, _) if exit.code().is_none() && exit.signal().is_none() => unknown_ending(exit),
        (None, _) => failure(exit, name, &stdout)?,
    };
    Ok(with_return_code(outcome, exit))
}

/// Judges a binary that is one test as a whole, by its exit.
///
/// # Errors
/// Those of reading the output.
pub(crate) fn judge_program(exit: &Exit) -> Result<Outcome, Error> {
    let outcome = match exit.code() {
        Some(0) => Outcome::pass(),
        None if exit.signal().is_none() => unknown_ending(exit),
        _ => match panics::last(&files::tail("stderr", TAIL)?, None) {
            Some(panic) => panic.outcome(),
            None => Outcome::fail(describe_exit(exit)),
        },
    };
    Ok(with_return_code(outcome, exit))
}

/// The outcome of a binary that exited with code 0.
fn of_success(summary: &Summary, name: &str, stdout: &str) -> Outcome {
    match summary {
        Summary {
            passed: 0,
            ignored: 0,
            measured: 0,
            ..
        } => Outcome::error(format!(
            "the test `{name}` does not exist any more: its binary was built again since its tests \
             were listed, and has no test of this name"
        )),
        Summary {
            passed: 0,
            measured: 0,
            ..
        } => Outcome::skip(ignored(stdout)),
        _ => Outcome::pass(),
    }
}

/// Why a test was ignored: the text of `#[ignore = "…"]`.
fn ignored(stdout: &str) -> String {
    let of_test = |line: &str| {
        line.strip_prefix("test ")?
            .split_once(" ... ignored")
            .map(|it| it.1.to_owned())
    };
    let reason = stdout.lines().rev().find_map(of_test).unwrap_or_default();
    match reason.strip_prefix(", ") {
        Some(reason) => format!("ignored: {reason}"),
        None => "ignored".to_owned(),
    }
}

/// The outcome of a test that failed, or whose process ended before it had a result.
fn failure(exit: &Exit, name: &str, stdout: &str) -> Result<Outcome, Error> {
    if let Some(note) = note(stdout, name) {
        return Ok(Outcome::fail(note));
    }
    let stderr = files::tail("stderr", TAIL)?;
    // Exit code 101 is that of every failed test.
    let ended = (exit.code() != Some(101)).then(|| describe_exit(exit));
    if let Some(panic) = panics::last(&stderr, Some(name)) {
        let mut outcome = panic.outcome();
        if let (Some(reason), Some(ended)) = (&mut outcome.reason, ended) {
            reason.push_str(&format!("; {ended}"));
        }
        return Ok(outcome);
    }
    // A test that returns an error: libtest prints it with its `Debug` form.
    let error = stderr
        .lines()
        .rev()
        .find(|line| line.starts_with("Error: "));
    Ok(match (error, ended) {
        (Some(error), None) => Outcome::fail(error.trim_end()),
        (_, Some(ended)) => Outcome::fail(ended),
        (None, None) => Outcome::fail("the test failed without a message"),
    })
}

/// What libtest itself notes about a failed test, such as that it did not panic.
fn note(stdout: &str, name: &str) -> Option<String> {
    let head = format!("---- {name} stdout ----");
    let mut lines = stdout.lines().skip_while(|line| *line != head).skip(1);
    let first = lines.next()?.strip_prefix("note: ")?;
    let rest = lines.take_while(|line| !line.is_empty()).map(str::trim);
    let all: Vec<&str> = std::iter::once(first.trim()).chain(rest).collect();
    Some(all.join("; "))
}

#[cfg(test)]
mod tests;
