//! Owns what bats prints without a formatter (`--formatter cat`): TAP, with a line when a test
//! begins. The form is that of bats 1.3 to 1.13. A test can print to the same place (file
//! descriptor 3), so that a line counts only where it is about the test that runs.

use std::collections::BTreeMap;
use std::time::Duration;

use persea_exec_command::LineBuffer;
use persea_exec_command::results::{TestResult, Verdict, one_line, shown};

/// The names of results that are about no test.
const FIXTURES: [&str; 4] = [
    "setup_file",
    "teardown_file",
    "setup_suite",
    "teardown_suite",
];

/// The longest part of a reason that is output of the test, in characters.
const SHOWN: usize = 300;

/// The largest text of one result, in bytes: 256 KiB.
const LARGEST: usize = 256 << 10;

/// The longest line, in bytes: 1 MiB. What follows is another line.
const LONGEST_LINE: usize = 1 << 20;

/// The output of bats for one file.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    lines: LineBuffer<LONGEST_LINE>,
    planned: Option<u64>,
    /// The tests that have begun and have no result, by their numbers.
    running: BTreeMap<u64, String>,
    /// How many tests have a result.
    ended: u64,
    /// The last result, whose text comes after it.
    last: Option<Last>,
    /// Lines that belong to no result.
    outside: String,
    results: Vec<TestResult>,
}

/// A result and its text.
#[derive(Debug)]
struct Last {
    result: TestResult,
    text: String,
}

impl Stream {
    /// Takes what bats has printed since the last call. Returns the results that are complete.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<TestResult> {
        for line in self.lines.take(bytes).iter() {
            self.add_line(&String::from_utf8_lossy(line));
        }
        std::mem::take(&mut self.results)
    }

    /// Ends the stream. Returns the results that were not returned yet.
    pub(crate) fn finish(&mut self) -> Vec<TestResult> {
        for line in self.lines.finish().iter() {
            self.add_line(&String::from_utf8_lossy(line));
        }
        self.settle();
        std::mem::take(&mut self.results)
    }

    /// How many tests bats has announced.
    pub(crate) fn planned(&self) -> Option<u64> {
        self.planned
    }

    /// How many tests have a result.
    pub(crate) fn ended(&self) -> u64 {
        self.ended
    }

    /// The names of the tests that have begun and have no result.
    pub(crate) fn running(&self) -> impl Iterator<Item = &String> {
        self.running.values()
    }

    /// The lines that belong to no result.
    pub(crate) fn outside(&self) -> &str {
        &self.outside
    }

    fn add_line(&mut self, line: &str) {
        if self.planned.is_none() {
            self.planned = line
                .strip_prefix("1..")
                .and_then(|count| count.parse().ok());
            if self.planned.is_some() {
                return;
            }
        }
        if let Some((number, name)) = line.strip_prefix("begin ").and_then(numbered)
            && number == self.ended + 1 + self.running.len() as u64
        {
            self.settle();
            self.running.insert(number, name.to_owned());
            return;
        }
        if let Some(last) = self.read_result(line) {
            self.settle();
            self.last = Some(last);
            return;
        }
        // Bats itself counts at the end; that belongs to no test.
        if line.starts_with("# bats warning: ") {
            self.settle();
        }
        match (&mut self.last, line.strip_prefix('#')) {
            (Some(last), Some(text)) if last.text.len() < LARGEST => {
                last.text.push_str(text.strip_prefix(' ').unwrap_or(text));
                last.text.push('\n');
            }
            (Some(_), Some(_)) => {}
            (_, text) => {
                let is_head = line.starts_with("suite ");
                if !is_head && self.outside.len() < LARGEST {
                    self.outside.push_str(text.map_or(line, str::trim_start));
                    self.outside.push('\n');
                }
            }
        }
    }

    /// Reads the result of a test that runs, or of a fixture.
    fn read_result(&mut self, line: &str) -> Option<Last> {
        let (has_passed, rest) = match line.strip_prefix("not ok ") {
            Some(rest) => (false, rest),
            None => (true, line.strip_prefix("ok ")?),
        };
        let (number, rest) = numbered(rest)?;
        let name = self.running.get(&number).cloned();
        let (name, rest) = match name.and_then(|name| Some((rest.strip_prefix(&*name)?, name))) {
            Some((rest, name)) => {
                self.running.remove(&number);
                self.ended += 1;
                (name, rest)
            }
            None => {
                let name = rest.strip_suffix(" failed").unwrap_or(rest);
                let is_fixture = !has_passed && FIXTURES.contains(&name);
                (is_fixture.then(|| name.to_owned())?, "")
            }
        };
        let (timing, skip) = match rest.split_once(" # skip") {
            Some((timing, reason)) => (timing, Some(reason.trim())),
            None => (rest, None),
        };
        let (verdict, reason) = match (has_passed, skip) {
            (true, Some("")) => (Verdict::Skipped, Some("skipped".to_owned())),
            (true, Some(reason)) => (Verdict::Skipped, Some(reason.to_owned())),
            (true, None) => (Verdict::Passed, None),
            (false, _) => (Verdict::Failed, None),
        };
        let result = TestResult {
            path: vec![name.clone()],
            name,
            verdict,
            reason,
            duration: duration(timing),
            ..TestResult::default()
        };
        Some(Last {
            result,
            text: String::new(),
        })
    }

    /// Moves the last result, whose text is complete, to the results.
    fn settle(&mut self) {
        if let Some(last) = self.last.take() {
            self.results.push(last.result());
        }
    }
}

