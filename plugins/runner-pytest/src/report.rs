//! Owns the lines of a session's report, as `persea_pytest.py` writes them, and the case that a
//! line describes.

use std::time::Duration;

use persea_plugin_sdk::cases::Case;
use persea_plugin_sdk::prelude::*;
use serde::Deserialize;

/// Limit for the names of a case together, in bytes; that of the host is 4 KiB.
const MAX_PATH: usize = 4_000;

/// One line of the report.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(tag = "is", rename_all = "lowercase")]
pub(crate) enum Line {
    /// pytest was imported.
    Ready,
    /// There is no pytest that can be used.
    Problem { reason: String },
    /// The tests are collected.
    Collected { selected: u64, deselected: u64 },
    /// A test starts.
    Start { path: Vec<String> },
    /// A test has ended.
    Case(Box<CaseLine>),
    /// A test has ended that does not belong to the reference.
    Foreign { path: Vec<String> },
    /// pytest ends the session early.
    Stopped { reason: String },
    /// pytest has ended the session.
    End {
        code: i32,
        /// The threads and processes that an exit waits for.
        #[serde(rename = "waits-for", default)]
        waits_for: Vec<String>,
    },
    /// The process of a session of a batch has ended.
    Exit {
        code: Option<i32>,
        signal: Option<i32>,
        orphans: i64,
    },
    /// A file that has tests, where pytest only lists.
    File {
        path: String,
        #[serde(default)]
        tests: u64,
        #[serde(default)]
        tags: Vec<String>,
    },
}

/// A test that has ended.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct CaseLine {
    pub(crate) path: Vec<String>,
    pub(crate) status: CaseStatus,
    /// In nanoseconds.
    duration: Option<u64>,
    pub(crate) reason: Option<String>,
    class_name: Option<String>,
    failure_type: Option<String>,
    traceback: Option<String>,
    output: Option<String>,
    file: Option<String>,
    line: Option<i64>,
    #[serde(default)]
    tags: Vec<String>,
}

/// How a test has ended, in the words of pytest.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CaseStatus {
    Pass,
    Fail,
    Error,
    Skip,
    /// It failed, as expected.
    Xfail,
    /// It passed, which was not expected.
    Xpass,
}

impl From<CaseStatus> for Status {
    fn from(status: CaseStatus) -> Self {
        match status {
            CaseStatus::Pass | CaseStatus::Xfail => Self::Pass,
            CaseStatus::Fail => Self::Fail,
            CaseStatus::Error => Self::Error,
            CaseStatus::Skip => Self::Skip,
            CaseStatus::Xpass => Self::Warn,
        }
    }
}

impl CaseLine {
    /// The case for the host.
    pub(crate) fn into_case(self) -> Case {
        let mut case = Case::new(bounded(self.path), self.status.into());
        case.duration = self.duration.map(Duration::from_nanos);
        let reason = self.reason.filter(|reason| !reason.is_empty());
        let prefixed = |words: &str| match &reason {
            Some(reason) => format!("{words}: {reason}"),
            None => words.to_owned(),
        };
        case.reason = match self.status {
            CaseStatus::Xfail => Some(prefixed("failed, as expected")),
            CaseStatus::Xpass => Some(prefixed("passed, but was expected to fail")),
            CaseStatus::Pass | CaseStatus::Fail | CaseStatus::Error | CaseStatus::Skip => reason,
        };
        for (name, value) in [
            ("class-name", self.class_name),
            ("failure-type", self.failure_type),
            ("traceback", self.traceback),
            ("output", self.output),
            ("file", self.file),
        ] {
            if let Some(value) = value {
                case = case.with(name, value);
            }
        }
        if let Some(line) = self.line {
            case = case.with("line", line);
        }
        match self.status {
            CaseStatus::Xfail => case = case.with("expected-failure", true),
            CaseStatus::Xpass => case = case.with("unexpected-success", true),
            CaseStatus::Pass | CaseStatus::Fail | CaseStatus::Error | CaseStatus::Skip => {}
        }
        if !self.tags.is_empty() {
            case = case.with("tags", Value::list(self.tags));
        }
        case
    }
}

/// The name of a test for people.
pub(crate) fn shown(path: &[String]) -> String {
    path.join("::")
}

/// Cuts names so that the host accepts them. The parameters of a test can have any length.
pub(crate) fn bounded(mut path: Vec<String>) -> Vec<String> {
    path.truncate(64);
    let share = MAX_PATH / path.len().max(1);
    if path.iter().map(String::len).sum::<usize>() <= MAX_PATH {
        return path;
    }
    for name in &mut path {
        if name.len() > share {
            let mut end = share.saturating_sub('\u{2026}'.len_utf8());
            while !name.is_char_boundary(end) {
                end -= 1;
            }
            name.truncate(end);
            name.push('\u{2026}');
        }
    }
    path
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn members_of_a_line_become_those_of_a_case() {
        let line = br#"{"is": "case", "path": ["T", "test[1]"], "status": "fail", "duration": 5,
            "reason": "assert 0", "class-name": "t.T", "failure-type": "AssertionError",
            "traceback": "long", "output": "text", "file": "t.py", "line": 7, "tags": ["slow"]}"#;
        let Line::Case(line) = serde_json::from_slice(line).unwrap() else {
            panic!("it is a case");
        };
        let expected = Case::new(["T", "test[1]"], Status::Fail)
            .duration(Duration::from_nanos(5))
            .reason("assert 0")
            .with("class-name", "t.T")
            .with("failure-type", "AssertionError")
            .with("traceback", "long")
            .with("output", "text")
            .with("file", "t.py")
            .with("line", 7)
            .with("tags", Value::list(["slow"]));
        assert_eq!(line.into_case(), expected);
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let path = vec!["T".to_owned(), "\u{e9}".repeat(5_000)];
        let cut = bounded(path);
        assert!(cut.iter().map(String::len).sum::<usize>() <= MAX_PATH);
        assert!(cut.iter().any(|name| name.ends_with("\u{e9}\u{2026}")));
        let short = vec!["T".to_owned(), "test".to_owned()];
        assert_eq!(bounded(short.clone()), short);
    }
}
