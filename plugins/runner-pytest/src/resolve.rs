//! Owns references: `pytest:PATH`, and the files that pytest would take for tests in a project that
//! uses pytest. Reads files, and runs nothing.

use persea_plugin_sdk::log::{Level, log};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::workspace::{self, FileKind};

use crate::project::Project;
use crate::{FILES, KIND};

/// Limit for a Python file, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// Marks with a meaning of their own, which are no tags.
const BUILT_IN_MARKS: [&str; 6] = [
    "parametrize",
    "skip",
    "skipif",
    "xfail",
    "usefixtures",
    "filterwarnings",
];

/// Resolves a reference.
pub(crate) fn resolve(reference: &str) -> Result<Resolution, Error> {
    match reference.strip_prefix("pytest:") {
        Some(path) => Ok(explicit(path)),
        None => found_file(reference),
    }
}

/// A path that the user has named as one of pytest: a directory, a file or a test in a file.
fn explicit(path: &str) -> Resolution {
    let (file, test) = match path.split_once("::") {
        Some((file, _)) => (file, true),
        None => (path, false),
    };
    let file = match file.trim_end_matches('/') {
        "" if !file.starts_with('/') => ".",
        file => file,
    };
    let is_directory = match workspace::stat(file) {
        Ok(stat) => match stat.kind {
            FileKind::Directory => true,
            FileKind::File => false,
            FileKind::Other => {
                let why = format!("{file} is neither a file nor a directory");
                return Resolution::corrupt(why);
            }
        },
        // What lies outside of the project is not for resolvers to read; pytest may.
        Err(error) if error.code == "not-permitted" => !(test || file.ends_with(".py")),
        Err(error) if error.code == "not-found" => {
            let why = format!("there is no file or directory {file} for pytest");
            return Resolution::corrupt(why);
        }
        Err(error) => return Resolution::corrupt(error.message),
    };
    if is_directory && test {
        return Resolution::corrupt(format!(
            "{file} is a directory; a test is named FILE::TEST, such as {file}/test_a.py::test_b"
        ));
    }
    let runnable = match is_directory {
        true => Runnable::new(FILES).uri(file),
        false => Runnable::new(KIND).uri(path),
    };
    let project = Project::of(file, is_directory);
    let tags = match is_directory {
        true => Vec::new(),
        false => workspace::read_to_end(file, MAX_FILE)
            .map(|bytes| marks(&String::from_utf8_lossy(&bytes)))
            .unwrap_or_default(),
    };
    Resolution::found([with_project(runnable, &project, tags)])
}

/// A file that the user has named, or that the host has found in a directory, and that pytest would
/// take for a test file.
fn found_file(reference: &str) -> Result<Resolution, Error> {
    let (file, test) = match reference.split_once("::") {
        Some((file, test)) => (file, Some(test)),
        None => (reference, None),
    };
    let not = |why: String| Ok(Resolution::not_found(why));
    if !file.ends_with(".py") {
        return not(format!(
            "{file} is not a Python file: its name does not end with .py"
        ));
    }
    let stat = match workspace::stat(file) {
        Ok(stat) if stat.kind == FileKind::File => stat,
        Ok(_) => return not(format!("{file} is not a regular file")),
        Err(error) if error.code == "not-found" => return not(format!("{file} does not exist")),
        Err(error) => return not(error.message),
    };
    let project = Project::of(file, false);
    if test.is_none() && !project.names(file) {
        return not(format!(
            "pytest does not take {file} for a test file, by its name"
        ));
    }
    if test.is_none() && !project.is_searched {
        let why = format!("pytest does not search the directory of {file}");
        return not(format!("{why}; `pytest:{file}` runs it nevertheless"));
    }
    if stat.size > MAX_FILE {
        let limit = MAX_FILE >> 20;
        return not(format!(
            "{file} is larger than {limit} MiB, the limit for a Python file"
        ));
    }
    let bytes = match workspace::read_to_end(file, MAX_FILE) {
        Ok(bytes) => bytes,
        // The resolver of Python's unittest is asked next, and reports the error.
        Err(error) => return not(error.message),
    };
    let text = String::from_utf8_lossy(&bytes);
    let imports_pytest = imports_pytest(&text);
    if !(project.uses_pytest || imports_pytest) {
        let has_functions = text.lines().any(is_test_function);
        if has_functions && !text.contains("unittest") && !stat.executable {
            let message = format!(
                "{file} may hold tests of pytest that were not found: nothing shows that the \
                 project uses pytest; `persea run pytest:{file}` runs them"
            );
            log(Level::Warn, &message);
        }
        return not(format!(
            "nothing shows that {file} uses pytest; `pytest:{file}` runs it"
        ));
    }
    if !has_tests(&text) {
        return not(format!("{file} has no tests of pytest"));
    }
    let runnable = Runnable::new(KIND).uri(reference);
    let runnable = match test {
        Some(_) => runnable,
        None => runnable.kwarg("empty", "skip"),
    };
    let runnable = with_project(runnable, &project, marks(&text));
    Ok(Resolution::found([runnable]))
}

/// Adds what the project says: the directory with the configuration, where that is not the
/// project's, and tags.
fn with_project(mut runnable: Runnable, project: &Project, tags: Vec<String>) -> Runnable {
    if let Some(directory) = &project.config_directory
        && !matches!(directory.as_str(), "" | ".")
    {
        runnable = runnable.kwarg("session", directory.as_str());
    }
    for tag in tags {
        runnable = runnable.tag(tag, [""; 0]);
    }
    runnable
}

fn imports_pytest(text: &str) -> bool {
    text.lines().map(str::trim_start).any(|line| {
        let after = |word: &str| {
            let rest = line.strip_prefix(word)?.trim_start();
            rest.strip_prefix("pytest")
        };
        let rest = after("import ").or_else(|| after("from "));
        rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()))
    })
}

/// Whether a line at the top level defines a function whose name begins with `test`.
fn is_test_function(line: &str) -> bool {
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("def ")
        .is_some_and(|name| name.trim_start().starts_with("test"))
}

/// Whether the text of a test file looks as if it had tests: functions, or classes that may inherit
/// some. A file without any would be a session of nothing.
fn has_tests(text: &str) -> bool {
    let is_class = |line: &str| {
        line.strip_prefix("class ")
            .is_some_and(|rest| rest.trim_start().starts_with("Test") || rest.contains("Test"))
    };
    text.lines()
        .map(str::trim_start)
        .any(|line| is_test_function(line) || is_class(line))
        || text.contains("import *")
}

/// The marks that a file uses, sorted, without those of pytest itself.
fn marks(text: &str) -> Vec<String> {
    let pieces = text.split("pytest.mark.").skip(1);
    let mut marks: Vec<String> = pieces
        .map(|piece| {
            let is_name = |next: &char| next.is_alphanumeric() || *next == '_';
            piece.chars().take_while(is_name).collect::<String>()
        })
        .filter(|mark| !mark.is_empty() && !BUILT_IN_MARKS.contains(&mark.as_str()))
        .collect();
    marks.sort();
    marks.dedup();
    marks
}
