//! Owns references: `pytest:PATH`, and the files that pytest would take for tests in a project that
//! uses pytest. Reads files, and runs nothing.

use persea_plugin_sdk::log::{Level, log};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::workspace::{self, FileKind};

use crate::project::Project;
use crate::source::{Evidence, evidence, has_examples, imports_pytest, is_test_function, marks};
use crate::{FILES, KIND};

/// Limit for a Python file, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// Files that doctest does not take examples from.
const NO_MODULES: [&str; 3] = ["setup.py", "__main__.py", "conftest.py"];

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
    let name = file.rsplit('/').next().unwrap_or(file);
    let is_python = file.ends_with(".py");
    if !is_python && !matches!(name.rsplit_once('.'), Some((_, "txt" | "rst" | "md"))) {
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
    // With --doctest-modules every module may have tests. An executable file is one by itself.
    let may_have_examples = match is_python {
        true => project.has_doctest_modules && !NO_MODULES.contains(&name) && !stat.executable,
        false => project.uses_pytest && project.names_text(name) && !stat.executable,
    };
    let is_named = test.is_some() || (is_python && project.names(file));
    if !is_named && !may_have_examples && name != "conftest.py" {
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
        if project.uses_pytest && is_named {
            warn(file, &format!("it is larger than {limit} MiB"));
        }
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
    let naming = &project.naming;
    if name == "conftest.py" && text.contains("def pytest_collect_file") {
        let directory = file.strip_suffix("conftest.py").unwrap_or_default();
        let directory = if directory.is_empty() { "." } else { directory };
        log(
            Level::Warn,
            &format!(
                "{file} may hold tests that were not found: pytest_collect_file(); \
                 `persea run pytest:{directory}` runs them"
            ),
        );
    }
    if !(project.uses_pytest || imports_pytest(&text)) {
        let has_functions = text.lines().any(|line| is_test_function(line, naming));
        if has_functions && !text.contains("unittest") && !stat.executable {
            warn(file, "nothing shows that the project uses pytest");
        }
        return not(format!(
            "nothing shows that {file} uses pytest; `pytest:{file}` runs it"
        ));
    }
    let has_examples = may_have_examples && has_examples(&text);
    match evidence(&text, naming) {
        Evidence::Tests if is_named => {}
        Evidence::Doubt(_) if test.is_some() => {}
        // Of a file of unittest with another name pytest takes the examples only.
        _ if has_examples && !is_named && text.contains("unittest") => {
            warn(file, "doctests");
            return not(format!("pytest takes only the doctests of {file}"));
        }
        _ if has_examples => {}
        Evidence::Doubt(why) if is_named => {
            warn(file, &why);
            return not(format!(
                "{file} has no test of pytest that reading it shows"
            ));
        }
        Evidence::Tests | Evidence::Doubt(_) | Evidence::Nothing => {
            return not(format!("{file} has no tests of pytest"));
        }
    }
    let runnable = Runnable::new(KIND).uri(reference);
    let runnable = match test {
        Some(_) => runnable,
        None => runnable.kwarg("empty", "skip"),
    };
    let runnable = with_project(runnable, &project, marks(&text));
    Ok(Resolution::found([runnable]))
}

/// Warns of a file whose tests, if it has some, are not in the job.
fn warn(file: &str, why: &str) {
    let message = format!(
        "{file} may hold tests that were not found: {why}; `persea run pytest:{file}` runs them"
    );
    log(Level::Warn, &message);
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
