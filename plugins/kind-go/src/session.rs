//! Owns a session: builds a package, runs its tests, follows them while they run, and finds those
//! that have no result because the process ended early. They run in a next process, so that a test
//! that panics costs its own result only.

use std::collections::HashSet;

use persea_exec_command::results::{CaseReporter, Tally, TestResult, Verdict};
use persea_exec_command::{
    describe_exit, files, is_time_up, start_failure, wait_looking, with_return_code,
};
use persea_plugin_sdk::cases::Case;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Child, Exit};

use crate::reason::{self, Crash};
use crate::stream::Stream;
use crate::subject::{Selection, Subject, Work};
use crate::{build, listing};

/// Runs a task.
///
/// # Errors
/// `invalid` for a runnable that makes no sense; those of the host.
pub(crate) fn run(task: &Task) -> Result<Outcome, Error> {
    let subject = match Work::of(task)? {
        Work::Tests(subject) => *subject,
        Work::Nothing => return Ok(Outcome::skip("no test files")),
    };
    let mut session = Session {
        task,
        binary: build::path(task, &subject)?,
        done: HashSet::new(),
        tally: Tally::default(),
        only: None,
        exit: None,
        followed: 0,
        processes: 0,
        has_crash: false,
        reporter: CaseReporter::default(),
        subject,
    };
    let mut pending = vec![session.subject.selection()];
    while let Some(selection) = pending.pop() {
        match session.process(&selection)? {
            End::Whole => {}
            End::Early(lost) => pending.extend(lost),
            End::Final(outcome) => return Ok(outcome),
        }
    }
    Ok(session.outcome())
}

/// The end of a process.
enum End {
    /// All its tests have results.
    Whole,
    /// These have none.
    Early(Vec<Selection>),
    /// The task ends with it.
    Final(Outcome),
}

struct Session<'a> {
    task: &'a Task,
    /// The path of the test binary.
    binary: String,
    subject: Subject,
    /// The tests that have a result.
    done: HashSet<String>,
    tally: Tally,
    /// The result of the only test of the task.
    only: Option<TestResult>,
    /// How the last process ended.
    exit: Option<Exit>,
    /// How much of `stdout` was read.
    followed: u64,
    processes: u32,
    /// Whether the result of a test says why the present process ended.
    has_crash: bool,
    reporter: CaseReporter,
}

/// The tests of a running process.
struct Live {
    stream: Stream,
    /// The running tests that are cases already.
    started: HashSet<Vec<String>>,
}

