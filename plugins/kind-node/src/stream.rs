//! Owns the report of a process: lines of JSON that `persea_node_report.js` writes while the tests
//! run. Node reports a test after its subtests, in the order of the file.

use std::time::Duration;

use persea_exec_command::LineBuffer;
use persea_exec_command::results::{TestResult, Verdict, one_line};
use serde::Deserialize;

/// The kind of a failure whose reason is that of a subtest.
const OF_SUBTESTS: &str = "subtestsFailed";

/// Node's kind of failure of a test that did not end.
const CANCELLED: &str = "cancelledByParent";

/// The report of one process.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Without a limit: the session ends a report whose line is too long.
    lines: LineBuffer<{ usize::MAX }>,
    /// The tests whose subtests are reported, the outermost first.
    open: Vec<OpenTest>,
    /// The tests that run, with their levels, in the order in which they began.
    running: Vec<(usize, String)>,
    has_begun: bool,
    is_idle: bool,
    is_whole: bool,
    /// The first line that is no report.
    mistake: Option<String>,
}

#[derive(Debug)]
struct OpenTest {
    name: String,
    has_subtests: bool,
}

/// A reported result.
#[derive(Debug, PartialEq)]
pub(crate) struct Reported {
    pub(crate) result: TestResult,
    /// Whether the tally counts it: not suites, nor tests that only fail because of a subtest.
    pub(crate) is_counted: bool,
}

/// A line of the report.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    nesting: usize,
    file: Option<String>,
    line: Option<i64>,
    /// True, or a reason.
    skip: Option<serde_json::Value>,
    todo: Option<serde_json::Value>,
    suite: bool,
    milliseconds: Option<f64>,
    error: Option<Failure>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Failure {
    kind: String,
    message: String,
    stack: Option<String>,
}

