//! Persea's resolver plugin `python-unittest`: finds the tests of Python's unittest in a file by
//! reading it. No Python runs, so listing the tests of an untrusted project is safe and fast.
//!
//! This module owns the entry point: references, messages and warnings. `source` reads a Python
//! file, `library` finds names in other files, and `discover` decides what is a test.

mod condition;
mod directive;
mod discover;
mod expression;
mod library;
mod nesting;
mod reader;
mod reference;
mod scope;
mod source;

use discover::{Discovery, discover};
use library::{Library, MAX_FILE};
use persea_plugin_sdk::log::{Level, log};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::workspace::{self, FileKind, FileStat};
use regex_lite::Regex;
use source::{Doubt, Source};
use std::cell::RefCell;

const KIND: &str = "python-unittest";

/// How many constructs that may add tests one warning names.
const MAX_DOUBTS: usize = 3;

/// A file without any of these words has no tests of unittest and is not parsed.
const WORDS: [&str; 4] = ["class", "unittest", "load_tests", "doctest"];

/// The classes of the standard library that turn examples in docstrings into tests.
const DOCTESTS: [&str; 2] = ["DocTestSuite", "DocFileSuite"];

/// The resolver `python-unittest`.
pub struct PythonUnittest;

thread_local! {
    /// The files read so far: one plugin instance resolves many references, which share base
    /// classes.
    static LIBRARY: RefCell<Library> = RefCell::default();
}

impl Plugin for PythonUnittest {
    fn describe() -> Description {
        let summary = "finds the tests of Python's unittest, without running them";
        Description::new(KIND, summary).role(Role::resolver([KIND]).with("order", 50))
    }
}

impl Resolver for PythonUnittest {
    fn resolve(request: &ResolveRequest) -> Result<Resolution, Error> {
        let reference = request.reference.as_str();
        let mut why = format!("{reference} is not a Python file: its name does not end with .py");
        for (file, filter) in reference::readings(reference) {
            match workspace::stat(file) {
                Ok(stat) if stat.kind == FileKind::File => return resolve(file, &stat, filter),
                Ok(_) => why = format!("{file} is not a regular file"),
                Err(error) if error.code == "not-found" => why = format!("{file} does not exist"),
                Err(error) => why = error.message,
            }
        }
        Ok(Resolution::not_found(why))
    }
}

export!(PythonUnittest: resolver);

fn resolve(file: &str, stat: &FileStat, filter: Option<&str>) -> Result<Resolution, Error> {
    let pattern = filter.map(Regex::new).transpose().map_err(|error| {
        let filter = filter.unwrap_or_default();
        Error::new(
            "invalid",
            format!("the filter `{filter}` of {file} is not a regular expression: {error}"),
        )
    })?;
    if stat.size > MAX_FILE {
        let limit = MAX_FILE >> 20;
        return Ok(Resolution::not_found(format!(
            "{file} is larger than {limit} MiB, the limit for a Python file"
        )));
    }
    let bytes = workspace::read_to_end(file, MAX_FILE)?;
    let text = String::from_utf8_lossy(&bytes);
    if !WORDS.iter().any(|word| text.contains(word)) {
        return Ok(Resolution::not_found(format!("{file} has no class")));
    }
    LIBRARY.with_borrow_mut(|library| {
        let source = library.put(file, Source::read(&text));
        let found = discover(library, file, &source);
        if let Some(error) = &source.syntax_error {
            let why = format!(
                "{file}:{}:{}: syntax error: {}",
                error.line, error.column, error.message
            );
            // An executable file with a syntax error may be a test of another kind, written in
            // another language or an older Python.
            let is_python_test =
                filter.is_some() || (!found.classes.is_empty() && !stat.executable);
            return Ok(if is_python_test {
                Resolution::corrupt(why)
            } else {
                Resolution::not_found(why)
            });
        }
        let runnables = runnables(file, &found, pattern.as_ref());
        if (filter.is_none() || runnables.is_empty())
            && let Some(why) = warning(&text, &source, &found)
        {
            log(
                Level::Warn,
                &format!("{file} may hold tests that were not found: {why}"),
            );
        }
        Ok(if runnables.is_empty() {
            Resolution::not_found(why_nothing(file, &found, filter))
        } else {
            Resolution::found(runnables)
        })
    })
}

/// A runnable for each test whose name matches the filter.
fn runnables(file: &str, found: &Discovery, pattern: Option<&Regex>) -> Vec<Runnable> {
    let mut runnables = Vec::new();
    for (class, tests) in &found.classes {
        for test in tests {
            let name = format!("{class}.{}", test.method);
            if pattern.is_none_or(|pattern| pattern.is_match(&name)) {
                let mut runnable = Runnable::new(KIND).uri(format!("{file}:{name}"));
                runnable.tags.clone_from(&test.tags);
                runnable.requirements.clone_from(&test.requirements);
                runnables.push(runnable);
            }
        }
    }
    runnables
}

/// The reason why a file may contain tests that only its import shows. None where nothing hints at
/// such tests.
fn warning(text: &str, source: &Source, found: &Discovery) -> Option<String> {
    let has_tests = found.classes.iter().any(|(_, tests)| !tests.is_empty());
    let is_test_file = source.imports_unittest || !found.classes.is_empty();
    let loads = |doubt: &&Doubt| doubt.what == "load_tests()";
    let all = source.doubts.iter().chain(&found.doubts);
    let mut all: Vec<&Doubt> = all.filter(|doubt| is_test_file || loads(doubt)).collect();
    all.sort_by_key(|doubt| doubt.offset);
    let mut reasons: Vec<String> = Vec::new();
    for doubt in &all {
        let before = text.get(..doubt.offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let reason = format!("{} in line {line}", doubt.what);
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
        if reasons.len() == MAX_DOUBTS {
            break;
        }
    }
    if DOCTESTS.iter().any(|name| text.contains(name)) {
        reasons.push("doctests".to_owned());
    }
    if reasons.is_empty() && !has_tests {
        match &found.unknown {
            Some((class, base)) if is_test_file || found.is_suspect => {
                reasons.push(format!(
                    "{class} derives from {base}, which is not in the project"
                ));
            }
            _ if !found.classes.is_empty() => {
                reasons.push("its test classes have no test method".to_owned());
            }
            _ if source.imports_unittest => {
                reasons.push("it imports unittest but has no test class".to_owned());
            }
            _ => {}
        }
    }
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

/// The reason why a valid Python file yields no test.
fn why_nothing(file: &str, found: &Discovery, filter: Option<&str>) -> String {
    let tests = found
        .classes
        .iter()
        .flat_map(|(class, tests)| tests.iter().map(move |test| (class, test)));
    if let (Some(filter), Some((class, test))) = (filter, tests.clone().next()) {
        let (count, method) = (tests.count(), &test.method);
        let has = match count {
            1 => "its only test is".to_owned(),
            count => format!("it has {count} tests, such as"),
        };
        return format!("no test of {file} matches `{filter}`: {has} {class}.{method}");
    }
    if let Some((class, _)) = found.classes.first() {
        return format!("the class {class} of {file} has no method whose name begins with `test`");
    }
    match &found.unknown {
        Some((class, base)) => format!(
            "{file} has no class that is known to derive from unittest.TestCase: \
             {class} derives from {base}, which is not found in the project"
        ),
        None => format!("{file} has no class that derives from unittest.TestCase"),
    }
}

#[cfg(test)]
mod tests;
