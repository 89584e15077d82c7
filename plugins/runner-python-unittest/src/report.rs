//! Owns the meaning of a report line and of an interpreter's exit: both become outcomes.
//!
//! Does not know about starting interpreters or reading their pipes.

use persea_exec_command::{describe_exit, with_return_code};
use persea_plugin_sdk::artifacts;
use persea_plugin_sdk::cases::{self, Case};
use persea_plugin_sdk::log::{Level, log};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::Exit;
use serde::Deserialize;

/// How much of an interpreter's standard error is read for its error message, in bytes.
const MAX_STDERR: u32 = 64 << 10;

/// Limit for the error message of an interpreter in a reason, in characters.
const MAX_MESSAGE: usize = 500;

/// The report line of one test, as `persea_unittest.py` sends it.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Line {
    status: UnittestStatus,
    reason: Option<String>,
    class_name: Option<String>,
    failure_type: Option<String>,
    traceback: Option<String>,
    #[serde(default)]
    cases: Vec<Subtest>,
    /// The number of further subtests.
    cases_left_out: Option<String>,
}

/// A subtest of a test.
#[derive(Debug, Deserialize, PartialEq)]
struct Subtest {
    name: String,
    status: UnittestStatus,
    reason: Option<String>,
}

/// The status of a test by the rules of unittest.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum UnittestStatus {
    Pass,
    Fail,
    Error,
    Skip,
}

impl From<UnittestStatus> for Status {
    fn from(status: UnittestStatus) -> Self {
        match status {
            UnittestStatus::Pass => Self::Pass,
            UnittestStatus::Fail => Self::Fail,
            UnittestStatus::Error => Self::Error,
            UnittestStatus::Skip => Self::Skip,
        }
    }
}

impl Line {
    /// Parses a line, without its line feed.
    ///
    /// # Errors
    /// `invalid` for a line that is not such a JSON object.
    pub(crate) fn read(line: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(line).map_err(|error| {
            Error::new(
                "invalid",
                format!("the script of the runner sent an invalid report: {error}"),
            )
        })
    }

    /// Reports the subtests as cases of the current task. The test's result does not depend on
    /// them, so a host that takes no cases is only a warning.
    pub(crate) fn report_cases(&mut self) {
        if self.cases.is_empty() {
            return;
        }
        let case = |subtest: Subtest| {
            let mut case = Case::new([subtest.name], subtest.status.into());
            case.reason = subtest.reason.filter(|reason| !reason.is_empty());
            case
        };
        let cases: Vec<Case> = std::mem::take(&mut self.cases)
            .into_iter()
            .map(case)
            .collect();
        if let Err(error) = cases::finish(cases) {
            log(Level::Warn, &format!("the subtests are not cases: {error}"));
        }
        if let Some(left_out) = &self.cases_left_out {
            log(
                Level::Info,
                &format!("{left_out} more subtests are not cases"),
            );
        }
    }

    /// The outcome of the test. `exit` is how its process ended after the report: a pass becomes
    /// WARN unless the process exited with code 0.
    pub(crate) fn outcome(self, exit: &Exit) -> Outcome {
        let status = Status::from(self.status);
        let mut outcome = Outcome::new(status, self.reason.filter(|reason| !reason.is_empty()));
        if status == Status::Pass && !exit.success() {
            let why = format!("the test passed, but its process {}", describe_exit(exit));
            outcome = with_return_code(Outcome::warn(why), exit);
        }
        for (name, value) in [
            ("class-name", self.class_name),
            ("failure-type", self.failure_type),
            ("traceback", self.traceback),
        ] {
            if let Some(value) = value {
                outcome = outcome.with(name, value);
            }
        }
        outcome
    }
}

/// The outcome of a test whose process ended without a report line.
pub(crate) fn no_report(exit: &Exit) -> Outcome {
    let ended = describe_exit(exit);
    let reason = format!("the test's process {ended} before the test was done");
    with_return_code(Outcome::error(reason), exit)
}

/// The outcome of a test whose interpreter ended before it ran the test. The reason contains the
/// error message from the task's file `stderr`.
pub(crate) fn interpreter_ended(exit: &Exit) -> Outcome {
    let ended = describe_exit(exit);
    let mut reason = format!("the Python interpreter {ended} before it had run the test");
    let stderr = artifacts::read("stderr", 0, MAX_STDERR).unwrap_or_default();
    let message = error_message(&String::from_utf8_lossy(&stderr));
    if !message.is_empty() {
        reason.push_str(": ");
        reason.push_str(&message);
    }
    with_return_code(Outcome::error(reason), exit)
}

