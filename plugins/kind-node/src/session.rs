//! Owns a session: runs a test file with Node, follows its tests while they run, and judges its
//! end.

use std::collections::HashSet;

use persea_exec_command::results::{CaseReporter, Tally, TestResult, Verdict, shown};
use persea_exec_command::{
    describe_exit, files, is_time_up, start_failure, text_argument, tool_command, wait_looking,
    with_return_code,
};
use persea_plugin_sdk::cases::Case;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command, Exit, Output};

use crate::NODE;
use crate::reference::{IMPORT, NAME, ONLY};
use crate::stream::{Reported, Stream};

/// The module that runs before a test file, and is the reporter of its tests.
const REPORT: &str = include_str!("persea_node_report.js");

/// The file of the task with the report.
const FILE: &str = "report.jsonl";

/// The longest line of a report, in bytes: 64 MiB.
const LONGEST: usize = 64 << 20;

/// The part at the end of the standard error in which an error is looked for, in bytes.
const TAIL: u32 = 64 << 10;

/// The longest error that a reason has, in characters.
const SHOWN: usize = 500;

/// The versions of Node that have all options of the command.
const VERSIONS: &str = "Node 18.19, or 20 or later";

/// The exit code of Node where it does not know an option.
const BAD_OPTION: i32 = 9;

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
    let outcome = session.outcome(&exit)?;
    Ok(match exit.success() {
        true => outcome,
        false => with_return_code(outcome, &exit),
    })
}

/// The command that runs the file of a task.
fn command(task: &Task) -> Result<Command, Error> {
    let runnable = &task.runnable;
    let text = |name| text_argument(runnable, name);
    let only = match runnable.kwargs.get(ONLY) {
        None | Some(Value::Null) => false,
        Some(Value::Boolean(only)) => *only,
        Some(_) => return Err(Error::new("invalid", "`only` must be true or false")),
    };
    let is_refused = |arg: &&String| arg.starts_with("--test-reporter") || *arg == "--test";
    if let Some(arg) = runnable.args.iter().find(is_refused) {
        let message = format!("the argument `{arg}` would replace the report; leave it out");
        return Err(Error::new("invalid", message));
    }
    let (name, import) = (text(NAME)?, text(IMPORT)?);
    let (mut command, file) = tool_command(task, NODE.get(&task.settings))?;
    let report = report_url();
    let own = std::mem::take(&mut command.args);
    command = command
        .arg(format!("--import={report}"))
        .arg(format!("--test-reporter={report}"))
        .arg("--test-reporter-destination=stdout")
        .args(import.map(|module| format!("--import={module}")))
        .args(name.map(|name| format!("--test-name-pattern={name}")))
        .args(only.then_some("--test-only"))
        .args(own);
    // Where Persea itself runs below Node's runner, the tests would report to that.
    command = command.env_remove("NODE_TEST_CONTEXT");
    Ok(command
        .arg(file)
        .stdout(Output::file("stdout"))
        .stderr(Output::file("stderr"))
        .report(Output::file(FILE)))
}

/// The reporter as a URL, so that no file is needed where the tests run.
fn report_url() -> String {
    format!("data:text/javascript,{}", percent_encoded(REPORT))
}

/// Encodes every byte of a text but ASCII letters and digits for a URL.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The outcome of a task whose Node cannot be started.
fn not_started(task: &Task, error: Error) -> Outcome {
    if error.code != "not-found" {
        return start_failure(task, error);
    }
    let node = NODE.get(&task.settings);
    Outcome::error(format!(
        "{}; install {VERSIONS}, where the tests run (https://nodejs.org, or a package such as \
         `nodejs`), or set {} to the path of `{node}`",
        error.message,
        NODE.key()
    ))
}

struct Session<'a> {
    /// The path of the file, for messages.
    file: &'a str,
    stream: Stream,
    /// How much of the report was read.
    followed: u64,
    /// The running tests that are cases already.
    started: HashSet<Vec<String>>,
    tally: Tally,
    reporter: CaseReporter,
}

