//! The runner `tap`: runs an executable as `exec-test` does, and takes the result from the TAP that it prints.
//!
//! Judges as Perl's `prove` does: the stream needs a plan and exactly the planned points, and the program must exit with
//! code 0. The setting [`LENIENT`] gives the rules of Avocado, in which the exit code and a missing plan do not count.
//! The exit code is kept as `returncode`. Beside it reports are given how many test points there were: `tap-passed`,
//! `tap-failed` and `tap-skipped` (integers), in which a point stands for its subtest.
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

/// Whether a test is judged by Avocado's rules (boolean): neither the exit code nor a missing plan makes it fail.
pub const LENIENT: &str = "runner.tap.lenient";

/// How much of the output is read at a time, in bytes.
const PIECE: u32 = 256 * 1024;

/// The plugin.
#[derive(Debug)]
pub struct Tap;

impl ProgramRunner for Tap {
    fn describe() -> Description {
        Description::new("tap", "runs executables that print TAP")
            .kinds(["tap"])
            .settings([CLEAR_ENV, LENIENT])
    }

    fn commands(task: &Task) -> Result<Vec<Command>, Error> {
        // A wrong setting is reported before the program runs.
        is_lenient(task)?;
        commands(task)
    }

    fn judge(task: &Task, end: Result<Exit, Error>) -> Result<Outcome, Error> {
        match end {
            Ok(exit) => {
                let lenient = is_lenient(task)?;
                let parser = match lenient {
                    true => Parser::lenient(),
                    false => Parser::new(),
                };
                let verdict = read("stdout", parser)?;
                Ok(outcome(&exit, verdict, lenient))
            }
            Err(error) => Ok(not_started(task, error)),
        }
    }
}

fn is_lenient(task: &Task) -> Result<bool, Error> {
    match task.settings.get(LENIENT) {
        None | Some(Value::None) => Ok(false),
        Some(Value::Boolean(lenient)) => Ok(*lenient),
        Some(_) => Err(Error::new("invalid", format!("{LENIENT} is true or false"))),
    }
}

/// Parses what the process has left in one of the task's files.
fn read(name: &str, mut parser: Parser) -> Result<Verdict, Error> {
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

fn outcome(exit: &Exit, verdict: Verdict, lenient: bool) -> Outcome {
    let mut reason = verdict.reason;
    let mut status = verdict.status;
    let code = return_code(exit);
    let append =
        |reason: Option<String>| reason.map(|reason| format!("{reason}; {}", in_words(exit)));
    match status {
        _ if code == 0 => {}
        // A stream that stops or is missing has its cause elsewhere, more often than not.
        Status::Error => reason = append(reason),
        // Producers exit with 1 or with the number of failures where points fail: this says nothing new.
        Status::Fail if lenient || code == 1 || code == count(verdict.failed) => {}
        Status::Fail => reason = append(reason),
        _ if lenient => {}
        _ => {
            status = Status::Fail;
            let but = format!("{}, although its TAP reports no failure", in_words(exit));
            reason = Some(match reason {
                Some(reason) => format!("{but} ({reason})"),
                None => but,
            });
        }
    }
    if let Some(line) = verdict.cut_line {
        let note =
            format!("line {line} is longer than {LINE_LIMIT} bytes: the rest of it was not read");
        log::warn!("{note}");
        if let Some(reason) = &mut reason {
            reason.push_str(&format!("; {note}"));
        }
    }
    Outcome::new(status, reason)
        .with("returncode", code)
        .with("tap-passed", count(verdict.passed))
        .with("tap-failed", count(verdict.failed))
        .with("tap-skipped", count(verdict.skipped))
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

export!(program_runner: Tap);