impl Session<'_> {
    fn process(&mut self, selection: &Selection) -> Result<End, Error> {
        self.processes += 1;
        let child = match self.start(selection) {
            Ok(child) => child,
            Err(error) if error.code == "failed" => {
                return Ok(End::Final(Outcome::error(error.message)));
            }
            Err(error) => return Ok(End::Final(start_failure(self.task, error))),
        };
        self.has_crash = false;
        let mut live = Live {
            stream: Stream::new(self.subject.package.clone()),
            started: HashSet::new(),
        };
        let is_interrupted = wait_looking(&child, || {
            self.follow(&mut live)?;
            self.start_cases(&mut live);
            Ok(())
        })?;
        let exit = child.wait()?;
        if is_interrupted || (exit.signal().is_some() && is_time_up()) {
            // What a test says of the signal that ended it is no result of the test.
            return Ok(End::Final(Outcome::error("the tests were interrupted")));
        }
        self.follow(&mut live)?;
        let rest = live.stream.finish();
        self.take(rest);
        self.exit = Some(exit.clone());
        match live.stream.end() {
            Some(has_passed) => {
                self.finish_whole(&exit, has_passed, &live);
                Ok(End::Whole)
            }
            None => self.finish_early(selection, &exit, &live),
        }
    }

    /// Starts the test binary, and builds it before where no other task of the job has.
    fn start(&self, selection: &Selection) -> Result<Child, Error> {
        let command = self.subject.run(self.task, &self.binary, selection)?;
        match process::start(&command) {
            Err(error) if error.code == "not-found" => {
                build::build(self.task, &self.subject)?;
                process::start(&command)
            }
            other => other,
        }
    }

    /// Reads what a process has printed since the last look.
    fn follow(&mut self, live: &mut Live) -> Result<(), Error> {
        loop {
            let bytes = files::part("stdout", self.followed)?;
            if bytes.is_empty() {
                return Ok(());
            }
            self.followed += bytes.len() as u64;
            let results = live.stream.take(&bytes);
            self.take(results);
        }
    }

    /// Takes results of tests, and reports them as cases.
    fn take(&mut self, results: Vec<TestResult>) {
        let mut cases: Vec<Case> = Vec::new();
        for result in results {
            self.tally.add(&result);
            self.has_crash |= reason::has_crashed(&result);
            self.done.insert(result.name.clone());
            match &self.subject.test {
                None => cases.extend(result.into_cases(0)),
                Some(_) => {
                    let sections = result.sections.iter().cloned();
                    cases.extend(sections.flat_map(|section| section.into_cases(1)));
                    self.only = Some(result);
                }
            }
        }
        self.reporter.finish(cases);
    }

    /// Reports the tests that run now.
    fn start_cases(&mut self, live: &mut Live) {
        for path in live.stream.running() {
            let skipped = usize::from(self.subject.test.is_some());
            if path.len() > skipped && live.started.insert(path.clone()) {
                self.reporter
                    .start(path.into_iter().skip(skipped).collect());
            }
        }
    }

    /// Judges a process whose tests have all ended.
    fn finish_whole(&mut self, exit: &Exit, has_passed: bool, live: &Live) {
        // Such a test has printed something in place of its result.
        let unfinished = live.stream.unfinished();
        self.take(unfinished);
        let ended = describe_exit(exit);
        let is_expected = match (exit.code(), has_passed) {
            (Some(0), true) => true,
            // A `TestMain` makes what it likes of the exit code.
            (Some(_), _) => self.tally.has_failures(),
            (None, _) => false,
        };
        if is_expected {
            return;
        }
        let crash = reason::crash(live.stream.outside(), &self.subject.package);
        let crash = crash
            .map(|crash| format!(": {}", crash.message))
            .unwrap_or_default();
        self.tally.add_failure(match exit.code() {
            Some(_) => format!("the process {ended}, although no test failed{crash}"),
            None => format!("the process {ended} after the last test{crash}"),
        });
    }

    /// Judges a process that ended before all its tests had.
    fn finish_early(
        &mut self,
        selection: &Selection,
        exit: &Exit,
        live: &Live,
    ) -> Result<End, Error> {
        let ended = describe_exit(exit);
        if !live.stream.has_begun() {
            return self.finish_unbegun(exit, live).map(End::Final);
        }
        let unfinished = live.stream.unfinished();
        let package = &self.subject.package;
        let crash_of = |output: &str| reason::crash(output, package);
        let crash = unfinished
            .iter()
            .find_map(|it| crash_of(&live.stream.output_of(&it.name)));
        let crash = crash.or_else(|| crash_of(live.stream.outside()));
        let is_timeout = crash.as_ref().is_some_and(Crash::is_timeout);
        // Of several tests that run side by side nobody knows which one has ended the process, so
        // that each runs again, alone.
        let is_known = unfinished.len() == 1 || is_timeout;
        let culprit_is_done = crash.is_none() && self.has_crash;
        let mut again = Vec::new();
        for mut test in unfinished {
            if culprit_is_done || !is_known {
                again.push(test.name);
                continue;
            }
            match &crash {
                Some(crash) => crash.end(&mut test),
                None => {
                    // Nobody knows whether a test that ends its process with code 0 would pass.
                    let is_unknown = exit.success() || (exit.code(), exit.signal()) == (None, None);
                    reason::end(&mut test, &mut |result| {
                        result.verdict = match is_unknown {
                            true => Verdict::Unknown,
                            false => Verdict::Failed,
                        };
                        result.reason = Some(format!("the process {ended}"));
                    });
                }
            }
            self.take(vec![test]);
        }
        let mut lost = self.listed(selection);
        lost.retain(|name| !self.done.contains(name) && !again.contains(name));
        if again.is_empty() && lost.is_empty() && !self.tally.has_failures() {
            let why = format!("the process {ended} after the last test");
            match exit.success() {
                true => self.tally.add_error(why),
                false => self.tally.add_failure(why),
            }
        }
        // Where a process has added nothing, the same would happen in a next one.
        let is_stuck = matches!(selection, Selection::Names(names)
            if !names.iter().any(|name| self.done.contains(name)) && again.is_empty());
        if is_stuck {
            self.tally
                .add_failure(format!("the process {ended} before its first test"));
            return Ok(End::Early(Vec::new()));
        }
        let mut next = Selection::parts(lost);
        next.extend(again.into_iter().map(|name| Selection::Names(vec![name])));
        Ok(End::Early(next))
    }

    /// The names of the tests that a process was to run; none where they are unknown.
    fn listed(&mut self, selection: &Selection) -> Vec<String> {
        if let Selection::Names(names) = selection {
            return names.clone();
        }
        let name = format!("list-{}", self.processes);
        match listing::ask(self.task, &self.subject, &name) {
            Ok(names) => names,
            Err(error) => {
                let why = format!("nobody knows which tests were not run: {error}");
                self.tally.add_error(why);
                Vec::new()
            }
        }
    }

    /// The outcome of a process that has begun no test: `TestMain` or an `init` function has ended
    /// it.
    fn finish_unbegun(&self, exit: &Exit, live: &Live) -> Result<Outcome, Error> {
        let ended = describe_exit(exit);
        let import_path = &self.subject.package.import_path;
        let crash = reason::crash(live.stream.outside(), &self.subject.package);
        let last = match crash {
            Some(crash) => Some(crash.message),
            None => files::last_line("stdout")?,
        };
        let last = last.map(|line| format!(": {line}")).unwrap_or_default();
        let reason = format!("the tests of {import_path} {ended} before the first one{last}");
        let outcome = match exit.success() || (exit.code(), exit.signal()) == (None, None) {
            true => Outcome::error(format!("{reason}; does its TestMain call m.Run?")),
            false => Outcome::fail(reason),
        };
        Ok(with_return_code(outcome, exit))
    }

    fn outcome(&self) -> Outcome {
        let outcome = match (&self.subject.test, &self.only) {
            (None, _) if self.tally.is_empty() => Outcome::skip(self.nothing()),
            (None, _) => self.tally.outcome(),
            (Some(_), Some(test)) => match self.tally.problem() {
                Some(problem) if test.verdict <= Verdict::Skipped => problem,
                Some(_) | None => test.outcome(),
            },
            (Some(test), None) => self.tally.problem().unwrap_or_else(|| {
                Outcome::error(format!(
                    "the test `{test}` does not exist any more: {} was changed since its tests \
                     were listed, and has no test of this name",
                    self.subject.package.import_path
                ))
            }),
        };
        match &self.exit {
            Some(exit) if !exit.success() => with_return_code(outcome, exit),
            Some(_) | None => outcome,
        }
    }

    fn nothing(&self) -> String {
        match &self.subject.reference.run {
            Some(run) => format!("no test matches `{run}`"),
            None => "no tests to run".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
