//! Owns a session: runs bats for one file, follows its tests while they run, and judges its end.

use std::collections::HashSet;

use persea_exec_command::results::{CaseReporter, Tally, TestResult, Verdict};
use persea_exec_command::{
    describe_exit, files, is_time_up, start_failure, text_argument, tool_command, wait_looking,
    with_return_code,
};
use persea_plugin_sdk::cases::Case;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command, Exit, Output};

use crate::BATS;
use crate::reference::{FILTER, TAGS};
use crate::stream::Stream;

/// Long options that would replace what Persea reads, choose what runs, or run no tests.
const REFUSED: [&str; 11] = [
    "--count",
    "--filter",
    "--filter-status",
    "--filter-tags",
    "--formatter",
    "--help",
    "--negative-filter",
    "--pretty",
    "--recursive",
    "--tap",
    "--version",
];

/// The letters of their short forms. Bats takes `-xf` as `-x -f`.
const REFUSED_LETTERS: [char; 8] = ['c', 'f', 'F', 'h', 'p', 'r', 't', 'v'];

/// Runs a task.
///
/// # Errors
/// `invalid` for a runnable that makes no sense; those of the host.
pub(crate) fn run(task: &Task) -> Result<Outcome, Error> {
    let command = command(task)?;
    let child = match process::start(&command) {
        Ok(child) => child,
        Err(error) => return Ok(not_started(task, error)),
    };
    let mut session = Session {
        file: task.runnable.uri.as_deref().unwrap_or_default(),
        filter: task.runnable.kwargs.text(FILTER),
        tags: task.runnable.kwargs.text(TAGS),
        stream: Stream::default(),
        followed: 0,
        started: HashSet::new(),
        tally: Tally::default(),
        reporter: CaseReporter::default(),
    };
    let is_interrupted = wait_looking(&child, || session.look())?;
    let exit = child.wait()?;
    if is_interrupted || (exit.signal().is_some() && is_time_up()) {
        return Ok(Outcome::error("the tests were interrupted"));
    }
    session.follow()?;
    session.outcome(&exit)
}

/// The command that runs the file of a task.
fn command(task: &Task) -> Result<Command, Error> {
    let runnable = &task.runnable;
    let text = |name| text_argument(runnable, name);
    let (filter, tags) = (text(FILTER)?, text(TAGS)?);
    if let Some(arg) = runnable.args.iter().find(|arg| is_refused(arg)) {
        let message = format!(
            "the argument `{arg}` would choose what runs or how it is reported; leave it out, or \
             write the keyword arguments `{FILTER}` and `{TAGS}`"
        );
        return Err(Error::new("invalid", message));
    }
    let (mut command, file) = tool_command(task, BATS.get(&task.settings))?;
    let own = std::mem::take(&mut command.args);
    command = command.args(["--formatter", "cat", "--timing"]).args(own);
    for (option, value) in [("--filter", filter), ("--filter-tags", tags)] {
        if let Some(value) = value {
            command = command.args([option, &value]);
        }
    }
    Ok(command
        .arg(file)
        .stdout(Output::file("stdout"))
        .stderr(Output::file("stderr")))
}

/// Whether bats would read a refused option in an argument.
fn is_refused(arg: &str) -> bool {
    if arg.starts_with("--") {
        let name = arg.split_once('=').map_or(arg, |(name, _)| name);
        return REFUSED.contains(&name);
    }
    let letters = arg.strip_prefix('-');
    letters.is_some_and(|letters| letters.contains(REFUSED_LETTERS))
}

/// The outcome of a task whose bats cannot be started.
fn not_started(task: &Task, error: Error) -> Outcome {
    if error.code != "not-found" {
        return start_failure(task, error);
    }
    let bats = BATS.get(&task.settings);
    Outcome::error(format!(
        "{}; install bats where the tests run (https://bats-core.readthedocs.io, or a package such \
         as `bats`), or set {} to the path of `{bats}`",
        error.message,
        BATS.key()
    ))
}

