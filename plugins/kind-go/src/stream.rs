//! Owns what a test binary prints with `-test.v`, read while it runs: which tests have begun, which
//! have ended and how, and which output is whose. The rules are those of `go tool test2json`. Go
//! 1.20 and later mark their lines, so that no output is taken for a result; earlier ones indent
//! subtests. Does not know about processes.

mod test;

use std::collections::HashMap;

use persea_exec_command::LineBuffer;
use persea_exec_command::results::{TestResult, Verdict, seconds};

use crate::reason::Package;
use test::{OpenTest, TestState};

/// The byte before each line of the test framework since Go 1.20.
const MARK: char = '\u{16}';

/// The characters around the text of a failure since Go 1.27.
const ERROR_BEGIN: char = '\u{f}';
const ERROR_END: char = '\u{e}';

/// The indentation of a level of subtests in lines without a mark.
const INDENTATION: &str = "    ";

/// The longest line, in bytes: 1 MiB. What follows is another line.
const LONGEST_LINE: usize = 1 << 20;

/// The output of one process.
#[derive(Debug)]
pub(crate) struct Stream {
    package: Package,
    lines: LineBuffer<LONGEST_LINE>,
    is_marked: bool,
    /// The tests that have begun, without those whose results were taken, by their full names.
    tests: HashMap<String, OpenTest>,
    /// The number of tests that have begun.
    begun: u64,
    /// Whether a top-level test in `tests` has a result.
    has_ended: bool,
    /// The test whose output comes.
    current: Option<String>,
    /// The last results by their indentation, to which indented output belongs.
    reported: Vec<String>,
    /// Output that belongs to no test.
    outside: String,
    /// Whether the tests have passed, once the framework has said that they have ended.
    end: Option<bool>,
    results: Vec<TestResult>,
}