impl Session<'_> {
    /// Reports the tests that have ended since the last look, and the one that runs.
    fn look(&mut self) -> Result<(), Error> {
        self.follow()?;
        if let Some(path) = self.stream.running()
            && self.started.insert(path.clone())
        {
            self.reporter.start(path);
        }
        Ok(())
    }

    fn follow(&mut self) -> Result<(), Error> {
        loop {
            let bytes = files::part(FILE, self.followed)?;
            if bytes.is_empty() {
                return Ok(());
            }
            self.followed += bytes.len() as u64;
            let results = self.stream.take(&bytes);
            self.take(results);
            if self.stream.kept() > LONGEST {
                let message = format!("the report of one test is longer than {LONGEST} bytes");
                return Err(Error::new("too-large", message));
            }
        }
    }

    fn take(&mut self, results: Vec<Reported>) {
        let mut cases: Vec<Case> = Vec::new();
        for Reported { result, is_counted } in results {
            if is_counted {
                self.tally.add(&result);
            }
            self.started.remove(&result.path);
            cases.extend(result.into_cases(0));
        }
        self.reporter.finish(cases);
    }

    /// Judges Node, which has ended.
    fn outcome(&mut self, exit: &Exit) -> Result<Outcome, Error> {
        let ended = describe_exit(exit);
        let error = error_in(&files::tail("stderr", TAIL)?);
        let said = error
            .map(|line| format!(": {}", shown(&line, SHOWN)))
            .unwrap_or_default();
        let file = self.file;
        if let Some(mistake) = self.stream.mistake() {
            let mistake = shown(mistake, 100);
            let why = format!("node reported `{mistake}`; is it {VERSIONS}?");
            self.tally.add_error(why);
        }
        let is_unknown = exit.success() || (exit.code(), exit.signal()) == (None, None);
        match (self.stream.has_begun(), self.stream.is_whole()) {
            (false, _) if exit.code() == Some(BAD_OPTION) => self.tally.add_error(format!(
                "node {ended}{said}; install {VERSIONS}, where the tests run"
            )),
            (false, _) if exit.success() && self.stream.is_idle() => {
                if self.tally.is_empty() {
                    let reason = format!("{file} has no tests of node:test");
                    return Ok(Outcome::skip(reason));
                }
            }
            (false, _) if is_unknown => self.tally.add_error(format!(
                "node {ended} before the tests of {file} had ended{said}; is it {VERSIONS}, and \
                 does the file call process.exit?"
            )),
            (false, _) => {
                let why = format!("{file} {ended} before its first test{said}");
                self.tally.add_failure(why);
            }
            (true, false) => {
                self.end_running(&ended, is_unknown);
                let why = format!("the process {ended} before all tests had ended{said}");
                match is_unknown {
                    true => self.tally.add_error(why),
                    false => self.tally.add_failure(why),
                }
            }
            (true, true) if exit.success() || self.tally.has_failures() => {}
            (true, true) => {
                let why = format!("the process {ended}, although no test failed{said}");
                match is_unknown {
                    true => self.tally.add_error(why),
                    false => self.tally.add_failure(why),
                }
            }
        }
        Ok(self.tally.outcome())
    }

    /// Ends the test during which the process ended.
    fn end_running(&mut self, ended: &str, is_unknown: bool) {
        let Some(path) = self.stream.running() else {
            return;
        };
        let result = TestResult {
            name: path.join(" > "),
            path,
            // Nobody knows whether a test that ends its process with code 0 would pass.
            verdict: match is_unknown {
                true => Verdict::Unknown,
                false => Verdict::Failed,
            },
            reason: Some(format!("the process {ended}")),
            ..TestResult::default()
        };
        self.take(vec![Reported {
            result,
            is_counted: true,
        }]);
    }
}

/// The error that Node has printed before it ended: `SyntaxError: Unexpected end of input`,
/// `Error [CODE]: text`, `node: bad option: --x`. Otherwise the last line.
///
/// Node prints the error that ends a process after all others, which the tests may have logged. It
/// indents the causes of an error.
fn error_in(text: &str) -> Option<String> {
    let is_error = |line: &&str| {
        let name = line.split([':', ' ']).next().unwrap_or_default();
        let is_name = name
            .chars()
            .all(|letter| letter.is_alphanumeric() || letter == '_');
        is_name && name.ends_with("Error") && line.contains(':')
    };
    let is_option = |line: &&str| line.contains(": bad option: ");
    let last = |line: &&str| !line.trim().is_empty() && !line.starts_with("Node.js v");
    let line = text
        .lines()
        .find(is_option)
        .or_else(|| text.lines().rev().find(is_error));
    let line = line.or_else(|| text.lines().rev().find(last));
    line.map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod tests;
