//! Owns the elements of test cases in a report of Catch2: assertions that failed, sections, and how
//! a test case has ended.

use crate::xml::{Element, Node};
use persea_exec_command::results::{TestResult, Verdict, one_line, seconds};

/// The most sections of a test case that are kept.
const MAX_SECTIONS: usize = 1_000;

/// Reads test cases from the nodes of a report.
#[derive(Default)]
pub(crate) struct CaseReader {
    pub(crate) results: Vec<TestResult>,
    /// Whether one of them was ended by a signal.
    pub(crate) is_fatal: bool,
    test: Option<OpenCase>,
    /// The text of the innermost element.
    text: String,
}

/// A test case of which the end was not read.
#[derive(Default)]
struct OpenCase {
    result: TestResult,
    is_expected_to_fail: bool,
    /// The names of the sections that are open, below the name of the test case.
    path: Vec<String>,
    /// In one line each.
    failures: Vec<String>,
    skipped: Option<String>,
    expression: Option<Expression>,
    /// The place of the innermost element that has one.
    place: String,
    output: String,
}

/// An assertion.
#[derive(Default)]
struct Expression {
    has_failed: bool,
    macro_name: String,
    place: String,
    original: String,
    expanded: String,
    /// What was thrown, or the signal.
    message: Option<String>,
}

/// The test of an element.
pub(crate) fn test_of(element: &Element) -> TestResult {
    let name = element.get("name").unwrap_or_default().to_owned();
    TestResult {
        path: vec![name.clone()],
        name,
        file: element.get("filename").map(str::to_owned),
        line: element.number("line"),
        ..TestResult::default()
    }
}

fn place_of(element: &Element) -> String {
    match (element.get("filename"), element.get("line")) {
        (Some(file), Some(line)) => format!("{file}:{line}: "),
        _ => String::new(),
    }
}

impl CaseReader {
    pub(crate) fn take(&mut self, node: Node) {
        match node {
            Node::Text(text) => self.text.push_str(&text),
            Node::Open(element) => {
                self.text.clear();
                if element.name == "TestCase" {
                    let tags = element.get("tags").unwrap_or_default();
                    self.test = Some(OpenCase {
                        result: test_of(&element),
                        is_expected_to_fail: tags.contains("[!shouldfail]"),
                        ..OpenCase::default()
                    });
                } else if let Some(test) = &mut self.test {
                    test.open(&element);
                }
            }
            Node::Close(name) => {
                self.is_fatal |= name == "FatalErrorCondition";
                let text = std::mem::take(&mut self.text);
                match name.as_str() {
                    "TestCase" => self.results.extend(self.test.take().map(OpenCase::end)),
                    name => {
                        if let Some(test) = &mut self.test {
                            test.close(name, &text);
                        }
                    }
                }
            }
        }
    }
}

impl OpenCase {
    fn open(&mut self, element: &Element) {
        let is_true = |name| element.get(name) == Some("true");
        match element.name.as_str() {
            "Section" => {
                self.path
                    .push(element.get("name").unwrap_or_default().to_owned());
                self.open_section(element);
            }
            "Expression" => {
                self.expression = Some(Expression {
                    has_failed: element.get("success") == Some("false"),
                    macro_name: element.get("type").unwrap_or_default().to_owned(),
                    place: place_of(element),
                    ..Expression::default()
                });
            }
            "Exception" | "Failure" | "FatalErrorCondition" | "Skip" => {
                self.place = place_of(element);
            }
            "OverallResults" => {
                let count = |name| element.number::<u64>(name).unwrap_or_default();
                let verdict = match (count("failures"), count("expectedFailures")) {
                    (0, 0) if is_true("skipped") => Verdict::Skipped,
                    (0, 0) => Verdict::Passed,
                    (0, _) => Verdict::FailedAsExpected,
                    _ => Verdict::Failed,
                };
                if let Some(section) = self.section() {
                    section.verdict = section.verdict.max(verdict);
                    let own = seconds(element.get("durationInSeconds"));
                    section.duration = match (section.duration, own) {
                        (Some(before), Some(own)) => Some(before + own),
                        (before, own) => before.or(own),
                    };
                }
            }
            "OverallResult" => {
                let skips = element.number::<u64>("skips").unwrap_or_default();
                self.result.duration = seconds(element.get("durationInSeconds"));
                self.result.verdict = match is_true("success") {
                    false => Verdict::Failed,
                    true if !self.failures.is_empty() => Verdict::FailedAsExpected,
                    true if skips > 0 => Verdict::Skipped,
                    true => Verdict::Passed,
                };
            }
            _ => {}
        }
    }