/// The error message of an interpreter in one line: the lines that look like errors, or all lines
/// where none does.
fn error_message(stderr: &str) -> String {
    let lines = || {
        stderr
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let is_error = |line: &&str| {
        let (kind, _) = line.split_once(':').unwrap_or((line, ""));
        kind == "Fatal Python error" || (kind.ends_with("Error") && !kind.contains(' '))
    };
    let mut selected: Vec<&str> = lines().filter(is_error).collect();
    if selected.is_empty() {
        selected = lines().collect();
    }
    let message = selected.join("; ");
    match message.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}\u{2026}", message.get(..end).unwrap_or_default()),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use persea_plugin_sdk::process::Ending;
    use proptest::prelude::*;

    fn exit(code: Option<i32>, signal: Option<i32>) -> Exit {
        let signal = signal.map(Ending::Signal);
        Exit::new(code.map(Ending::Code).or(signal).unwrap())
    }

    #[test]
    fn members_of_a_line_become_attributes_of_the_outcome() {
        let line = br#"{"status": "fail", "reason": "AssertionError: 1 != 2",
                        "failure-type": "AssertionError", "class-name": "t.T",
                        "traceback": "Traceback", "test": "t.py:T.a", "later": 1}"#;
        let outcome = Line::read(line).unwrap().outcome(&exit(Some(0), None));
        let expected = Outcome::fail("AssertionError: 1 != 2")
            .with("class-name", "t.T")
            .with("failure-type", "AssertionError")
            .with("traceback", "Traceback");
        assert_eq!(outcome, expected);
    }

    #[test]
    fn subtests_become_cases() {
        let line = br#"{"status": "fail", "cases": [{"name": "(i=1)", "status": "pass"},
                        {"name": "(i=2)", "status": "error", "reason": "OSError: x"}],
                        "cases-left-out": "3"}"#;
        let host = persea_plugin_sdk::testing::Host::new().install();
        Line::read(line).unwrap().report_cases();
        let expected = [
            Case::new(["(i=1)"], Status::Pass),
            Case::new(["(i=2)"], Status::Error).reason("OSError: x"),
        ];
        assert_eq!(host.cases(), expected);
        let message = "3 more subtests are not cases".to_owned();
        assert_eq!(host.log(), [(Level::Info, message)]);
    }

    #[test]
    fn crash_after_the_report_turns_only_a_pass_into_warn() {
        let line = |status| Line::read(format!(r#"{{"status": "{status}"}}"#).as_bytes()).unwrap();
        let crash = exit(None, Some(11));
        let why = "the test passed, but its process ended by signal 11 (SIGSEGV)";
        assert_eq!(
            line("pass").outcome(&crash),
            Outcome::warn(why).with("returncode", -11)
        );
        assert_eq!(line("skip").outcome(&crash).status, Status::Skip);
        assert_eq!(line("pass").outcome(&exit(Some(0), None)), Outcome::pass());
    }

    #[test]
    fn reason_without_a_report_says_how_the_process_ended() {
        let reason = |code, signal| no_report(&exit(code, signal)).reason.unwrap();
        assert_eq!(
            reason(Some(3), None),
            "the test's process exited with code 3 before the test was done"
        );
        assert_eq!(
            reason(None, Some(9)),
            "the test's process ended by signal 9 (SIGKILL) before the test was done"
        );
        assert_eq!(
            no_report(&exit(Some(3), None)).more.integer("returncode"),
            Some(3)
        );
    }

    #[test]
    fn error_message_is_the_error_lines_or_all_lines() {
        assert_eq!(
            error_message("  File \"<string>\", line 3\n    x\nSyntaxError: invalid syntax\n"),
            "SyntaxError: invalid syntax"
        );
        assert_eq!(
            error_message("pyenv: python3.5: command not found\n\ntry another\n"),
            "pyenv: python3.5: command not found; try another"
        );
        let long = error_message(&"x".repeat(1000));
        assert_eq!(long.chars().count(), MAX_MESSAGE + 1);
        assert_eq!(error_message(""), "");
    }

    proptest! {
        #[test]
        fn no_line_panics(line in any::<Vec<u8>>()) {
            let _ = Line::read(&line);
        }
    }
}
