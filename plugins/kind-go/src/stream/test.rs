//! Owns a test that has begun: its state, its output, and its result with those of its subtests.

use std::collections::HashMap;
use std::time::Duration;

use persea_exec_command::results::{TestResult, Verdict};

use super::{ERROR_BEGIN, ERROR_END};
use crate::reason::{self, Package, Printed};

/// How much of an output is kept, in bytes: its first and its last part.
const FIRST: usize = 16 << 10;
const LAST: usize = 48 << 10;

/// The state of a test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TestState {
    Running,
    /// It waits until it may run beside others.
    Paused,
    Ended(Verdict, Option<Duration>),
}

/// A test that has begun.
#[derive(Debug)]
pub(super) struct OpenTest {
    /// The full name, such as `TestSums/of_two`.
    pub(super) name: String,
    /// The full name of the test whose subtest it is.
    pub(super) parent: Option<String>,
    /// Its place in the order in which tests began.
    pub(super) number: u64,
    pub(super) state: TestState,
    pub(super) output: String,
    /// The texts that Go has marked as failures.
    errors: Vec<String>,
    is_in_error: bool,
}

impl OpenTest {
    pub(super) fn new(name: &str, parent: Option<String>, number: u64) -> Self {
        Self {
            name: name.to_owned(),
            parent,
            number,
            state: TestState::Running,
            output: String::new(),
            errors: Vec::new(),
            is_in_error: false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, TestState::Running | TestState::Paused)
    }

    /// The name without that of the parent.
    pub(super) fn own_name(&self) -> &str {
        let parent = self.parent.as_deref().unwrap_or_default();
        let own = self.name.strip_prefix(parent).unwrap_or(&self.name);
        own.strip_prefix('/').unwrap_or(own)
    }

    /// Adds a line of output.
    pub(super) fn add(&mut self, line: &str) {
        if line.starts_with(ERROR_BEGIN) {
            self.is_in_error = true;
            self.errors.push(String::new());
        }
        let text = line.replace([ERROR_BEGIN, ERROR_END], "");
        if self.is_in_error
            && let Some(error) = self.errors.last_mut()
        {
            append(error, &text);
        }
        if line.ends_with(ERROR_END) {
            self.is_in_error = false;
        }
        append(&mut self.output, &text);
    }

    /// The result, with those of the subtests. `above` are the names of the case above it.
    pub(super) fn result(
        &self,
        children: &HashMap<&str, Vec<&Self>>,
        above: &[String],
        package: &Package,
    ) -> TestResult {
        let path = [above, &[self.own_name().to_owned()]].concat();
        let below = children.get(self.name.as_str()).into_iter().flatten();
        let sections: Vec<TestResult> = below
            .map(|child| child.result(children, &path, package))
            .collect();
        let (verdict, duration) = match self.state {
            TestState::Ended(verdict, duration) => (verdict, duration),
            TestState::Running | TestState::Paused => (Verdict::Unknown, None),
        };
        let printed = Printed {
            output: &self.output,
            errors: &self.errors,
        };
        let mut result = TestResult {
            name: self.name.clone(),
            path,
            verdict,
            duration,
            class: Some(package.import_path.clone()),
            output: Some(self.output.clone()).filter(|output| !output.is_empty()),
            sections,
            ..TestResult::default()
        };
        reason::explain(&mut result, &printed, package);
        result
    }
}

/// Appends a line to a text that is bounded.
pub(super) fn append(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
    if text.len() > 2 * (FIRST + LAST) {
        let cut = |at: usize| (at..=text.len()).find(|at| text.is_char_boundary(*at));
        if let (Some(begin), Some(end)) = (cut(FIRST), cut(text.len() - LAST)) {
            text.replace_range(begin..end, "…\n");
        }
    }
}