    /// The result of the section that is open. A section that runs several times, for the sections
    /// or the generators in it, has one result.
    fn section(&mut self) -> Option<&mut TestResult> {
        let path = self.path.as_slice();
        let mut sections = self.result.sections.iter_mut();
        sections.rfind(|section| section.path.get(1..) == Some(path))
    }

    fn open_section(&mut self, element: &Element) {
        if self.section().is_some() || self.result.sections.len() >= MAX_SECTIONS {
            return;
        }
        let mut section = test_of(element);
        section.name.clone_from(&self.result.name);
        section.path = std::iter::once(&self.result.name)
            .chain(&self.path)
            .cloned()
            .collect();
        self.result.sections.push(section);
    }

    fn close(&mut self, name: &str, text: &str) {
        let message = || one_line(text);
        match name {
            "Section" => {
                self.path.pop();
            }
            "Original" | "Expanded" => {
                if let Some(expression) = &mut self.expression {
                    match name {
                        "Original" => expression.original = message(),
                        _ => expression.expanded = message(),
                    }
                }
            }
            "Expression" => {
                if let Some(expression) = self.expression.take().filter(|it| it.has_failed) {
                    self.fail(expression.describe());
                }
            }
            "Exception" | "FatalErrorCondition" => match &mut self.expression {
                Some(expression) => expression.message = Some(message()),
                None => {
                    let words = if name == "Exception" { "threw: " } else { "" };
                    self.fail(format!("{}{words}{}", self.place, message()));
                }
            },
            "Failure" => {
                let message = match message() {
                    message if message.is_empty() => "FAIL".to_owned(),
                    message => message,
                };
                self.fail(format!("{}{message}", self.place));
            }
            "Skip" => {
                let message = Some(message()).filter(|message| !message.is_empty());
                if let Some(section) = self.section() {
                    section.reason.clone_from(&message);
                }
                self.skipped = self.skipped.take().or(message);
            }
            "StdOut" | "StdErr" => self.output.push_str(text),
            _ => {}
        }
    }

    fn fail(&mut self, failure: String) {
        if let Some(section) = self.section() {
            section.reason.get_or_insert_with(|| failure.clone());
        }
        self.failures.push(failure);
    }

    fn end(self) -> TestResult {
        let mut result = self.result;
        result.reason = match (self.failures.as_slice(), result.verdict) {
            ([], Verdict::Failed) if self.is_expected_to_fail => {
                Some("passed, but was expected to fail".to_owned())
            }
            ([], Verdict::Skipped) => Some(self.skipped.unwrap_or_else(|| "skipped".to_owned())),
            ([], _) => None,
            ([first], _) => Some(first.clone()),
            ([first, more @ ..], _) => Some(match more.len() {
                1 => format!("{first} (and 1 more failure)"),
                more => format!("{first} (and {more} more failures)"),
            }),
        };
        result.failures = (!self.failures.is_empty()).then(|| self.failures.join("\n"));
        let output = self.output.trim_matches('\n');
        let is_shown = result.verdict == Verdict::Failed && !output.is_empty();
        result.output = is_shown.then(|| output.to_owned());
        result
    }
}

impl Expression {
    /// The assertion in one line: `t.cpp:3: CHECK(a == 2): 1 == 2`.
    fn describe(&self) -> String {
        // What crashed or threw outside of an assertion has no expression.
        let is_unknown = self.original.starts_with("{Unknown expression");
        let mut text = match (is_unknown, self.macro_name.is_empty()) {
            (true, _) => String::new(),
            (false, true) => self.original.clone(),
            (false, false) => format!("{}({})", self.macro_name, self.original),
        };
        let mut add = |part: &str| {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(part);
        };
        if !is_unknown && self.expanded != self.original && !self.expanded.is_empty() {
            add(&self.expanded);
        }
        if let Some(message) = &self.message {
            add(message);
        }
        format!("{}{text}", self.place)
    }
}
