//! Owns references: a test file by its name and its content, and `node:FILE?OPTION&OPTION`. Does
//! not run anything.

use persea_exec_command::options::{ReferenceOption, flag, needed, split};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::workspace::{self, FileKind};

use crate::KIND;

/// The beginning of references with options, and of those to files with other names.
const SCHEME: &str = "node:";

/// Keyword argument and option: a pattern for the names of the tests that run.
pub(crate) const NAME: &str = "name";
/// Keyword argument and option: a module that Node loads before the file.
pub(crate) const IMPORT: &str = "import";
/// Keyword argument and option: whether only tests with `only` run.
pub(crate) const ONLY: &str = "only";

/// The endings of files that Node runs.
const ENDINGS: [&str; 3] = [".js", ".mjs", ".cjs"];

/// The module whose use makes a file one of tests.
const MODULE: &[u8] = b"node:test";

/// The part of a file in which the module is looked for, in bytes.
const HEAD: u32 = 256 << 10;

/// Resolves a reference.
pub(crate) fn resolve(text: &str) -> Resolution {
    let Some(rest) = text.strip_prefix(SCHEME) else {
        return match test_file(text) {
            Ok(()) => Resolution::found([Runnable::new(KIND).uri(text)]),
            Err(why) => Resolution::not_found(why),
        };
    };
    let parsed = split(rest).and_then(|(path, options)| {
        let runnable = Runnable::new(KIND).uri(&path);
        Ok((path, with_options(runnable, options)?))
    });
    let (path, runnable) = match parsed {
        Ok(parsed) => parsed,
        Err(why) => return Resolution::corrupt(why),
    };
    // A file outside of the project cannot be looked at; Node says what is wrong with it.
    let why = match workspace::stat(&path) {
        Ok(stat) if stat.kind != FileKind::File => format!("{path} is not a file"),
        Err(error) if error.code == "not-found" => format!("there is no {path}"),
        Ok(_) | Err(_) => return Resolution::found([runnable]),
    };
    Resolution::corrupt(format!("{why}; write {SCHEME} and the path of a test file"))
}

/// Says why a path is not that of a test file. The names are those that `node --test` looks for; a
/// file of that name may be one of another framework.
fn test_file(path: &str) -> Result<(), String> {
    let ending = ENDINGS.iter().find(|ending| path.ends_with(**ending));
    let stem = ending.and_then(|ending| path.strip_suffix(ending));
    let Some(stem) = stem else {
        return Err(format!(
            "{path} is neither a file of JavaScript nor {SCHEME}FILE"
        ));
    };
    let (directory, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let ends = [".test", "-test", "_test"];
    let is_named = name == "test"
        || name.starts_with("test-")
        || ends.iter().any(|end| name.ends_with(end))
        || directory.split('/').any(|part| part == "test");
    // As for `node --test`, the tests of other packages are no tests of the project.
    if directory.split('/').any(|part| part == "node_modules") {
        return Err(format!("{path} is in node_modules; {SCHEME}{path} runs it"));
    }
    if !is_named {
        return Err(format!(
            "{path} has no name of a test file; {SCHEME}{path} runs it"
        ));
    }
    match workspace::stat(path) {
        Ok(stat) if stat.kind != FileKind::File => return Err(format!("{path} is not a file")),
        Ok(_) => {}
        Err(error) => return Err(error.message),
    }
    let head = workspace::read(path, 0, HEAD).map_err(|error| error.message)?;
    match head.windows(MODULE.len()).any(|part| part == MODULE) {
        true => Ok(()),
        false => Err(format!(
            "{path} does not name the module node:test; {SCHEME}{path} runs it"
        )),
    }
}

fn with_options(
    mut runnable: Runnable,
    options: Vec<ReferenceOption<'_>>,
) -> Result<Runnable, String> {
    for (name, value) in options {
        runnable = match name {
            NAME | IMPORT => runnable.kwarg(name, needed(name, value)?),
            ONLY => runnable.kwarg(name, flag(name, value.as_deref())?),
            other => {
                let known = format!("there are {NAME}, {ONLY} and {IMPORT}");
                return Err(format!("unknown option `{other}`; {known}"));
            }
        };
    }
    Ok(runnable)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unreachable)]
    use super::*;
    use persea_plugin_sdk::testing::{Files, Host};

    fn finding(reference: &str) -> Finding {
        let text = "import test from 'node:test';";
        let long = format!("{}{text}", " ".repeat(HEAD as usize));
        let files = Files::new()
            .executable("a.test.mjs", text)
            .file("b-test.js", text)
            .file("test-c.cjs", text)
            .file("test.js", text)
            .file("x/test/y/any.js", text)
            .file("x/node_modules/y/z.test.js", text)
            .file("jest.test.js", "test('x', () => {});")
            .file("late.test.js", long)
            .file("other.mjs", text)
            .file("a.test.ts", text)
            .file("test/data.json", text)
            .directory("d.test.js");
        let _host = Host::new().files(files).install();
        resolve(reference).finding
    }

    #[test]
    fn file_with_a_name_and_the_module_is_a_test() {
        for path in [
            "a.test.mjs",
            "b-test.js",
            "test-c.cjs",
            "test.js",
            "x/test/y/any.js",
        ] {
            let expected = [Runnable::new(KIND).uri(path)];
            assert_eq!(finding(path), Finding::Found(expected.into()), "{path}");
        }
    }

    #[test]
    fn other_files_are_left_to_other_resolvers() {
        for (path, words) in [
            (
                "jest.test.js",
                "does not name the module node:test; node:jest.test.js runs it",
            ),
            ("late.test.js", "does not name the module"),
            (
                "other.mjs",
                "has no name of a test file; node:other.mjs runs it",
            ),
            ("a.test.ts", "neither a file of JavaScript nor node:FILE"),
            ("test/data.json", "neither a file of JavaScript"),
            ("d.test.js", "is not a file"),
            ("none.test.js", "none.test.js"),
            (
                "x/node_modules/y/z.test.js",
                "is in node_modules; node:x/node_modules",
            ),
        ] {
            match finding(path) {
                Finding::NotFound(why) => assert!(why.contains(words), "{path}: {why}"),
                other => unreachable!("{path}: {other:?}"),
            }
        }
    }

    #[test]
    fn reference_with_a_scheme_may_be_any_file() {
        let expected = Runnable::new(KIND)
            .uri("a.test.ts")
            .kwarg(NAME, "a&b")
            .kwarg(ONLY, true)
            .kwarg(IMPORT, "tsx");
        let reference = "node:a.test.ts?name=a%26b&only&import=tsx";
        assert_eq!(finding(reference), Finding::Found([expected].into()));
    }

    #[test]
    fn invalid_reference_is_corrupt_with_a_reason() {
        for (reference, words) in [
            (
                "node:none.js",
                "there is no none.js; write node: and the path",
            ),
            ("node:d.test.js", "d.test.js is not a file"),
            (
                "node:other.mjs?colour=red",
                "unknown option `colour`; there are name, only and import",
            ),
            ("node:other.mjs?name", "option `name` needs a value"),
            (
                "node:other.mjs?only=1",
                "option `only` must be true or false, not 1",
            ),
        ] {
            match finding(reference) {
                Finding::Corrupt(why) => assert!(why.contains(words), "{reference}: {why}"),
                other => unreachable!("{reference}: {other:?}"),
            }
        }
    }
}