/// A line of the framework.
#[derive(Debug, PartialEq)]
enum Line<'a> {
    Run(&'a str),
    Pause(&'a str),
    /// The test whose output comes now; empty for none.
    Continue(&'a str),
    Result {
        name: &'a str,
        verdict: Verdict,
        seconds: &'a str,
        /// The level of a subtest in lines without a mark.
        level: usize,
    },
    End {
        has_passed: bool,
    },
}

impl Stream {
    pub(crate) fn new(package: Package) -> Self {
        Self {
            package,
            lines: LineBuffer::default(),
            is_marked: false,
            tests: HashMap::new(),
            begun: 0,
            has_ended: false,
            current: None,
            reported: Vec::new(),
            outside: String::new(),
            end: None,
            results: Vec::new(),
        }
    }

    /// Takes what the process has printed since the last call. Returns the top-level tests that
    /// have ended, with their subtests as sections.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<TestResult> {
        for line in self.lines.take(bytes).iter() {
            self.add_line(&String::from_utf8_lossy(line));
        }
        std::mem::take(&mut self.results)
    }

    /// Ends the stream. Returns the tests that have ended and were not returned yet.
    pub(crate) fn finish(&mut self) -> Vec<TestResult> {
        for line in self.lines.finish().iter() {
            self.add_line(&String::from_utf8_lossy(line));
        }
        self.settle();
        std::mem::take(&mut self.results)
    }

    /// Whether the tests have passed, once the framework has said that all have ended.
    pub(crate) fn end(&self) -> Option<bool> {
        self.end
    }

    /// Whether a test has begun or the framework has ended.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun > 0 || self.end.is_some()
    }

    /// The output that belongs to no test.
    pub(crate) fn outside(&self) -> &str {
        &self.outside
    }

    /// The paths of the tests that run now, in the order in which they began: neither those that
    /// wait for others nor those of which a subtest runs.
    pub(crate) fn running(&self) -> Vec<Vec<String>> {
        let is_open = |test: &&OpenTest| test.state == TestState::Running;
        let mut running: Vec<&OpenTest> = self.tests.values().filter(is_open).collect();
        running.sort_unstable_by_key(|test| test.number);
        let is_parent = |test: &OpenTest| {
            let mut all = running.iter();
            all.any(|other| other.parent.as_ref() == Some(&test.name))
        };
        let leaves = running.iter().filter(|test| !is_parent(test));
        leaves.map(|test| self.path(test)).collect()
    }

    /// The top-level tests without a result, in the order in which they began, each with its
    /// subtests so far. A test that waits for others is not among them.
    pub(crate) fn unfinished(&self) -> Vec<TestResult> {
        let is_one = |test: &&OpenTest| test.parent.is_none() && !self.waits(test);
        let mut open: Vec<&OpenTest> = self.tests.values().filter(is_one).collect();
        open.sort_unstable_by_key(|test| test.number);
        open.into_iter().map(|test| self.result(test)).collect()
    }

    /// What a test that has no result yet has printed, with the output of its subtests.
    pub(crate) fn output_of(&self, name: &str) -> String {
        let is_its = |test: &&OpenTest| {
            let rest = test.name.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mut all: Vec<&OpenTest> = self.tests.values().filter(is_its).collect();
        all.sort_unstable_by_key(|test| test.number);
        all.iter().map(|test| test.output.as_str()).collect()
    }

    /// Whether a test is paused by `t.Parallel`.
    fn waits(&self, test: &OpenTest) -> bool {
        test.state == TestState::Paused
    }

    fn add_line(&mut self, line: &str) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let marked = line.match_indices(MARK).find_map(|(at, mark)| {
            let (before, rest) = line.split_at_checked(at)?;
            let read = read_line(rest.strip_prefix(mark)?, true)?;
            Some((before, read))
        });
        if let Some((before, read)) = marked {
            self.is_marked = true;
            if !before.is_empty() {
                self.add_output(before);
            }
            self.apply(read);
            return;
        }
        if self.is_marked {
            self.add_output(line);
            return;
        }
        match read_line(line, false) {
            Some(Line::Result { name, level, .. }) if !self.may_end(name, level) => {
                self.add_output(line);
            }
            Some(read) => self.apply(read),
            None => match self.late_line(line) {
                Some((before, read)) => {
                    self.add_output(before);
                    self.apply(read);
                }
                None => self.add_output(line),
            },
        }
    }

    /// Whether a line without a mark can be the result of a test: of one that has begun, or of a
    /// subtest of the one reported before it.
    fn may_end(&self, name: &str, level: usize) -> bool {
        let above = level.checked_sub(1).and_then(|at| self.reported.get(at));
        let is_below = above.is_some_and(|above| is_subtest(name, above));
        let is_open = self.tests.get(name).is_some_and(OpenTest::is_open);
        level <= self.reported.len() && (is_open || (is_below && !self.tests.contains_key(name)))
    }

    /// Reads a line of the framework after half a line that a test has printed.
    fn late_line<'a>(&self, line: &'a str) -> Option<(&'a str, Line<'a>)> {
        let late = |begin: &str| {
            let (at, _) = line.rmatch_indices(begin).next()?;
            let (before, rest) = line.split_at_checked(at)?;
            Some((before, read_line(rest, false)?))
        };
        match late("--- ").or_else(|| late("=== RUN   "))? {
            (before, read @ Line::Result { name, .. }) if self.may_end(name, 0) => {
                Some((before, read))
            }
            (before, read @ Line::Run(name)) => {
                let current = self.current.as_ref()?;
                is_subtest(name, current).then_some((before, read))
            }
            _ => None,
        }
    }

    fn apply(&mut self, line: Line<'_>) {
        if !matches!(line, Line::Result { .. }) {
            self.reported.clear();
        }
        match line {
            Line::Run(name) => {
                self.settle();
                self.begin(name);
            }
            Line::Pause(name) => {
                self.settle();
                self.set_state(name, TestState::Paused);
                self.current = None;
            }
            Line::Continue(name) => {
                self.settle();
                self.set_state(name, TestState::Running);
                self.current = Some(name.to_owned()).filter(|name| !name.is_empty());
            }
            Line::Result {
                name,
                verdict,
                seconds: duration,
                level,
            } => {
                if level == 0 {
                    self.settle();
                }
                if !self.tests.contains_key(name) {
                    self.begin(name);
                }
                if let Some(test) = self.tests.get_mut(name) {
                    test.state = TestState::Ended(verdict, seconds(Some(duration)));
                    self.has_ended |= test.parent.is_none();
                }
                self.reported.truncate(level);
                self.reported.push(name.to_owned());
                self.current = Some(name.to_owned());
            }
            Line::End { has_passed } => {
                self.settle();
                self.current = None;
                self.end = Some(has_passed);
            }
        }
    }

    fn begin(&mut self, name: &str) {
        let ends = name.match_indices('/').map(|(end, _)| end).rev();
        let parents = ends.filter_map(|end| name.get(..end));
        let mut parents = parents.filter(|parent| self.tests.contains_key(*parent));
        let parent = parents.next().map(str::to_owned);
        let test = OpenTest::new(name, parent, self.begun);
        self.begun += 1;
        self.tests.insert(name.to_owned(), test);
        self.current = Some(name.to_owned());
    }

    fn set_state(&mut self, name: &str, state: TestState) {
        if let Some(test) = self.tests.get_mut(name)
            && test.is_open()
        {
            test.state = state;
        }
    }

    fn add_output(&mut self, line: &str) {
        if !self.is_marked {
            let level = level_of(line).0;
            let reported = level.checked_sub(1).and_then(|at| self.reported.get(at));
            if let Some(name) = reported {
                self.current = Some(name.clone());
            }
        }
        let current = self.current.as_ref();
        match current.and_then(|name| self.tests.get_mut(name)) {
            Some(test) => test.add(line),
            None => test::append(&mut self.outside, line),
        }
    }

    /// Moves the top-level tests that have ended to the results.
    fn settle(&mut self) {
        if !std::mem::take(&mut self.has_ended) {
            return;
        }
        let is_ended = |test: &&OpenTest| test.parent.is_none() && !test.is_open();
        let mut ended: Vec<&OpenTest> = self.tests.values().filter(is_ended).collect();
        ended.sort_unstable_by_key(|test| test.number);
        let results: Vec<TestResult> = ended.into_iter().map(|test| self.result(test)).collect();
        for result in &results {
            self.remove(result);
        }
        self.results.extend(results);
    }

    fn remove(&mut self, result: &TestResult) {
        self.tests.remove(&result.name);
        for section in &result.sections {
            self.remove(section);
        }
    }

    /// The result of a test with those of its subtests.
    fn result(&self, test: &OpenTest) -> TestResult {
        let prefix = format!("{}/", test.name);
        let is_below = |other: &&OpenTest| other.name.starts_with(&prefix);
        let mut below: Vec<&OpenTest> = self.tests.values().filter(is_below).collect();
        below.sort_unstable_by_key(|test| test.number);
        let mut children: HashMap<&str, Vec<&OpenTest>> = HashMap::new();
        for other in below {
            let parent = other.parent.as_deref().unwrap_or_default();
            children.entry(parent).or_default().push(other);
        }
        test.result(&children, &[], &self.package)
    }

    fn path(&self, test: &OpenTest) -> Vec<String> {
        let mut path = vec![test.own_name().to_owned()];
        let mut above = test.parent.as_ref();
        while let Some(parent) = above.and_then(|name| self.tests.get(name)) {
            path.push(parent.own_name().to_owned());
            above = parent.parent.as_ref();
        }
        path.reverse();
        path
    }
}

