//! Owns the enum of test frameworks: their names, their settings, and which of their modules does
//! what. Does not know what a framework writes.

use std::time::Duration;

use persea_plugin_sdk::prelude::*;

use crate::listed::ListedTest;
use crate::{catch2, googletest};
use persea_exec_command::results::TestResult;

/// The longest arguments that name tests, in bytes. Linux takes 128 KiB for one argument.
const LONGEST_SELECTION: usize = 64 << 10;

/// A test framework.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framework {
    GoogleTest,
    Catch2,
}

/// Which tests of a program a process runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Selection {
    /// Those that the program runs by itself, or those that a filter in the framework's own
    /// language selects.
    Filter(Option<String>),
    /// Those with these names.
    Names(Vec<String>),
}

/// What a process has written about its tests.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) results: Vec<TestResult>,
    /// Whether the report has its end, so that no selected test is missing.
    pub(crate) is_whole: bool,
}

/// What is known about the tests of a running process, from the file to which it writes meanwhile.
#[derive(Debug)]
pub(crate) enum Progress {
    GoogleTest(googletest::Progress),
    Catch2(catch2::Progress),
}

impl Framework {
    pub(crate) const ALL: [Self; 2] = [Self::GoogleTest, Self::Catch2];

    /// The framework of a kind of runnable.
    ///
    /// # Errors
    /// `invalid` for another kind.
    pub(crate) fn of(runnable: &Runnable) -> Result<Self, Error> {
        let mut all = Self::ALL.into_iter();
        all.find(|framework| framework.kind() == runnable.kind)
            .ok_or_else(|| {
                let message = format!("`{}` is no kind of C++ tests", runnable.kind);
                Error::new("invalid", message)
            })
    }

    /// The kind of its runnables, which is also the scheme of its references.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::GoogleTest => "googletest",
            Self::Catch2 => "catch2",
        }
    }

    /// Its name and the versions that are understood, for messages.
    pub(crate) const fn versions(self) -> &'static str {
        match self {
            Self::GoogleTest => "GoogleTest 1.10 or later",
            Self::Catch2 => "Catch2 2.10 or later",
        }
    }

    /// The setting for tests that each have a process of their own.
    pub(crate) const fn isolate(self) -> Setting<Boolean> {
        match self {
            Self::GoogleTest => Setting::boolean("runner.googletest.isolate")
                .default(false)
                .summary("Whether each test of GoogleTest is a task with a process of its own"),
            Self::Catch2 => Setting::boolean("runner.catch2.isolate")
                .default(false)
                .summary("Whether each test case of Catch2 is a task with a process of its own"),
        }
    }

    /// The longest that a program may take to list its tests.
    pub(crate) const fn list_timeout(self) -> Setting<Time> {
        let setting = match self {
            Self::GoogleTest => Setting::duration("runner.googletest.list_timeout"),
            Self::Catch2 => Setting::duration("runner.catch2.list_timeout"),
        };
        setting
            .default(Duration::from_secs(30))
            .summary("The longest that a program may take to list its tests; 0 means no limit")
    }

    /// The arguments that select tests.
    pub(crate) fn arguments(self, selection: &Selection) -> Vec<String> {
        match (self, selection) {
            (_, Selection::Filter(None)) => Vec::new(),
            (Self::GoogleTest, Selection::Filter(Some(filter))) => {
                vec![format!("--gtest_filter={filter}")]
            }
            (Self::GoogleTest, Selection::Names(names)) => {
                let names: Vec<String> = names.iter().map(|it| googletest::escaped(it)).collect();
                vec![format!("--gtest_filter={}", names.join(":"))]
            }
            (Self::Catch2, Selection::Filter(Some(filter))) => vec![filter.clone()],
            (Self::Catch2, Selection::Names(names)) => {
                let names: Vec<String> = names.iter().map(|it| catch2::escaped(it)).collect();
                vec![names.join(",")]
            }
        }
    }

    /// The arguments that make a program write its report to a file.
    pub(crate) fn reporting(self, file: &str) -> Vec<String> {
        match self {
            Self::GoogleTest => vec![format!("--gtest_output=xml:{file}")],
            Self::Catch2 => ["--reporter", "xml", "--out", file]
                .map(str::to_owned)
                .into(),
        }
    }

    /// Divides names so that each part fits into an argument.
    pub(crate) fn selections(self, names: Vec<String>) -> Vec<Selection> {
        let mut parts: Vec<Vec<String>> = Vec::new();
        let mut size = usize::MAX;
        for name in names {
            // Escaping at most doubles a name.
            let needed = 2 * name.len() + 3;
            if size.saturating_add(needed) > LONGEST_SELECTION {
                parts.push(Vec::new());
                size = 0;
            }
            size += needed;
            if let Some(part) = parts.last_mut() {
                part.push(name);
            }
        }
        parts.into_iter().map(Selection::Names).collect()
    }

    /// The file of the task that a running process writes to, where `report` is its report.
    pub(crate) fn followed(self, report: &str) -> &str {
        match self {
            // The report is written at the end only.
            Self::GoogleTest => "stdout",
            Self::Catch2 => report,
        }
    }

    /// Reads a list in the framework's XML.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(crate) fn read_list(self, list: &str) -> Result<Vec<ListedTest>, String> {
        match self {
            Self::GoogleTest => googletest::read_list(list),
            Self::Catch2 => catch2::read_list(list),
        }
    }

    /// Whether a test does not run unless the user asks for it, although it is listed.
    pub(crate) fn is_disabled(self, name: &str) -> bool {
        match self {
            Self::GoogleTest => googletest::is_disabled(name),
            Self::Catch2 => false,
        }
    }
}

