//! The runner `tap`: runs an executable as `exec-test` does, and takes the result from the TAP that it prints.
//!
//! Its exit code does not count, as in Avocado; it's kept as `returncode`. Beside it reports are given how many test points
//! there were: `tap-passed`, `tap-failed` and `tap-skipped` (integers), in which a point stands for its subtest.
//!
//! The parser is for others too: [`Parser`] takes a stream in pieces, in bounded memory, and needs no host.

mod document;
mod level;
mod line;
mod parser;
mod text;
mod verdict;
mod yaml;

use persea_exec_command::{CLEAR_ENV, commands, in_words, not_started, return_code};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{Command, Exit};
use persea_plugin_sdk::status;

pub use parser::{LINE_LIMIT, Parser};
pub use verdict::Verdict;

/// How much of the output is read at a time, in bytes.
const PIECE: u32 = 256 * 1024;

/// The plugin.
#[derive(Debug)]
pub struct Tap;

impl ProgramRunner for Tap {
    fn describe() -> Description {
        Description::new("tap", "runs executables that print TAP")
            .kinds(["tap"])
            .settings([CLEAR_ENV])
    }

    fn commands(task: &Task) -> Result<Vec<Command>, Error> {
        commands(task)
    }

    fn judge(task: &Task, end: Result<Exit, Error>) -> Result<Outcome, Error> {
        match end {
            Ok(exit) => Ok(outcome(&exit, read("stdout")?)),
            Err(error) => Ok(not_started(task, error)),
        }
    }
}

/// Parses what the process has left in one of the task's files.
fn read(name: &str) -> Result<Verdict, Error> {
    let mut parser = Parser::new();
    let mut offset = 0;
    loop {
        let bytes = match status::read_artifact(name, offset, PIECE) {
            // Nothing was ever written.
            Err(error) if error.code == "not-found" => Vec::new(),
            other => other?,
        };
        if bytes.is_empty() {
            return Ok(parser.finish());
        }
        offset += bytes.len() as u64;
        parser.feed(&bytes);
    }
}

fn outcome(exit: &Exit, verdict: Verdict) -> Outcome {
    let mut reason = verdict.reason;
    if let Some(reason) = &mut reason
        && verdict.status == Status::Error
        && return_code(exit) != 0
    {
        // A stream that stops or is missing has its cause elsewhere, more often than not.
        reason.push_str(&format!("; {}", in_words(exit)));
    }
    if let Some(line) = verdict.cut_line {
        let note =
            format!("line {line} is longer than {LINE_LIMIT} bytes: the rest of it was not read");
        log::warn!("{note}");
        if let Some(reason) = &mut reason {
            reason.push_str(&format!("; {note}"));
        }
    }
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Outcome::new(verdict.status, reason)
        .with("returncode", return_code(exit))
        .with("tap-passed", count(verdict.passed))
        .with("tap-failed", count(verdict.failed))
        .with("tap-skipped", count(verdict.skipped))
}

export!(program_runner: Tap);
