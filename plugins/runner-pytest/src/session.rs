//! Owns the report of a session: its lines become cases, and its end becomes an outcome.
//!
//! Does not know about starting interpreters; `report` knows the form of a line.

use std::collections::BTreeMap;

use persea_exec_command::{describe_exit, with_return_code};
use persea_plugin_sdk::cases;
use persea_plugin_sdk::log::{Level, log};
use persea_plugin_sdk::poll::Interest;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{Child, Ending, Exit, Pipe};

use crate::command::{INTERPRETER, Request};
use crate::late_exit::LateExit;
use crate::report::{CaseLine, CaseStatus, Line, shown};
use crate::stderr::{self, message_of_stderr};

/// Limit for a line of the report, in bytes. The script shortens long texts and stays far below it.
const MAX_LINE: usize = 1 << 20;

/// How many tests a reason names.
const NAMED: usize = 3;

/// What is known about a session.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// What the session is narrowed to; empty for all.
    selected_by: String,
    project: String,
    may_be_empty: bool,
    /// Bytes of a line that is not complete.
    rest: Vec<u8>,
    is_ready: bool,
    problem: Option<String>,
    /// How many tests pytest has collected and selected; none where a worker has collected.
    selected: Option<u64>,
    deselected: u64,
    /// Tests that have started and not ended, the latest last.
    running: Vec<Vec<String>>,
    counts: BTreeMap<CaseStatus, u64>,
    /// The first tests of each status that a reason names.
    named: BTreeMap<CaseStatus, Vec<String>>,
    skip_reason: Option<String>,
    /// The first tests that have ended and do not belong to the reference, and how many there are.
    foreign: (Vec<String>, u64),
    /// Tests that pytest has collected and that have ended: neither files nor subtests.
    done: u64,
    stopped: Option<String>,
    invalid: Option<String>,
    end: Option<i32>,
    late_exit: Option<LateExit>,
    /// How the process of a session of a batch has ended.
    exit: Option<Ending>,
    orphans: i64,
    /// The host takes no more cases.
    refuses_cases: bool,
}

impl Session {
    pub(crate) fn new(request: &Request) -> Self {
        Self {
            selected_by: request.selected.clone(),
            project: request.project.clone(),
            may_be_empty: request.may_be_empty || !request.part.is_empty(),
            ..Self::default()
        }
    }

    /// Reads the report of a session to its end: the last line, or the end of the pipe.
    ///
    /// # Errors
    /// `too-large` for a line longer than [`MAX_LINE`]; those of the pipe.
    pub(crate) fn read(&mut self, child: &Child) -> Result<(), Error> {
        while self.end.is_none() && self.problem.is_none() {
            if !self.read_part(child)? {
                break;
            }
        }
        Ok(())
    }