impl Stream {
    /// Takes what the process has reported since the last call. Returns the results in it.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Reported> {
        let mut results = Vec::new();
        for line in self.lines.take(bytes).iter() {
            match serde_json::from_slice::<Line>(line) {
                Ok(read) => results.extend(self.apply(read)),
                Err(_) => {
                    let text = String::from_utf8_lossy(line).into_owned();
                    self.mistake.get_or_insert(text);
                }
            }
        }
        results
    }

    /// Whether a test has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether the process came to its end by itself, not by a call of `process.exit`.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// Whether all tests are reported.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The first line that is no report.
    pub(crate) fn mistake(&self) -> Option<&str> {
        self.mistake.as_deref()
    }

    /// How many bytes are kept until their line ends.
    pub(crate) fn kept(&self) -> usize {
        self.lines.kept()
    }

    /// The path of the test that runs; none where several run side by side, because nobody knows
    /// then whose subtests they are.
    pub(crate) fn running(&self) -> Option<Vec<String>> {
        let is_one = |(at, (level, _)): (usize, &(usize, String))| at == *level;
        let is_path = self.running.iter().enumerate().all(is_one);
        let path = self.running.iter().map(|(_, name)| name.clone());
        (is_path && !self.running.is_empty()).then(|| path.collect())
    }

    fn apply(&mut self, line: Line) -> Option<Reported> {
        match line.kind.as_str() {
            "idle" => self.is_idle = true,
            "end" => self.is_whole = true,
            "dequeue" => {
                self.has_begun = true;
                self.running.push((line.nesting, line.name));
            }
            "start" => {
                self.has_begun = true;
                self.open.truncate(line.nesting);
                if let Some(parent) = self.open.last_mut() {
                    parent.has_subtests = true;
                }
                self.open.push(OpenTest {
                    name: line.name,
                    has_subtests: false,
                });
            }
            "complete" => self.stop(&line),
            "pass" | "fail" => {
                self.has_begun = true;
                self.stop(&line);
                return Some(self.result(line));
            }
            _ => {}
        }
        None
    }

    /// A test runs no more.
    fn stop(&mut self, line: &Line) {
        let is_it = |(level, name): &(usize, String)| *level == line.nesting && *name == line.name;
        if let Some(at) = self.running.iter().position(is_it) {
            self.running.remove(at);
        }
    }

    fn result(&mut self, line: Line) -> Reported {
        let above = self.open.iter().take(line.nesting);
        let mut path: Vec<String> = above.map(|open| open.name.clone()).collect();
        path.push(line.name.clone());
        let own = self.open.get(line.nesting);
        let has_subtests = own.is_some_and(|own| own.has_subtests && own.name == line.name);
        self.open.truncate(line.nesting);
        let file = line.file.map(|file| match file.strip_prefix("file://") {
            Some(path) => path.to_owned(),
            None => file,
        });
        let mut result = TestResult {
            name: path.join(" > "),
            path,
            duration: line.milliseconds.and_then(milliseconds),
            file: file.clone(),
            line: line.line,
            ..TestResult::default()
        };
        let is_own = match (line.kind.as_str(), &line.error) {
            ("fail", Some(failure)) => {
                result.verdict = Verdict::Failed;
                failure.describe(&mut result);
                failure.kind != OF_SUBTESTS
            }
            ("fail", None) => {
                result.verdict = Verdict::Failed;
                true
            }
            _ => !line.suite && !has_subtests,
        };
        if let Some(todo) = noted(line.todo.as_ref()) {
            // Node counts such a test neither as passed nor as failed.
            match result.verdict {
                Verdict::Failed => result.verdict = Verdict::FailedAsExpected,
                _ => {
                    result.verdict = Verdict::Skipped;
                    result.reason = Some(match todo.as_str() {
                        "" => "todo".to_owned(),
                        todo => format!("todo: {todo}"),
                    });
                }
            }
        } else if let (Some(skip), Verdict::Passed) = (noted(line.skip.as_ref()), result.verdict) {
            result.verdict = Verdict::Skipped;
            result.reason = Some(match skip.is_empty() {
                true => "skipped".to_owned(),
                false => skip,
            });
        }
        let is_skipped = result.verdict == Verdict::Skipped;
        Reported {
            is_counted: is_own || (is_skipped && !has_subtests),
            result,
        }
    }
}

/// The reason of `skip` or `todo`; empty where it is only true, none where it is not set.
fn noted(value: Option<&serde_json::Value>) -> Option<String> {
    match value? {
        serde_json::Value::Bool(true) => Some(String::new()),
        serde_json::Value::String(reason) => Some(one_line(reason)),
        _ => None,
    }
}

fn milliseconds(time: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(time / 1_000.0).ok()
}

impl Failure {
    /// Adds the reason of a failure, and its place in the test file.
    fn describe(&self, result: &mut TestResult) {
        let message = match self.kind.as_str() {
            CANCELLED => format!("cancelled: {}", one_line(&self.message)),
            _ => one_line(&self.message),
        };
        let stack = self.stack.as_deref().unwrap_or_default();
        let place = result.file.as_ref().and_then(|file| {
            let line = place(stack, file)?;
            let name = file.rsplit('/').next().unwrap_or(file);
            result.line = Some(line);
            Some(format!("{name}:{line}: "))
        });
        result.reason = Some(format!("{}{message}", place.unwrap_or_default()));
        result.failures = self.stack.clone();
    }
}

/// Reads the first line of a stack that is in a file: `at f (file:///w/a.test.mjs:4:34)`.
fn place(stack: &str, file: &str) -> Option<i64> {
    let mut frames = stack
        .lines()
        .filter(|line| line.trim_start().starts_with("at "));
    frames.find_map(|frame| {
        let (_, rest) = frame.split_once(file)?;
        let (line, _) = rest.strip_prefix(':')?.split_once(':')?;
        line.parse().ok()
    })
}

#[cfg(test)]
mod tests;
