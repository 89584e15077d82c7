//! Owns the runner for the kind `tap`: runs a program as `exec-test` does, and takes the result
//! from the TAP that the program prints.
//!
//! The rules are those of Perl's `prove`: the stream needs a plan and exactly the planned number of
//! points, and the program must exit with code 0. With the setting [`LENIENT`] the rules are
//! Avocado's, which ignore the exit code and a missing plan.
//!
//! The outcome has the exit code as `returncode`, and the numbers of test points as `tap-passed`,
//! `tap-failed` and `tap-skipped`. The points of a subtest count as the one point that reports it.
//! Each point, also one of a subtest, is a case of the task.
//!
//! [`Parser`] can be used elsewhere: it reads a stream in chunks, in bounded memory, without a
//! host.

mod cases;
mod document;
mod level;
mod line;
mod parser;
mod text;
mod verdict;
mod yaml;

use persea_exec_command::{
    CLEAR_ENV, commands, describe_exit, return_code, start_failure, unknown_ending,
};
use persea_plugin_sdk::artifacts;
use persea_plugin_sdk::cases::Case;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{Command, Exit};

pub use parser::{LINE_LIMIT, Parser};
pub use verdict::Verdict;

/// Setting for Avocado's rules: neither the exit code nor a missing plan fails a test.
pub const LENIENT: Setting<Boolean> = Setting::boolean("runner.tap.lenient")
    .default(false)
    .summary("Whether the runner ignores the exit code and needs no plan, like Avocado's");

/// Number of bytes of the output that are read at a time.
const CHUNK_SIZE: u32 = 256 * 1024;

/// The runner `tap`.
#[derive(Debug)]
pub struct Tap;

impl Plugin for Tap {
    fn describe() -> Description {
        let summary = "runs a program, and takes the result from the TAP that it prints";
        Description::new("tap", summary)
            .role(Role::program_runner(["tap"]))
            .setting(&CLEAR_ENV)
            .setting(&LENIENT)
    }
}

impl ProgramRunner for Tap {
    fn commands(task: &Task) -> Result<Vec<Command>, Error> {
        // An invalid setting is reported before the program runs.
        LENIENT.checked(&task.settings)?;
        commands(task)
    }

    fn judge(task: &Task, end: Result<Exit, Error>) -> Result<Outcome, Error> {
        match end {
            Ok(exit) => {
                let lenient = LENIENT.checked(&task.settings)?;
                let parser = match lenient {
                    true => Parser::lenient(),
                    false => Parser::new(),
                };
                let verdict = read("stdout", parser.collecting_cases())?;
                Ok(outcome(&exit, verdict, lenient))
            }
            Err(error) => Ok(start_failure(task, error)),
        }
    }
}

/// Reports test points as cases of the task, until the host takes no more.
#[derive(Default)]
struct CaseReporter {
    reported: usize,
    has_failed: bool,
}

impl CaseReporter {
    fn report(&mut self, cases: Vec<Case>) {
        if self.has_failed || cases.is_empty() {
            return;
        }
        let count = cases.len();
        match persea_plugin_sdk::cases::finish(cases) {
            Ok(()) => self.reported += count,
            // The verdict does not depend on the cases, so the task goes on without them.
            Err(error) => {
                self.has_failed = true;
                let reported = self.reported;
                log::warn!("test points after the first {reported} are not cases: {error}");
            }
        }
    }
}

/// Parses one of the task's files to its end, and reports its test points as cases.
fn read(name: &str, mut parser: Parser) -> Result<Verdict, Error> {
    let mut offset = 0;
    let mut reporter = CaseReporter::default();
    loop {
        let bytes = match artifacts::read(name, offset, CHUNK_SIZE) {
            // The process has written nothing.
            Err(error) if error.code == "not-found" => Vec::new(),
            other => other?,
        };
        if bytes.is_empty() {
            let (verdict, cases) = parser.finish_with_cases();
            reporter.report(cases);
            return Ok(verdict);
        }
        offset += bytes.len() as u64;
        parser.feed(&bytes);
        reporter.report(parser.take_cases());
    }
}

/// Combines the verdict on the stream with the program's exit.
fn outcome(exit: &Exit, verdict: Verdict, lenient: bool) -> Outcome {
    let mut reason = verdict.reason;
    let mut status = verdict.status;
    let Some(code) = return_code(exit) else {
        return unknown_ending(exit);
    };
    let append =
        |reason: Option<String>| reason.map(|reason| format!("{reason}; {}", describe_exit(exit)));
    match status {
        _ if code == 0 => {}
        // The exit often explains why a stream is incomplete or missing.
        Status::Error => reason = append(reason),
        // Programs whose points fail exit with 1 or with the number of failures. These exit codes
        // add nothing to the reason.
        Status::Fail if lenient || code == 1 || code == count(verdict.failed) => {}
        Status::Fail => reason = append(reason),
        _ if lenient => {}
        _ => {
            status = Status::Fail;
            let exit_reason = format!(
                "{}, although its TAP reports no failure",
                describe_exit(exit)
            );
            reason = Some(match reason {
                Some(reason) => format!("{exit_reason} ({reason})"),
                None => exit_reason,
            });
        }
    }
    if let Some(line) = verdict.truncated_line {
        let note = format!("line {line} is longer than {LINE_LIMIT} bytes; the rest was not read");
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

export!(Tap: program_runner);
