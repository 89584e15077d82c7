//! Owns what the text of a file shows about tests of pytest. Does not run or import the file, so
//! some tests are only a doubt.

use crate::project::{Naming, is_match};

/// Marks with a meaning of their own, which are no tags.
const BUILT_IN_MARKS: [&str; 6] = [
    "parametrize",
    "skip",
    "skipif",
    "xfail",
    "usefixtures",
    "filterwarnings",
];

/// Classes of libraries that are named like a test and have none.
const NO_TESTS: [&str; 8] = [
    "TestCase",
    "TestClient",
    "TestLoader",
    "TestProgram",
    "TestReport",
    "TestResult",
    "TestServer",
    "TestSuite",
];

/// Calls that may define a test under a name that only the import of the file shows.
const DYNAMIC: [&str; 6] = [
    "globals()[",
    "globals().update(",
    "vars()[",
    "locals()[",
    "exec(",
    "setattr(sys.modules",
];

/// What the text of a file shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Evidence {
    /// The file has tests.
    Tests,
    /// The file may have tests, for this reason.
    Doubt(String),
    /// Nothing looks like a test.
    Nothing,
}

/// Looks for tests: functions, classes that may inherit some, and either of another file.
pub(crate) fn evidence(text: &str, naming: &Naming) -> Evidence {
    let mut doubt = None;
    let mut imported = String::new();
    for (index, whole) in text.lines().enumerate() {
        let line = whole.trim_start();
        let mut doubtful = |what: &str| {
            doubt.get_or_insert_with(|| format!("{what} in line {}", index + 1));
        };
        // The names of an import may go on over several lines, up to a bracket.
        let names = match imported.is_empty() {
            true => imported_names(line).map(str::to_owned),
            false => Some(std::mem::take(&mut imported) + " " + line),
        };
        if let Some(names) = names {
            let names = names.split('#').next().unwrap_or_default();
            let is_open = names.contains('(') && !names.contains(')');
            match is_open || names.ends_with('\\') {
                true => imported = names.trim_end_matches('\\').to_owned(),
                false if has_test_name(names, naming) => return Evidence::Tests,
                false => {}
            }
            continue;
        }
        if is_test_function(line, naming) || is_test_class(line, naming) {
            return Evidence::Tests;
        }
        match assignment(line) {
            Some((name, value)) if naming.is_function(name) && whole.len() == line.len() => {
                if value.starts_with("lambda") || value.starts_with("partial(") {
                    return Evidence::Tests;
                }
                if may_be_callable(value) {
                    doubtful(name);
                }
            }
            Some((name, value)) if naming.is_class(name) && may_be_callable(value) => {
                doubtful(name);
            }
            _ => {}
        }
        for call in DYNAMIC {
            let before = line.find(call).and_then(|start| line.get(..start));
            let is_part = |last: char| last.is_alphanumeric() || matches!(last, '_' | '.');
            if before.is_some_and(|before| !before.ends_with(is_part) && !before.contains('#')) {
                let end = call.find('(').unwrap_or(call.len());
                doubtful(&format!("{}()", call.get(..end).unwrap_or(call)));
            }
        }
    }
    doubt.map_or(Evidence::Nothing, Evidence::Doubt)
}

/// Whether a text has an example that doctest runs.
pub(crate) fn has_examples(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_start);
    lines.any(|line| line.starts_with(">>> "))
}

pub(crate) fn imports_pytest(text: &str) -> bool {
    text.lines().map(str::trim_start).any(|line| {
        let after = |word: &str| {
            let rest = line.strip_prefix(word)?.trim_start();
            rest.strip_prefix("pytest")
        };
        let rest = after("import ").or_else(|| after("from "));
        rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()))
    })
}

/// Whether a line without indentation defines a function that is named like a test.
pub(crate) fn is_test_function(line: &str, naming: &Naming) -> bool {
    let line = line.strip_prefix("async ").unwrap_or(line).trim_start();
    line.strip_prefix("def ")
        .is_some_and(|rest| naming.is_function(identifier(rest.trim_start())))
}

/// Whether a line defines a class that is named like a test, or derives from one that is.
fn is_test_class(line: &str, naming: &Naming) -> bool {
    line.strip_prefix("class ")
        .is_some_and(|rest| naming.is_class(identifier(rest.trim_start())) || rest.contains("Test"))
}

/// The names of `from MODULE import NAMES`.
fn imported_names(line: &str) -> Option<&str> {
    let (_, names) = line.strip_prefix("from ")?.split_once(" import")?;
    names.starts_with([' ', '(', '*']).then_some(names)
}