/// Reads a number and what follows it.
fn numbered(text: &str) -> Option<(u64, &str)> {
    let (number, rest) = text.split_once(' ')?;
    Some((number.parse().ok()?, rest))
}

/// Reads the time of a test: ` in 12ms`, ` in 3sec`.
fn duration(text: &str) -> Option<Duration> {
    let time = text.trim().strip_prefix("in ")?;
    if let Some(milliseconds) = time.strip_suffix("ms") {
        return milliseconds.parse().ok().map(Duration::from_millis);
    }
    let seconds = time.strip_suffix("sec")?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

impl Last {
    fn result(self) -> TestResult {
        let Self { mut result, text } = self;
        if result.verdict != Verdict::Failed {
            result.output = Some(text).filter(|text| !text.is_empty());
            return result;
        }
        let mut place = None;
        let mut command = None;
        let mut output = Vec::new();
        let mut is_trace = true;
        for line in text.lines() {
            // `(in test file t.bats, line 6)`, or several lines from the innermost function.
            if is_trace && line.starts_with(['(', ' ']) && command.is_none() {
                place = read_place(line).or(place);
                let shown = line.trim();
                if shown.starts_with('`') {
                    command = Some(shown.to_owned());
                }
            } else {
                is_trace = false;
                output.push(line);
            }
        }
        let output = shown(&one_line(&output.join("\n")), SHOWN);
        let reason = match (&place, &command) {
            (Some((file, line)), Some(command)) => format!("{file}:{line}: {command}"),
            (None, Some(command)) => command.clone(),
            (Some((file, line)), None) => format!("{file}:{line}"),
            (None, None) => String::new(),
        };
        result.reason = Some(match (reason.is_empty(), output.is_empty()) {
            (false, true) => reason,
            (true, false) => output,
            (false, false) => format!("{reason}; {output}"),
            (true, true) => "it failed without a message".to_owned(),
        });
        if let Some((file, line)) = place {
            (result.file, result.line) = (Some(file), Some(line));
        }
        result.failures = Some(text);
        result
    }
}

/// Reads the place in a line such as `(in test file t.bats, line 6)`.
fn read_place(line: &str) -> Option<(String, i64)> {
    let (_, rest) = line
        .split_once("in test file ")
        .or_else(|| line.split_once("in file "))?;
    let (file, rest) = rest.rsplit_once(", line ")?;
    let number = rest.trim_end_matches([')', ',']);
    Some((file.to_owned(), number.parse().ok()?))
}

#[cfg(test)]
mod tests;
