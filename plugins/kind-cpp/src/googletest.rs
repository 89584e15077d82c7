//! Owns what GoogleTest reads and writes: filters, lists, reports in XML, and the lines that a
//! program prints while its tests run. The forms are those of GoogleTest 1.10 to 1.17.

use crate::listed::ListedTest;
use crate::xml::{Element, Node, Nodes};
use persea_exec_command::results::{TestResult, Verdict, one_line, seconds};

/// The longest output of a test that is kept for the reason of a failure, in bytes.
const LONGEST_TEXT: usize = 16 << 10;

/// The longest line of which all is kept, in bytes. The end of a longer one is kept, because it may
/// be the line after a test.
const LONGEST_LINE: usize = 64 << 10;

/// The beginning of the line before a test.
const RUN: &str = "[ RUN      ] ";

/// The beginnings of the line after a test.
const ENDS: [(&str, Verdict); 3] = [
    ("[       OK ] ", Verdict::Passed),
    ("[  FAILED  ] ", Verdict::Failed),
    ("[  SKIPPED ] ", Verdict::Skipped),
];

/// The name of a test in a filter. Characters with a meaning in filters become `?`, which stands
/// for any character.
pub(crate) fn escaped(name: &str) -> String {
    name.replace(['*', ':', '-'], "?")
}

/// Whether the name says that the test does not run.
pub(crate) fn is_disabled(name: &str) -> bool {
    let (suite, test) = name.split_once('.').unwrap_or((name, ""));
    suite.starts_with("DISABLED_") || suite.contains("/DISABLED_") || test.starts_with("DISABLED_")
}

/// Reads a list of tests in XML.
///
/// # Errors
/// What is wrong with it, for people.
pub(crate) fn read_list(list: &str) -> Result<Vec<ListedTest>, String> {
    let mut tests = Vec::new();
    let mut suite = String::new();
    let mut is_whole = false;
    for node in Nodes::new(list) {
        match node {
            Node::Open(element) => match element.name.as_str() {
                "testsuite" => suite = element.get("name").unwrap_or_default().to_owned(),
                "testcase" => {
                    let name = element.get("name").unwrap_or_default();
                    tests.push(ListedTest {
                        name: format!("{suite}.{name}"),
                        tags: Vec::new(),
                    });
                }
                _ => {}
            },
            Node::Close(name) => is_whole |= name == "testsuites",
            Node::Text(_) => {}
        }
    }
    match is_whole {
        true => Ok(tests),
        false => Err("its list of tests is broken off".to_owned()),
    }
}

/// Reads a report; none where it is broken off or missing.
pub(crate) fn read_report(report: &str) -> Option<Vec<TestResult>> {
    let mut results = Vec::new();
    let mut suite = String::new();
    let mut test: Option<ReportedTest> = None;
    let mut is_whole = false;
    for node in Nodes::new(report) {
        match node {
            Node::Open(element) => match element.name.as_str() {
                "testsuite" => suite = element.get("name").unwrap_or_default().to_owned(),
                "testcase" => test = Some(ReportedTest::new(&suite, &element)),
                "failure" | "skipped" => {
                    let message = element.get("message").unwrap_or_default().to_owned();
                    if let Some(test) = &mut test {
                        match element.name.as_str() {
                            "failure" => test.failures.push(message),
                            _ => test.skipped = Some(message),
                        }
                    }
                }
                _ => {}
            },
            Node::Close(name) => match name.as_str() {
                "testcase" => results.extend(test.take().map(ReportedTest::result)),
                "testsuites" => is_whole = true,
                _ => {}
            },
            Node::Text(_) => {}
        }
    }
    is_whole.then_some(results)
}

/// A test of a report while it is read.
struct ReportedTest {
    result: TestResult,
    has_run: bool,
    is_skipped: bool,
    is_disabled: bool,
    failures: Vec<String>,
    skipped: Option<String>,
}

impl ReportedTest {
    fn new(suite: &str, element: &Element) -> Self {
        let name = element.get("name").unwrap_or_default();
        // What fails in the set-up or tear-down of a suite is a test without a name.
        let shown = match name {
            "" => "(set-up or tear-down)",
            name => name,
        };
        let result = element.get("result").unwrap_or_default();
        Self {
            has_run: element.get("status") != Some("notrun"),
            is_skipped: result == "skipped",
            is_disabled: result == "suppressed",
            failures: Vec::new(),
            skipped: None,
            result: TestResult {
                name: format!("{suite}.{name}"),
                path: vec![suite.to_owned(), shown.to_owned()],
                duration: seconds(element.get("time")),
                file: element.get("file").map(str::to_owned),
                line: element.number("line"),
                class: Some(suite.to_owned()),
                ..TestResult::default()
            },
        }
    }