/// Whether a name is that of a subtest of a test, or of one below it.
fn is_subtest(name: &str, of: &str) -> bool {
    let rest = name.strip_prefix(of);
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// Divides a line into the levels of its indentation and the rest.
fn level_of(line: &str) -> (usize, &str) {
    let (mut level, mut rest) = (0, line);
    while let Some(inner) = rest.strip_prefix(INDENTATION) {
        (level, rest) = (level + 1, inner);
    }
    (level, rest)
}

/// Reads a line of the framework.
fn read_line(line: &str, is_marked: bool) -> Option<Line<'_>> {
    for (begin, read) in [
        ("=== RUN   ", Line::Run as fn(_) -> _),
        ("=== PAUSE ", Line::Pause),
        ("=== CONT  ", Line::Continue),
        ("=== NAME  ", Line::Continue),
    ] {
        if let Some(name) = line.strip_prefix(begin) {
            return Some(read(name));
        }
    }
    match line {
        "PASS" => return Some(Line::End { has_passed: true }),
        "FAIL" => return Some(Line::End { has_passed: false }),
        _ => {}
    }
    let (level, rest) = level_of(line);
    let rest = rest.strip_prefix("--- ")?;
    let (verdict, rest) = rest.split_once(": ")?;
    let verdict = match verdict {
        "PASS" => Verdict::Passed,
        "FAIL" => Verdict::Failed,
        "SKIP" => Verdict::Skipped,
        _ => return None,
    };
    let (name, rest) = rest.rsplit_once(" (")?;
    Some(Line::Result {
        name,
        verdict,
        seconds: rest.strip_suffix("s)")?,
        level: if is_marked { 0 } else { level },
    })
}

#[cfg(test)]
mod tests;
