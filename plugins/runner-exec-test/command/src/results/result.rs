//! Owns the result of one test of a framework, with those of its sections, and what becomes of it:
//! cases, or the outcome of a task. Does not know which framework wrote it.

use std::time::Duration;

use persea_plugin_sdk::cases::Case;
use persea_plugin_sdk::{Attributes, Outcome, Status};

/// Limit for the names of a case together, in bytes; that of the host is 4 KiB.
const MAX_PATH: usize = 4_000;

/// The longest reason, in characters.
const MAX_REASON: usize = 2_000;

/// The longest text of all failures of a test, and of its output, in characters.
const MAX_TEXT: usize = 16_000;

/// How a test has ended.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verdict {
    /// It passed.
    #[default]
    Passed,
    /// It failed, and the framework counts that as a success.
    FailedAsExpected,
    /// It was not run, or gave up in a way that is neither a success nor a failure.
    Skipped,
    /// It failed.
    Failed,
    /// Nobody knows whether it would have passed.
    Unknown,
}

impl From<Verdict> for Status {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Passed | Verdict::FailedAsExpected => Self::Pass,
            Verdict::Skipped => Self::Skip,
            Verdict::Failed => Self::Fail,
            Verdict::Unknown => Self::Error,
        }
    }
}

/// The result of a test, or of a section of one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TestResult {
    /// The full name of the test, as it is in the program's list.
    pub name: String,
    /// The names of the case: suite and test, or test and sections.
    pub path: Vec<String>,
    /// How it has ended.
    pub verdict: Verdict,
    /// Why it has ended so, in one line.
    pub reason: Option<String>,
    /// The running time, where the framework says it.
    pub duration: Option<Duration>,
    /// The source file of the test, or of its failure.
    pub file: Option<String>,
    /// The line in that file, from 1.
    pub line: Option<i64>,
    /// The suite, where the framework has suites.
    pub class: Option<String>,
    /// The text of all failures.
    pub failures: Option<String>,
    /// What the framework has captured of the output.
    pub output: Option<String>,
    /// The results of the parts of the test: sections, subtests.
    pub sections: Vec<TestResult>,
}

impl TestResult {
    /// The cases of the sections, then that of the test. Names of a path before `from` are left
    /// out.
    pub fn into_cases(mut self, from: usize) -> Vec<Case> {
        let sections = std::mem::take(&mut self.sections);
        let mut cases: Vec<Case> = sections
            .into_iter()
            .flat_map(|section| section.into_cases(from))
            .collect();
        let path: Vec<String> = self.path.iter().skip(from).cloned().collect();
        if !path.is_empty() {
            let mut case = Case::new(bounded(path), self.verdict.into());
            case.duration = self.duration;
            case.reason = self.told_reason();
            case.more = self.more();
            cases.push(case);
        }
        cases
    }

    /// The outcome of a task that is this test alone.
    pub fn outcome(&self) -> Outcome {
        let mut outcome = Outcome::pass();
        outcome.status = self.verdict.into();
        outcome.reason = self.told_reason();
        for (name, value) in self.more().iter() {
            outcome = outcome.with(name, value.clone());
        }
        outcome
    }

    fn told_reason(&self) -> Option<String> {
        let reason = self.reason.as_deref().map(|it| shown(it, MAX_REASON));
        match self.verdict {
            Verdict::FailedAsExpected => Some(match reason {
                Some(reason) => format!("failed, as expected: {reason}"),
                None => "failed, as expected".to_owned(),
            }),
            Verdict::Passed | Verdict::Skipped | Verdict::Failed | Verdict::Unknown => reason,
        }
    }

    fn more(&self) -> Attributes {
        let mut more = Attributes::new();
        let short = |text: &Option<String>| text.as_deref().map(|text| shown(text, MAX_TEXT));
        let is_failed = self.verdict > Verdict::Skipped;
        for (name, value) in [
            ("class-name", self.class.clone()),
            ("file", self.file.clone()),
            ("traceback", short(&self.failures).filter(|_| is_failed)),
            ("output", short(&self.output)),
        ] {
            if let Some(value) = value {
                more.insert(name, value);
            }
        }
        if let Some(line) = self.line {
            more.insert("line", line);
        }
        if self.verdict == Verdict::FailedAsExpected {
            more.insert("expected-failure", true);
        }
        more
    }
}

/// The lines of a message as one line.
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty()) {
        match (line.is_empty(), line.ends_with([':', '('])) {
            (true, _) => {}
            (false, true) => line.push(' '),
            (false, false) => line.push_str("; "),
        }
        line.push_str(part);
    }
    line
}

/// The beginning of a text, at most so many characters.
pub fn shown(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Reads a time in seconds.
pub fn seconds(text: Option<&str>) -> Option<Duration> {
    Duration::try_from_secs_f64(text?.parse().ok()?).ok()
}

/// Cuts names so that the host accepts them.
pub fn bounded(mut path: Vec<String>) -> Vec<String> {
    path.truncate(64);
    if path.iter().map(String::len).sum::<usize>() > MAX_PATH {
        // A character has at most four bytes.
        let share = MAX_PATH / path.len().max(1) / 4 - 1;
        for name in &mut path {
            *name = shown(name, share);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_becomes_one_line() {
        let message = "g.cc:5\nExpected equality of these values:\n  1\n  2\n\n";
        let expected = "g.cc:5; Expected equality of these values: 1; 2";
        assert_eq!(one_line(message), expected);
        assert_eq!(one_line("\n"), "");
    }

    #[test]
    fn cases_are_those_of_sections_and_then_that_of_the_test() {
        let section = TestResult {
            path: vec!["t".to_owned(), "s".to_owned()],
            verdict: Verdict::FailedAsExpected,
            reason: Some("why".to_owned()),
            ..TestResult::default()
        };
        let test = TestResult {
            path: vec!["t".to_owned()],
            line: Some(3),
            sections: vec![section],
            ..TestResult::default()
        };
        let section = |path: &[&str]| {
            Case::new(path.iter().copied(), Status::Pass)
                .reason("failed, as expected: why")
                .with("expected-failure", true)
        };
        let whole = Case::new(["t"], Status::Pass).with("line", 3);
        assert_eq!(test.clone().into_cases(0), [section(&["t", "s"]), whole]);
        assert_eq!(test.into_cases(1), [section(&["s"])]);
    }

    #[test]
    fn long_names_are_cut() {
        let path = vec!["é".repeat(5_000), "t".to_owned()];
        let cut = bounded(path);
        assert!(
            cut.iter().map(String::len).sum::<usize>() <= MAX_PATH,
            "{cut:?}"
        );
        let short = vec!["T".to_owned(), "test".to_owned()];
        assert_eq!(bounded(short.clone()), short);
    }
}