    /// Reads the report of a session of a batch, up to the line that says how its process has
    /// ended. Returns that; none where the interpreter has ended.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn read_of_batch(&mut self, child: &Child) -> Result<Option<Exit>, Error> {
        while self.exit.is_none() {
            if let Some(late_exit) = &mut self.late_exit {
                late_exit.watch(child, Interest::Readable(Pipe::Report), self.done)?;
            }
            if !self.read_part(child)? {
                return Ok(None);
            }
        }
        let exit = self.exit.map(Exit::new);
        if let (Some(late_exit), Some(exit)) = (&mut self.late_exit, &exit) {
            late_exit.finish(exit);
        }
        Ok(exit)
    }

    /// Waits for the end of the process of a session.
    ///
    /// # Errors
    /// Those of the process.
    pub(crate) fn wait(&mut self, child: &Child) -> Result<Exit, Error> {
        if let Some(late_exit) = &mut self.late_exit {
            late_exit.watch(child, Interest::Ended, self.done)?;
        }
        let exit = child.wait()?;
        if let Some(late_exit) = &mut self.late_exit {
            late_exit.finish(&exit);
        }
        Ok(exit)
    }

    /// Reads what is in the pipe. Returns false at its end.
    fn read_part(&mut self, child: &Child) -> Result<bool, Error> {
        let part = child.read(Pipe::Report, 256 << 10)?;
        self.take(&part)?;
        Ok(!part.is_empty())
    }

    /// Takes a part of the report, and passes on its cases.
    fn take(&mut self, part: &[u8]) -> Result<(), Error> {
        self.rest.extend_from_slice(part);
        let bytes = std::mem::take(&mut self.rest);
        let mut finished = Vec::new();
        let mut started = Vec::new();
        let mut lines = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            if lines.peek().is_none() {
                self.rest = line.to_vec();
            } else if !line.is_empty() {
                self.line(line, &mut started, &mut finished);
            }
        }
        if self.rest.len() > MAX_LINE {
            let message = format!("a line of the session's report is longer than {MAX_LINE} bytes");
            return Err(Error::new("too-large", message));
        }
        self.report(started, finished);
        Ok(())
    }

    fn line(
        &mut self,
        line: &[u8],
        started: &mut Vec<Vec<String>>,
        finished: &mut Vec<cases::Case>,
    ) {
        match serde_json::from_slice(line) {
            Ok(Line::Ready) => self.is_ready = true,
            Ok(Line::Problem { reason }) => self.problem = Some(reason),
            Ok(Line::Collected {
                selected,
                deselected,
            }) => (self.selected, self.deselected) = (Some(selected), deselected),
            Ok(Line::Start { path }) => {
                self.running.push(path.clone());
                started.push(path);
            }
            Ok(Line::Case(case)) => {
                started.retain(|path| *path != case.path);
                self.count(&case);
                finished.push(case.into_case());
            }
            Ok(Line::Foreign { path }) => {
                let (named, count) = &mut self.foreign;
                *count += 1;
                if named.len() < NAMED {
                    named.push(shown(&path));
                }
            }
            Ok(Line::Stopped { reason }) => {
                self.stopped.get_or_insert(reason);
            }
            Ok(Line::End { code, waits_for }) => {
                self.end = Some(code);
                self.late_exit = Some(LateExit::new(code, waits_for));
            }
            Ok(Line::Exit {
                code,
                signal,
                orphans,
            }) => {
                self.is_ready = true;
                self.orphans = orphans;
                self.exit = Some(match (code, signal) {
                    (Some(code), _) => Ending::Code(code),
                    (None, Some(signal)) => Ending::Signal(signal),
                    (None, None) => Ending::Unknown,
                });
            }
            Ok(Line::File { .. }) => {}
            Err(error) => {
                self.invalid.get_or_insert(error.to_string());
            }
        }
    }

    fn count(&mut self, case: &CaseLine) {
        if let Some(index) = self.running.iter().position(|path| *path == case.path) {
            self.running.remove(index);
            self.done += 1;
        }
        *self.counts.entry(case.status).or_default() += 1;
        let named = self.named.entry(case.status).or_default();
        if named.len() < NAMED {
            named.push(shown(&case.path));
        }
        if case.status == CaseStatus::Skip && self.skip_reason.is_none() {
            self.skip_reason.clone_from(&case.reason);
        }
    }

    /// Reports cases to the host. The result of the task does not depend on them, so a host that
    /// takes no more is only a warning.
    fn report(&mut self, started: Vec<Vec<String>>, finished: Vec<cases::Case>) {
        if self.refuses_cases {
            return;
        }
        let mut taken = match finished.is_empty() {
            true => Ok(()),
            false => cases::finish(finished),
        };
        for path in started {
            taken = taken.and_then(|()| cases::start(crate::report::bounded(path)));
        }
        if let Err(error) = taken {
            self.refuses_cases = true;
            log(Level::Warn, &format!("later tests are not cases: {error}"));
        }
    }

    /// Whether there is no pytest that can be used.
    pub(crate) fn has_problem(&self) -> bool {
        self.problem.is_some()
    }

    fn number(&self, status: CaseStatus) -> u64 {
        self.counts.get(&status).copied().unwrap_or_default()
    }

    /// The outcome of the session, whose process has ended with `exit`.
    pub(crate) fn outcome(&self, exit: &Exit) -> Outcome {
        let outcome = match (&self.problem, self.end) {
            (Some(problem), _) => Outcome::error(problem),
            (None, Some(code)) => self.judge(code, exit),
            (None, None) => with_return_code(Outcome::error(self.broken_off(exit)), exit),
        };
        let outcome = match self.end {
            Some(0) | None => outcome,
            Some(code) => outcome.with("returncode", i64::from(code)),
        };
        match self.orphans {
            0 => outcome,
            orphans => outcome.with("left-behind", orphans),
        }
    }

    /// The reason of a session whose process has ended without a result.
    fn broken_off(&self, exit: &Exit) -> String {
        let ended = describe_exit(exit);
        if !self.is_ready {
            let why = message_of_stderr();
            return format!("the Python interpreter {ended} before it had started pytest{why}");
        }
        let crashed_at = stderr::crash_place(&self.project);
        let Some(path) = self.running.last() else {
            let why = message_of_stderr();
            let place = match self.selected {
                Some(selected) if self.done < selected => " between two tests",
                Some(_) => " after the last test",
                None => " while pytest collected the tests",
            };
            return format!("the process of pytest {ended}{place}{crashed_at}{why}");
        };
        let lost = self.lost().saturating_sub(1);
        let lost = match lost {
            0 => String::new(),
            1 => "; 1 other test was not run".to_owned(),
            lost => format!("; {lost} other tests were not run"),
        };
        format!(
            "the process of pytest {ended} while {} ran{crashed_at}{lost}",
            shown(path)
        )
    }

    /// How many of the selected tests have not ended.
    fn lost(&self) -> u64 {
        self.selected.unwrap_or_default().saturating_sub(self.done)
    }

    /// The outcome of a session that has ended with an exit code of pytest.
    fn judge(&self, code: i32, exit: &Exit) -> Outcome {
        let failed = self.number(CaseStatus::Fail);
        let errors = self.number(CaseStatus::Error);
        if let Some(invalid) = &self.invalid {
            let why = format!("a test has written to the report of its session: {invalid}");
            return Outcome::error(why);
        }
        if let (named, count @ 1..) = &self.foreign {
            return Outcome::error(format!(
                "pytest ran {}, which {} not belong to {}",
                list(named, *count),
                if *count == 1 { "does" } else { "do" },
                self.selected_by
            ));
        }
        let stopped = |words: &str| match &self.stopped {
            Some(reason) => format!("{words}: {reason}"),
            None => format!("{words}{}", message_of_stderr()),
        };
        match code {
            0 | 1 if failed > 0 => Outcome::fail(self.summary()),
            0 | 1 if errors > 0 => Outcome::error(self.summary()),
            0 if self.selected.is_none() && self.counts.is_empty() => {
                Outcome::error("pytest exited with code 0 without running tests")
            }
            0 if self.lost() > 0 => {
                let (lost, all) = (self.lost(), self.selected.unwrap_or_default());
                Outcome::error(match &self.stopped {
                    Some(why) if all == 1 => format!("its only test was not run: {why}"),
                    Some(why) => format!("{lost} of {all} tests were not run: {why}"),
                    None => {
                        let done = self.done;
                        let tests = if all == 1 { "test" } else { "tests" };
                        format!("pytest exited with code 0, but ran {done} of {all} {tests}")
                    }
                })
            }
            0 => self.success(exit),
            1 => Outcome::fail(
                "pytest exited with code 1, although no test failed; its output says why",
            ),
            2 if errors > 0 => Outcome::error(self.summary()),
            2 => Outcome::error(stopped("pytest was interrupted")),
            3 => Outcome::error(stopped("pytest failed")),
            4 => Outcome::error(stopped("pytest does not accept its arguments")),
            5 => self.nothing(),
            code => Outcome::error(stopped(&format!("pytest exited with code {code}"))),
        }
    }

    /// The outcome of a session with exit code 0.
    fn success(&self, exit: &Exit) -> Outcome {
        if !exit.success() {
            let why = format!(
                "the tests passed, but their process {}",
                describe_exit(exit)
            );
            return with_return_code(Outcome::warn(why), exit);
        }
        let passed = self.number(CaseStatus::Pass) + self.number(CaseStatus::Xfail);
        match (
            self.number(CaseStatus::Xpass),
            self.number(CaseStatus::Skip),
        ) {
            (0, skipped) if passed == 0 && skipped > 0 => Outcome::skip(self.skipped(skipped)),
            (0, 0) if passed == 0 => Outcome::skip("pytest collected no tests"),
            (0, _) => Outcome::pass(),
            (xpassed, _) => Outcome::warn(format!(
                "{xpassed} passed that {} expected to fail: {}",
                if xpassed == 1 { "was" } else { "were" },
                self.names(CaseStatus::Xpass, xpassed)
            )),
        }
    }

    fn skipped(&self, count: u64) -> String {
        let reason = self.skip_reason.as_deref().unwrap_or("no reason given");
        match count {
            1 => reason.to_owned(),
            count => format!("all {count} tests were skipped: {reason}"),
        }
    }

    /// The outcome of a session in which pytest has found no test (exit code 5).
    fn nothing(&self) -> Outcome {
        match (self.number(CaseStatus::Skip), self.deselected) {
            (0, 0) if self.may_be_empty => Outcome::skip("pytest collected no tests"),
            (0, 0) => Outcome::error("pytest collected no tests"),
            (0, 1) => Outcome::skip("its only test was deselected"),
            (0, deselected) => Outcome::skip(format!("all {deselected} tests were deselected")),
            (skipped, _) => Outcome::skip(self.skipped(skipped)),
        }
    }

    /// The reason of a session with tests that failed or ended in an error.
    fn summary(&self) -> String {
        let failed = self.number(CaseStatus::Fail);
        let errors = self.number(CaseStatus::Error);
        let mut parts = Vec::new();
        for (status, count, words) in [
            (CaseStatus::Fail, failed, "failed"),
            (CaseStatus::Error, errors, "in error"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {words} ({})", self.names(status, count)));
            }
        }
        let others: u64 = self.counts.values().sum::<u64>() - failed - errors;
        match others {
            0 => {}
            1 => parts.push("1 other".to_owned()),
            others => parts.push(format!("{others} others")),
        }
        match self.lost() {
            0 => {}
            lost => parts.push(match &self.stopped {
                Some(why) => format!("{lost} not run: {why}"),
                None => format!("{lost} not run"),
            }),
        }
        parts.join(", ")
    }

    /// The names of the first tests of a status.
    fn names(&self, status: CaseStatus, count: u64) -> String {
        let named = self
            .named
            .get(&status)
            .map(Vec::as_slice)
            .unwrap_or_default();
        list(named, count)
    }
}

/// The names of the first tests, and how many more there are.
fn list(named: &[String], count: u64) -> String {
    let more = count.saturating_sub(u64::try_from(named.len()).unwrap_or(u64::MAX));
    match more {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// The outcome of a task whose interpreter has ended between two sessions.
pub(crate) fn interpreter_ended(exit: &Exit) -> Outcome {
    let ended = describe_exit(exit);
    let why = message_of_stderr();
    let reason = format!("the Python interpreter {ended} before it had run the tests{why}");
    with_return_code(Outcome::error(reason), exit)
}

/// Turns a failed start of the interpreter into an outcome that names the setting for another one.
/// Any error but `not-found` is returned as it is.
pub(crate) fn missing_interpreter(error: Error) -> Result<Outcome, Error> {
    match error.code.as_str() {
        "not-found" => Ok(Outcome::error(how_to_set(&error.message))),
        _ => Err(error),
    }
}

/// A message about a missing interpreter, with what to set.
pub(crate) fn how_to_set(message: &str) -> String {
    let key = INTERPRETER.key();
    format!("{message}; set {key} to a Python that has pytest")
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
