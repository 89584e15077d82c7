//! What the Python side says of a test, and what its process's end says when it says nothing. Knows nothing of how
//! either is had.

use persea_exec_command::{in_words, return_code};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::Exit;
use persea_plugin_sdk::status;
use serde::Deserialize;

/// How much of an interpreter's standard error is looked at, in bytes.
const MAX_STDERR: u32 = 64 << 10;

/// The longest message of an interpreter that a reason holds, in characters.
const MAX_MESSAGE: usize = 500;

/// One line of the report: see `persea_unittest.py`.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Line {
    status: Ended,
    reason: Option<String>,
    class_name: Option<String>,
    failure_type: Option<String>,
    traceback: Option<String>,
}

/// How unittest says that a test ended.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Ended {
    Pass,
    Fail,
    Error,
    Skip,
}

impl Line {
    /// Reads a line.
    pub(crate) fn read(line: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(line).map_err(|error| {
            Error::new(
                "invalid",
                format!("the Python side of the runner reported nonsense: {error}"),
            )
        })
    }

    /// The test's outcome; `exit` is how its process ended after it had reported.
    pub(crate) fn outcome(self, exit: &Exit) -> Outcome {
        let status = match self.status {
            Ended::Pass => Status::Pass,
            Ended::Fail => Status::Fail,
            Ended::Error => Status::Error,
            Ended::Skip => Status::Skip,
        };
        let mut outcome = Outcome::new(status, self.reason.filter(|reason| !reason.is_empty()));
        if status == Status::Pass && exit.code != Some(0) {
            outcome = Outcome::warn(format!(
                "the test passed, but its process {}",
                in_words(exit)
            ))
            .with("returncode", return_code(exit));
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

/// The outcome of a test whose process ended without a report.
pub(crate) fn silent(exit: &Exit) -> Outcome {
    Outcome::error(format!(
        "the test's process {} before the test was done",
        in_words(exit)
    ))
    .with("returncode", return_code(exit))
}

/// The outcome of a test whose interpreter ended before it could run the test, with what it wrote to the task's `stderr`.
pub(crate) fn interpreter_ended(exit: &Exit) -> Outcome {
    let ended = in_words(exit);
    let mut reason = format!("the Python interpreter {ended} before it had run the test");
    let stderr = status::read_artifact("stderr", 0, MAX_STDERR).unwrap_or_default();
    let message = message(&String::from_utf8_lossy(&stderr));
    if !message.is_empty() {
        reason.push_str(": ");
        reason.push_str(&message);
    }
    Outcome::error(reason).with("returncode", return_code(exit))
}

/// What an interpreter says is wrong, in one line: its errors, or all that it says where nothing looks like one.
fn message(stderr: &str) -> String {
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
    let mut said: Vec<&str> = lines().filter(is_error).collect();
    if said.is_empty() {
        said = lines().collect();
    }
    let said = said.join("; ");
    match said.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}\u{2026}", said.get(..end).unwrap_or_default()),
        None => said,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn exit(code: Option<i32>, signal: Option<i32>) -> Exit {
        Exit {
            code,
            signal,
            duration: 1,
            more: Attributes::new(),
        }
    }

    #[test]
    fn a_line_becomes_an_outcome_with_what_reports_show() {
        let line = br#"{"status": "fail", "reason": "AssertionError: 1 != 2", "failure-type": "AssertionError",
                        "class-name": "t.T", "traceback": "Traceback", "test": "t.py:T.a", "later": 1}"#;
        let outcome = Line::read(line).unwrap().outcome(&exit(Some(0), None));
        let expected = Outcome::fail("AssertionError: 1 != 2")
            .with("class-name", "t.T")
            .with("failure-type", "AssertionError")
            .with("traceback", "Traceback");
        assert_eq!(outcome, expected);
    }

    #[test]
    fn a_process_that_crashes_after_the_test_spoils_a_pass_only() {
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
    fn silence_is_an_error_that_says_how_it_ended() {
        let reason = |code, signal| silent(&exit(code, signal)).reason.unwrap();
        assert_eq!(
            reason(Some(3), None),
            "the test's process exited with code 3 before the test was done"
        );
        assert_eq!(
            reason(None, Some(9)),
            "the test's process ended by signal 9 (SIGKILL) before the test was done"
        );
        assert_eq!(
            silent(&exit(Some(3), None)).more.integer("returncode"),
            Some(3)
        );
    }

    #[test]
    fn an_interpreters_message_is_its_errors_or_all_that_it_says() {
        assert_eq!(
            message("  File \"<string>\", line 3\n    x\nSyntaxError: invalid syntax\n"),
            "SyntaxError: invalid syntax"
        );
        assert_eq!(
            message("pyenv: python3.5: command not found\n\ntry another\n"),
            "pyenv: python3.5: command not found; try another"
        );
        assert_eq!(message(&"x".repeat(1000)).chars().count(), MAX_MESSAGE + 1);
        assert_eq!(message(""), "");
    }

    proptest! {
        #[test]
        fn any_line_is_read(line in any::<Vec<u8>>()) {
            let _ = Line::read(&line);
        }
    }
}
