//! Owns a session: runs a program, follows its tests while they run, and finds those that have no
//! result because the program ended early. They run in a next process, so that a test that crashes
//! costs its own result only.

use std::collections::HashSet;

use persea_exec_command::{
    describe_exit, is_time_up, start_failure, wait_looking, with_return_code,
};
use persea_plugin_sdk::cases::Case;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Child, Exit};

use crate::framework::{Framework, Progress, Selection};
use crate::googletest;
use crate::listing;
use crate::program::Subject;
use persea_exec_command::files;
use persea_exec_command::results::Tally;
use persea_exec_command::results::{CaseReporter, TestResult, Verdict};

/// The longest report, and the longest part of a report about one test, in bytes: 64 MiB.
const LONGEST: usize = 64 << 20;

/// The end of the output in which failed suites are looked for, in bytes.
const TAIL: u32 = 64 << 10;

/// The exit code of Catch2 3 when all tests were skipped.
const ALL_SKIPPED: i32 = 4;

/// Runs a task.
///
/// # Errors
/// `invalid` for a runnable that makes no sense; those of the host.
pub(crate) fn run(task: &Task) -> Result<Outcome, Error> {
    let subject = Subject::of(task)?;
    let mut session = Session {
        task,
        done: HashSet::new(),
        tally: Tally::default(),
        only: None,
        exit: None,
        followed: 0,
        processes: 0,
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
    subject: Subject,
    /// The tests that have a result from an earlier process.
    done: HashSet<String>,
    tally: Tally,
    /// The result of the only test of the task.
    only: Option<TestResult>,
    /// How the last process ended.
    exit: Option<Exit>,
    /// How much of `stdout` was read, where that is what a framework writes to.
    followed: u64,
    processes: u32,
    reporter: CaseReporter,
}

/// The tests of a running process.
struct Live {
    progress: Progress,
    /// Those that have ended.
    results: Vec<TestResult>,
    /// How many of them are cases already.
    reported: usize,
    /// The name of the running test that is a case already.
    started: Option<String>,
    /// The file that is followed, and how much of it was read.
    file: String,
    offset: u64,
}

impl Session<'_> {
    fn process(&mut self, selection: &Selection) -> Result<End, Error> {
        let framework = self.subject.framework;
        self.processes += 1;
        let report = match self.processes {
            1 => "report.xml".to_owned(),
            number => format!("report-{number}.xml"),
        };
        let file = framework.followed(&report).to_owned();
        let mut live = Live {
            progress: Progress::new(framework),
            results: Vec::new(),
            reported: 0,
            started: None,
            offset: if file == report { 0 } else { self.followed },
            file,
        };
        let command = self.subject.run(self.task, selection, &report);
        let child = match process::start(&command) {
            Ok(child) => child,
            Err(error) => return Ok(End::Final(self.not_started(error))),
        };
        let is_interrupted = self.wait(&child, &mut live)?;
        let exit = child.wait()?;
        if is_interrupted || (exit.signal().is_some() && is_time_up()) {
            // What a framework says of the signal that ended it is no result of a test.
            return Ok(End::Final(Outcome::error("the tests were interrupted")));
        }
        self.follow(&mut live)?;
        if live.file != report {
            self.followed = live.offset;
        }
        let text = match live.file == report {
            true => String::new(),
            false => files::text(&report, LONGEST)?,
        };
        let found = live.progress.report(&live.results, &text);
        let is_whole = found.is_whole;
        let has_results = !found.results.is_empty();
        let names = self.take(found.results, &live);
        self.exit = Some(exit.clone());
        let end = match is_whole {
            true => {
                self.check_exit(&exit)?;
                End::Whole
            }
            false if !has_results && !live.progress.has_begun() => {
                End::Final(self.no_test_program(&exit)?)
            }
            false => self.early(selection, &exit, &live, &names)?,
        };
        self.done.extend(names);
        Ok(end)
    }

    /// Waits for the end of a process, and reports its tests meanwhile. Returns whether the task
    /// was interrupted.
    fn wait(&mut self, child: &Child, live: &mut Live) -> Result<bool, Error> {
        wait_looking(child, || {
            self.follow(live)?;
            self.report_live(live);
            Ok(())
        })
    }

    /// Reads what a process has written since the last look.
    fn follow(&mut self, live: &mut Live) -> Result<(), Error> {
        loop {
            let bytes = files::part(&live.file, live.offset)?;
            if bytes.is_empty() {
                return Ok(());
            }
            live.offset += bytes.len() as u64;
            live.results.extend(live.progress.take(&bytes));
            if live.progress.kept() > LONGEST {
                let message = format!("the report of one test is longer than {LONGEST} bytes");
                return Err(Error::new("too-large", message));
            }
        }
    }

    /// Reports the tests that have ended, and the one that runs.
    fn report_live(&mut self, live: &mut Live) {
        if self.subject.test.is_some() {
            return;
        }
        let new = live.results.get(live.reported..).unwrap_or_default();
        let cases = new.iter().flat_map(|result| result.clone().into_cases(0));
        let cases: Vec<Case> = cases.collect();
        live.reported = live.results.len();
        self.reporter.finish(cases);
        if let Some(running) = live.progress.running()
            && live.started.as_ref() != Some(&running.name)
        {
            self.reporter.start(running.path);
            live.started = Some(running.name);
        }
    }

    /// Takes the results of a process that has ended. Returns the names of its tests.
    fn take(&mut self, results: Vec<TestResult>, live: &Live) -> Vec<String> {
        let reported = live.results.get(..live.reported).unwrap_or_default();
        let reported: HashSet<&str> = reported.iter().map(|it| it.name.as_str()).collect();
        let mut names = Vec::with_capacity(results.len());
        let mut new = Vec::new();
        for result in results {
            // A name in a filter may match other tests too.
            let is_other = match &self.subject.test {
                Some(test) => *test != result.name,
                None => self.done.contains(&result.name),
            };
            if is_other {
                continue;
            }
            self.tally.add(&result);
            names.push(result.name.clone());
            match &self.subject.test {
                None if reported.contains(result.name.as_str()) => {}
                None => new.extend(result.into_cases(0)),
                Some(_) => {
                    new.extend(sections_of(&result));
                    self.only = Some(result);
                }
            }
        }
        self.reporter.finish(new);
        names
    }

    /// Checks the exit of a process whose report is whole.
    fn check_exit(&mut self, exit: &Exit) -> Result<(), Error> {
        let is_expected = match exit.code() {
            Some(0) => return Ok(()),
            Some(ALL_SKIPPED) if self.subject.framework == Framework::Catch2 => {
                self.tally.is_all_skipped() || self.tally.has_failures()
            }
            // No test was run, which the outcome says.
            Some(_) if self.tally.is_empty() => true,
            Some(_) => self.tally.has_failures(),
            None => false,
        };
        let suites = match self.subject.framework {
            Framework::GoogleTest => googletest::failed_suites(&files::tail("stdout", TAIL)?),
            Framework::Catch2 => None,
        };
        let ended = describe_exit(exit);
        match (suites, exit.code()) {
            (Some(suites), _) => self.tally.add_failure(format!("failed: {suites}")),
            (None, _) if is_expected => {}
            (None, None) => {
                let why = format!("the process {ended} after the last test");
                self.tally.add_failure(why);
            }
            (None, Some(_)) => {
                let why = format!("the process {ended}, although no test failed");
                self.tally.add_failure(why);
            }
        }
        Ok(())
    }

    /// Judges a process that ended before its report was whole. `names` are the tests of which it
    /// has results.
    fn early(
        &mut self,
        selection: &Selection,
        exit: &Exit,
        live: &Live,
        names: &[String],
    ) -> Result<End, Error> {
        let framework = self.subject.framework;
        let is_done = |name: &String| self.done.contains(name) || names.contains(name);
        let ended = describe_exit(exit);
        let running = live.progress.running().filter(|it| !is_done(&it.name));
        let mut crashed = running.map(|test| (test, format!("the process {ended}")));
        let listed = match (selection, &self.subject.test) {
            (Selection::Names(names), _) => Ok(names.clone()),
            (Selection::Filter(_), _) => {
                let name = format!("list-{}", self.processes);
                let listed = listing::ask(self.task, &self.subject, selection, &name);
                listed.map(|tests| tests.into_iter().map(|test| test.name).collect())
            }
        };
        let mut lost: Vec<String> = match listed {
            Ok(listed) => listed,
            Err(error) => {
                let why = format!("nobody knows which tests were not run: {error}");
                self.tally.add_error(why);
                Vec::new()
            }
        };
        let known: HashSet<&String> = names.iter().collect();
        lost.retain(|name| !self.done.contains(name) && !known.contains(name));
        if crashed.is_none() && !live.progress.is_fatal() {
            let mut may_run = lost.iter().filter(|name| !framework.is_disabled(name));
            match may_run.next() {
                Some(next) => {
                    let test = match framework {
                        Framework::GoogleTest => googletest::test_of(next),
                        Framework::Catch2 => TestResult {
                            name: next.clone(),
                            path: vec![next.clone()],
                            ..TestResult::default()
                        },
                    };
                    crashed = Some((test, format!("the process {ended} before this test began")));
                }
                None => {
                    let why = format!("the process {ended} after the last test");
                    match exit.success() {
                        true => self.tally.add_error(why),
                        false => self.tally.add_failure(why),
                    }
                    if names.is_empty() {
                        // Nothing would be different in a next process.
                        lost.clear();
                    }
                }
            }
        }
        if let Some((mut test, reason)) = crashed {
            // Nobody knows whether a test that ends its process with code 0 would have passed.
            test.verdict = match exit.success() || (exit.code(), exit.signal()) == (None, None) {
                true => Verdict::Unknown,
                false => Verdict::Failed,
            };
            test.reason = Some(reason);
            lost.retain(|name| *name != test.name);
            self.done.insert(test.name.clone());
            self.take_crashed(test);
        }
        Ok(End::Early(self.subject.framework.selections(lost)))
    }

    fn take_crashed(&mut self, test: TestResult) {
        self.tally.add(&test);
        match &self.subject.test {
            Some(_) => self.only = Some(test),
            None => self.reporter.finish(test.into_cases(0)),
        }
    }

    /// The outcome of a task whose program cannot be started.
    fn not_started(&self, error: Error) -> Outcome {
        if error.code != "not-found" {
            return start_failure(self.task, error);
        }
        let program = &self.subject.program;
        Outcome::error(format!(
            "{program} does not exist where the tests run; build the tests before the job"
        ))
    }

    /// The outcome of a task whose program has shown nothing of its framework.
    fn no_test_program(&self, exit: &Exit) -> Result<Outcome, Error> {
        let ended = describe_exit(exit);
        let printed = match files::last_line("stderr")? {
            None => files::last_line("stdout")?,
            stderr => stderr,
        };
        let printed = printed.map(|line| format!(": {line}")).unwrap_or_default();
        let (program, versions) = (&self.subject.program, self.subject.framework.versions());
        let reason = format!(
            "{program} {ended} before its first test{printed}; is it a test program with \
             {versions}?"
        );
        Ok(with_return_code(Outcome::error(reason), exit))
    }

    fn outcome(&self) -> Outcome {
        let outcome = match (&self.subject.test, &self.only) {
            (None, _) if self.tally.is_empty() => Outcome::error(self.nothing()),
            (None, _) => self.tally.outcome(),
            (Some(_), Some(test)) => match self.tally.problem() {
                Some(problem) if test.verdict <= Verdict::Skipped => problem,
                Some(_) | None => test.outcome(),
            },
            (Some(test), None) => Outcome::error(format!(
                "the test `{test}` does not exist any more: {} was built again since its tests \
                 were listed, and has no test of this name",
                self.subject.program
            )),
        };
        match &self.exit {
            Some(exit) if !exit.success() => with_return_code(outcome, exit),
            Some(_) | None => outcome,
        }
    }

    fn nothing(&self) -> String {
        let program = &self.subject.program;
        match &self.subject.filter {
            Some(filter) => format!("no test of {program} matches `{filter}`"),
            None => format!("{program} has run no tests"),
        }
    }
}

/// The cases of a test that is a task itself: its sections.
fn sections_of(result: &TestResult) -> Vec<Case> {
    let sections = result.sections.iter().cloned();
    sections.flat_map(|section| section.into_cases(1)).collect()
}

#[cfg(test)]
mod tests;