impl Progress {
    pub(crate) fn new(framework: Framework) -> Self {
        match framework {
            Framework::GoogleTest => Self::GoogleTest(googletest::Progress::default()),
            Framework::Catch2 => Self::Catch2(catch2::Progress::default()),
        }
    }

    /// Takes what the process has written since the last call. Returns the tests that have ended.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<TestResult> {
        match self {
            Self::GoogleTest(progress) => progress.take(bytes),
            Self::Catch2(progress) => progress.take(bytes),
        }
    }

    /// How many bytes are kept of a test that runs.
    pub(crate) fn kept(&self) -> usize {
        match self {
            // Lines are bounded.
            Self::GoogleTest(_) => 0,
            Self::Catch2(progress) => progress.kept(),
        }
    }

    /// The test that runs.
    pub(crate) fn running(&self) -> Option<TestResult> {
        match self {
            Self::GoogleTest(progress) => progress.running(),
            Self::Catch2(progress) => progress.running(),
        }
    }

    /// Whether the process has shown that it is a program of the framework.
    pub(crate) fn has_begun(&self) -> bool {
        match self {
            Self::GoogleTest(progress) => progress.has_begun(),
            Self::Catch2(progress) => progress.has_begun(),
        }
    }

    /// Whether the framework itself has reported the crash of a test.
    pub(crate) fn is_fatal(&self) -> bool {
        match self {
            Self::GoogleTest(_) => false,
            Self::Catch2(progress) => progress.is_fatal(),
        }
    }

    /// The report of the process, which has ended. `results` are those of [`take`](Self::take), and
    /// `report` is what lies in its report file.
    pub(crate) fn report(&self, results: &[TestResult], report: &str) -> Report {
        match self {
            Self::GoogleTest(_) => match googletest::read_report(report) {
                Some(results) => Report {
                    results,
                    is_whole: true,
                },
                None => Report {
                    results: results.to_vec(),
                    is_whole: false,
                },
            },
            Self::Catch2(progress) => Report {
                results: results.to_vec(),
                is_whole: progress.is_whole() && !progress.is_fatal(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    #[test]
    fn names_are_divided_by_the_size_of_an_argument() {
        let names: Vec<String> = (0..10_000)
            .map(|number| format!("Suite.n{number}"))
            .collect();
        let selections = Framework::GoogleTest.selections(names.clone());
        assert!(selections.len() > 1);
        let mut all = Vec::new();
        for selection in selections {
            let arguments = Framework::GoogleTest.arguments(&selection);
            assert!(
                arguments
                    .iter()
                    .all(|it| it.len() <= LONGEST_SELECTION + 20)
            );
            match selection {
                Selection::Names(names) => all.extend(names),
                Selection::Filter(filter) => panic!("names were given, not {filter:?}"),
            }
        }
        assert_eq!(all, names);
        let long = "x".repeat(2 * LONGEST_SELECTION);
        assert_eq!(Framework::Catch2.selections(vec![long]).len(), 1);
        assert_eq!(Framework::Catch2.selections(Vec::new()), []);
    }
}