struct Session<'a> {
    /// The path of the file, for messages.
    file: &'a str,
    filter: Option<&'a str>,
    tags: Option<&'a str>,
    stream: Stream,
    /// How much of `stdout` was read.
    followed: u64,
    /// The running tests that are cases already.
    started: HashSet<String>,
    tally: Tally,
    reporter: CaseReporter,
}

impl Session<'_> {
    /// Reports the tests that have ended since the last look, and those that run.
    fn look(&mut self) -> Result<(), Error> {
        self.follow()?;
        for name in self.stream.running() {
            if self.started.insert(name.clone()) {
                self.reporter.start(vec![name.clone()]);
            }
        }
        Ok(())
    }

    fn follow(&mut self) -> Result<(), Error> {
        loop {
            let bytes = files::part("stdout", self.followed)?;
            if bytes.is_empty() {
                return Ok(());
            }
            self.followed += bytes.len() as u64;
            let results = self.stream.take(&bytes);
            self.take(results);
        }
    }

    fn take(&mut self, results: Vec<TestResult>) {
        let mut cases: Vec<Case> = Vec::new();
        for result in results {
            self.tally.add(&result);
            cases.extend(result.into_cases(0));
        }
        self.reporter.finish(cases);
    }

    /// Judges bats, which has ended.
    fn outcome(mut self, exit: &Exit) -> Result<Outcome, Error> {
        let rest = self.stream.finish();
        self.take(rest);
        let ended = describe_exit(exit);
        let said = match files::last_line("stderr")? {
            None => self.stream.outside().lines().last().map(str::to_owned),
            said => said,
        };
        let said = said.map(|line| format!(": {line}")).unwrap_or_default();
        let Some(planned) = self.stream.planned() else {
            let file = self.file;
            let reason = match exit.success() || said.is_empty() {
                true => format!("bats {ended} and printed no plan{said}; is it bats 1.3 or later?"),
                false => format!("bats {ended} before the first test of {file}{said}"),
            };
            return Ok(with_return_code(Outcome::error(reason), exit));
        };
        // Bats goes on with the next test where one ends its process. Where bats itself was ended,
        // nobody knows whose doing that was.
        let verdict = match exit.code() {
            Some(_) => Verdict::Failed,
            None => Verdict::Unknown,
        };
        let lost: Vec<TestResult> = self.stream.running().map(|it| lost(it, verdict)).collect();
        let has_result = self.stream.ended() + lost.len() as u64;
        self.take(lost);
        let missing = planned.saturating_sub(has_result);
        if missing > 0 {
            let why = match missing {
                1 => format!("1 of {planned} tests was not run"),
                missing => format!("{missing} of {planned} tests were not run"),
            };
            // Where a fixture has failed, that is why.
            match self.tally.has_failures() {
                true => self.tally.add_failure(why),
                false => self.tally.add_error(format!("{why}: bats {ended}{said}")),
            }
        }
        if !exit.success() && !self.tally.has_failures() && missing == 0 {
            match (exit.code(), exit.signal()) {
                (None, None) => self.tally.add_error(format!("bats {ended}")),
                _ => {
                    let why = format!("bats {ended}, although no test failed{said}");
                    self.tally.add_failure(why);
                }
            }
        }
        let outcome = match self.tally.is_empty() {
            false => self.tally.outcome(),
            true => Outcome::skip(self.nothing()),
        };
        Ok(match exit.success() {
            true => outcome,
            false => with_return_code(outcome, exit),
        })
    }

    /// The reason of a file of which no test was to run.
    fn nothing(&self) -> String {
        match (self.filter, self.tags) {
            (None, None) => "no tests to run".to_owned(),
            (Some(filter), None) => format!("no test matches `{filter}`"),
            (None, Some(tags)) => format!("no test has the tags `{tags}`"),
            (Some(filter), Some(tags)) => {
                format!("no test matches `{filter}` and has the tags `{tags}`")
            }
        }
    }
}

/// The result of a test that has begun and has none.
fn lost(name: &str, verdict: Verdict) -> TestResult {
    TestResult {
        name: name.to_owned(),
        path: vec![name.to_owned()],
        verdict,
        reason: Some("its process ended without a result".to_owned()),
        ..TestResult::default()
    }
}

#[cfg(test)]
mod tests;
