//! Owns what Catch2 reads and writes: test specs, lists, and reports in XML, which grow while the
//! tests run. The forms are those of Catch2 2.10 to 3.11. The elements of a test case are those of
//! `case`.

mod case;

use crate::listed::ListedTest;
use crate::xml::{Node, Nodes};
use case::CaseReader;
use persea_exec_command::results::TestResult;

/// The beginning of the outermost element of both versions.
const BEGIN: &[u8] = b"<Catch";

/// The end of a test case in a report.
const END: &[u8] = b"</TestCase>";

/// The ends of a report: those of versions 2 and 3.
const ENDS: [&[u8]; 2] = [b"</Catch>", b"</Catch2TestRun>"];

/// The name of a test case as a test spec that matches nothing else.
pub(crate) fn escaped(name: &str) -> String {
    let mut spec = String::from("\"");
    for letter in name.chars() {
        if matches!(letter, '\\' | ',' | '"') {
            spec.push('\\');
        }
        spec.push(letter);
    }
    spec.push('"');
    spec
}

/// Reads a list of test cases of version 3 in XML.
///
/// # Errors
/// What is wrong with it, for people.
pub(crate) fn read_list(list: &str) -> Result<Vec<ListedTest>, String> {
    let mut tests: Vec<ListedTest> = Vec::new();
    let mut text = String::new();
    let mut is_whole = false;
    for node in Nodes::new(list) {
        match node {
            Node::Open(element) => {
                text.clear();
                if element.name == "TestCase" {
                    tests.push(ListedTest::default());
                }
            }
            Node::Text(part) => text.push_str(&part),
            Node::Close(name) => {
                match (name.as_str(), tests.last_mut()) {
                    ("Name", Some(test)) => test.name = text.trim().to_owned(),
                    ("Tags", Some(test)) => test.tags = tags(&text),
                    ("MatchingTests", _) => is_whole = true,
                    _ => {}
                }
                text.clear();
            }
        }
    }
    match is_whole {
        true => Ok(tests),
        false => Err("its list of tests is broken off".to_owned()),
    }
}

/// The tags in a text such as `[fast][net]`, without those that have a meaning for Catch2.
fn tags(text: &str) -> Vec<String> {
    let parts = text.split(['[', ']']).map(str::trim);
    let is_own = |tag: &&str| !tag.is_empty() && !tag.starts_with(['!', '.']);
    parts.filter(is_own).map(str::to_owned).collect()
}

/// Whether a program of version 2 has printed its list for people.
pub(crate) fn is_old_list(printed: &str) -> bool {
    let mut lines = printed.lines();
    lines.any(|line| matches!(line, "All available test cases:" | "Matching test cases:"))
}

/// Reads the names that a program of version 2 has printed.
pub(crate) fn read_names(printed: &str) -> Vec<ListedTest> {
    let lines = printed.lines().filter(|line| !line.trim().is_empty());
    let name = |line: &str| {
        // A name that begins with `#` is quoted, because it would be a comment in a file of names.
        let quoted = line.strip_prefix("\"#").and_then(|it| it.strip_suffix('"'));
        quoted.map_or_else(|| line.to_owned(), |name| format!("#{name}"))
    };
    let test = |line| ListedTest {
        name: name(line),
        tags: Vec::new(),
    };
    lines.map(test).collect()
}

/// Whether an exit code of version 2 is the number of tests that it has listed.
pub(crate) fn is_count(code: i32, count: usize) -> bool {
    usize::try_from(code).is_ok_and(|code| code == count.min(255) || code == count % 256)
}

/// A report that grows.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Bytes after the last test case that has ended.
    rest: Vec<u8>,
    has_begun: bool,
    is_fatal: bool,
}

impl Progress {
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<TestResult> {
        let searched = self.rest.len().saturating_sub(END.len());
        self.rest.extend_from_slice(bytes);
        if !self.has_begun {
            self.has_begun = self.rest.windows(BEGIN.len()).any(|part| part == BEGIN);
        }
        // What was there before has no end of a test case.
        let new = self.rest.get(searched..).unwrap_or_default();
        let last = new.windows(END.len()).rposition(|part| part == END);
        let Some(last) = last.map(|last| searched + last) else {
            return Vec::new();
        };
        let whole: Vec<u8> = self.rest.drain(..last + END.len()).collect();
        let mut cases = CaseReader::default();
        for node in Nodes::new(&String::from_utf8_lossy(&whole)) {
            cases.take(node);
        }
        self.is_fatal |= cases.is_fatal;
        cases.results
    }

    pub(crate) fn running(&self) -> Option<TestResult> {
        let text = String::from_utf8_lossy(&self.rest);
        let mut nodes = Nodes::new(&text);
        let element = nodes.find_map(|node| match node {
            Node::Open(element) if element.name == "TestCase" => Some(element),
            Node::Open(_) | Node::Text(_) | Node::Close(_) => None,
        })?;
        Some(case::test_of(&element))
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether Catch2 has reported a signal: it then ends its report, although tests are missing.
    pub(crate) fn is_fatal(&self) -> bool {
        self.is_fatal
    }

    /// How many bytes are kept until their test case ends.
    pub(crate) fn kept(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn is_whole(&self) -> bool {
        let rest = self.rest.trim_ascii_end();
        ENDS.iter().any(|end| rest.ends_with(end))
    }
}

#[cfg(test)]
mod tests;