    fn result(self) -> TestResult {
        let mut result = self.result;
        let (verdict, reason) = match self.failures.as_slice() {
            [first, more @ ..] => {
                let more = match more.len() {
                    0 => String::new(),
                    1 => " (and 1 more failure)".to_owned(),
                    more => format!(" (and {more} more failures)"),
                };
                (Verdict::Failed, Some(format!("{}{more}", reason(first))))
            }
            [] if self.is_disabled => (Verdict::Skipped, Some("disabled".to_owned())),
            [] if !self.has_run => (Verdict::Skipped, Some("not run".to_owned())),
            [] if self.is_skipped => {
                let message = self.skipped.as_deref().unwrap_or_default();
                let message = message.split_once('\n').map_or("", |(_, message)| message);
                let message = match one_line(message) {
                    message if message.is_empty() => "skipped".to_owned(),
                    message => message,
                };
                (Verdict::Skipped, Some(message))
            }
            [] => (Verdict::Passed, None),
        };
        result.verdict = verdict;
        result.reason = reason;
        result.failures = (!self.failures.is_empty()).then(|| self.failures.join("\n\n"));
        result
    }
}

/// The message of a failure in one line: its place, then its text.
fn reason(message: &str) -> String {
    let (place, text) = message.split_once('\n').unwrap_or((message, ""));
    match one_line(text) {
        text if text.is_empty() => place.to_owned(),
        text => format!("{place}: {text}"),
    }
}

/// The lines that a running program prints.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Bytes of a line that is not complete.
    rest: Vec<u8>,
    /// The name of the test that runs.
    running: Option<String>,
    /// What was printed since the test began.
    text: String,
    has_begun: bool,
}

impl Progress {
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<TestResult> {
        self.rest.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.rest);
        let mut results = Vec::new();
        let mut lines = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            if lines.peek().is_none() {
                self.rest = line.to_vec();
            } else {
                results.extend(self.line(&String::from_utf8_lossy(line)));
            }
        }
        if let Some(surplus) = self.rest.len().checked_sub(LONGEST_LINE) {
            self.rest.drain(..surplus);
        }
        results
    }

    fn line(&mut self, line: &str) -> Option<TestResult> {
        self.has_begun |= line.starts_with("[==========] ");
        if let Some((_, name)) = line.split_once(RUN) {
            self.running = Some(name.trim_end().to_owned());
            self.text.clear();
            return None;
        }
        let name = self.running.as_ref()?;
        // What a test has printed without an end of line comes before the marker.
        let end = ENDS.into_iter().find_map(|(marker, verdict)| {
            let (_, rest) = line.rsplit_once(marker)?;
            let rest = rest.strip_prefix(name.as_str())?;
            let is_end = rest.is_empty() || rest.starts_with([' ', ',']);
            is_end.then(|| (verdict, rest.to_owned()))
        });
        let Some((verdict, rest)) = end else {
            if self.text.len() < LONGEST_TEXT {
                self.text.push_str(line);
                self.text.push('\n');
            }
            return None;
        };
        let mut result = self.running()?;
        self.running = None;
        result.verdict = verdict;
        let time = rest.rsplit_once('(').map_or("", |(_, time)| time);
        let time: Option<u64> = time.split(' ').next().and_then(|time| time.parse().ok());
        result.duration = time.map(std::time::Duration::from_millis);
        result.reason = match verdict {
            Verdict::Failed => printed(&self.text, ": Failure"),
            Verdict::Skipped => printed(&self.text, ": Skipped"),
            Verdict::Passed | Verdict::FailedAsExpected | Verdict::Unknown => None,
        };
        result.failures = (verdict == Verdict::Failed).then(|| self.text.clone());
        Some(result)
    }

    pub(crate) fn running(&self) -> Option<TestResult> {
        self.running.as_deref().map(test_of)
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }
}

/// A test of which only the name is known.
pub(crate) fn test_of(name: &str) -> TestResult {
    let (suite, test) = name.split_once('.').unwrap_or(("", name));
    TestResult {
        name: name.to_owned(),
        path: vec![suite.to_owned(), test.to_owned()],
        class: Some(suite.to_owned()),
        ..TestResult::default()
    }
}

/// The first message in what a test has printed, in one line.
fn printed(text: &str, marker: &str) -> Option<String> {
    let mut lines = text.lines();
    let place = lines.find_map(|line| line.strip_suffix(marker))?;
    let is_same = |line: &&str| !line.ends_with(marker);
    let message: Vec<&str> = lines.take_while(is_same).collect();
    let message = one_line(&message.join("\n"));
    Some(match (marker, message.is_empty()) {
        (_, true) => place.to_owned(),
        (": Skipped", false) => message,
        (_, false) => format!("{place}: {message}"),
    })
}

/// The suites whose set-up or tear-down has failed, in what a program has printed at its end. The
/// reports of GoogleTest before 1.13 lack them.
pub(crate) fn failed_suites(stdout: &str) -> Option<String> {
    let of_suite = |line: &str| {
        let rest = line.strip_prefix("[  FAILED  ] ")?;
        rest.ends_with("SetUpTestSuite or TearDownTestSuite")
            .then(|| rest.to_owned())
    };
    let found: Vec<String> = stdout.lines().filter_map(of_suite).collect();
    (!found.is_empty()).then(|| found.join("; "))
}

#[cfg(test)]
mod tests;