/// Whether one of the names of an import is that of a test, as the file calls it.
fn has_test_name(names: &str, naming: &Naming) -> bool {
    let names = names.trim().trim_start_matches('(').trim_end_matches(')');
    names.split(',').any(|name| {
        let mut words = name.split_whitespace();
        let own = words.next().unwrap_or_default();
        let called = match (words.next(), words.next()) {
            (Some("as"), Some(other)) => other,
            _ => own,
        };
        own == "*"
            || naming.is_function(called)
            || (naming.is_class(called) && !NO_TESTS.contains(&own))
    })
}

/// The name and the value of `NAME = VALUE`, also with a type.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let name = identifier(line);
    let rest = line.get(name.len()..)?.trim_start();
    let rest = match rest.strip_prefix(':') {
        Some(typed) => typed.get(typed.find('=')?..)?,
        None => rest,
    };
    let value = rest.strip_prefix('=')?;
    (!name.is_empty() && !value.starts_with('=')).then(|| (name, value.trim_start()))
}

/// Whether a value may be a function or a class: neither a literal nor a part of a container.
fn may_be_callable(value: &str) -> bool {
    let is_name = value.starts_with(|first: char| first.is_alphabetic() || first == '_');
    let word = identifier(value);
    let is_text = value
        .get(word.len()..)
        .is_some_and(|rest| rest.starts_with(['"', '\'']));
    is_name && !is_text && !matches!(word, "None" | "True" | "False" | "not")
}

/// The identifier that a text begins with; empty without one.
fn identifier(text: &str) -> &str {
    let is_part = |next: char| next.is_alphanumeric() || next == '_';
    let end = text.find(|next| !is_part(next)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// The marks that a file uses, sorted, without those of pytest itself.
pub(crate) fn marks(text: &str) -> Vec<String> {
    let pieces = text.split("pytest.mark.").skip(1);
    let mut marks: Vec<String> = pieces
        .map(|piece| identifier(piece).to_owned())
        .filter(|mark| !mark.is_empty() && !BUILT_IN_MARKS.contains(&mark.as_str()))
        .collect();
    marks.sort();
    marks.dedup();
    marks
}

/// Whether a name begins with one of the prefixes, or matches one of the patterns of the shell.
pub(crate) fn is_named(name: &str, patterns: &[String]) -> bool {
    let matches = |pattern: &String| match pattern.contains(['*', '?']) {
        true => is_match(pattern, name),
        false => name.starts_with(pattern.as_str()),
    };
    !name.is_empty() && patterns.iter().any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_of_any_form_is_found_and_what_may_be_one_is_a_doubt() {
        let naming = Naming::default();
        for text in [
            "def test_a(): pass\n",
            "  async  def test_a(): pass\n",
            "class TestA: pass\n",
            "class Some(TestBase): pass\n",
            "from shared import test_x\n",
            "from .shared import (  # names\n    helper,\n    x as test_x,\n)\n",
            "from shared import a, \\\n    test_b\n",
            "from shared import TestBase\n",
            "from shared import *\n",
            "test_a = lambda: 1\n",
            "test_a: object = lambda: 1\n",
            "test_a = partial(run, 1)\n",
        ] {
            assert_eq!(evidence(text, &naming), Evidence::Tests, "{text}");
        }
        for (text, why) in [
            ("\nglobals()[\"test_g\"] = run\n", "globals() in line 2"),
            ("exec('x')\n", "exec() in line 1"),
            ("for i in x: exec(i)\n", "exec() in line 1"),
            (
                "setattr(sys.modules[__name__], 'x', 1)",
                "setattr() in line 1",
            ),
            ("test_a = make()\n", "test_a in line 1"),
            ("TestA = make(1)\n", "TestA in line 1"),
        ] {
            let expected = Evidence::Doubt(why.to_owned());
            assert_eq!(evidence(text, &naming), expected, "{text}");
        }
        for text in [
            "X = 1\n",
            "test_data = [1]\n",
            "test_name = 'x'\n",
            "test_name = b'x'\n",
            "if x:\n    test_local = call()\n",
            "test_a == call()\n",
            "from unittest import TestCase\n",
            "from x import helper_test, a as b\n",
            "query.exec(1)\n",
            "# exec(1)\n",
            "import test_x\n",
        ] {
            assert_eq!(evidence(text, &naming), Evidence::Nothing, "{text}");
        }
    }

    #[test]
    fn names_of_tests_are_those_of_the_configuration() {
        let naming = Naming {
            functions: vec!["check".to_owned(), "*_spec".to_owned()],
            classes: vec!["Check".to_owned()],
        };
        for text in [
            "def check_a(): pass\n",
            "def one_spec(): pass\n",
            "class CheckA:\n",
        ] {
            assert_eq!(evidence(text, &naming), Evidence::Tests, "{text}");
        }
        let other = "def test_a(): pass\n";
        assert_eq!(evidence(other, &naming), Evidence::Nothing);
    }
}
