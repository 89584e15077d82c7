//! Owns the list of a reference: its packages, each a runnable, and the tests of a package where
//! each is to run alone.

use std::collections::HashSet;

use persea_exec_command::results::shown;
use persea_exec_command::{describe_exit, files, run_within};
use persea_plugin_sdk::prelude::*;

use crate::build;
use crate::reason::Package;
use crate::subject::{self, Subject};
use crate::toolchain::{self, ListedPackage, Version};
use crate::{ISOLATE, KIND, LIST_TIMEOUT};

/// The longest list of a binary, in bytes: 64 MiB.
const LONGEST: usize = 64 << 20;

/// The most that a message shows of what a binary has printed, in characters.
const SHOWN: usize = 100;

/// Replaces the runnable of a reference by one for each package, or for each test if the user wants
/// each test to have a process of its own.
///
/// # Errors
/// `failed`, `empty` or `invalid` where Go finds no packages, `not-found` without Go.
pub(crate) fn list(task: &Task) -> Result<Vec<Runnable>, Error> {
    let runnable = &task.runnable;
    if subject::is_listed(runnable) {
        return Ok(vec![runnable.clone()]);
    }
    let Some(uri) = runnable.uri.as_deref() else {
        let message = "kind go-test needs a uri: go:DIR, with the directory of a Go package";
        return Err(Error::new("invalid", message));
    };
    let reference = toolchain::parse(uri)?;
    let listed = toolchain::list(task, &reference)?;
    let isolate = reference.isolate.unwrap_or(ISOLATE.get(&task.settings));
    let Some(version) = Version::read(&listed.version) else {
        return Err(Error::new("invalid", "Go has no version"));
    };
    let mut runnables = Vec::new();
    for (number, found) in listed.packages.iter().enumerate() {
        let package = of_package(task, found, &listed.version);
        if let Some(fault) = found.fault() {
            if listed.packages.len() == 1 {
                return Err(Error::new("failed", fault));
            }
            runnables.push(package.kwarg(subject::FAULT, fault));
        } else if !found.has_tests() {
            runnables.push(package.kwarg(subject::EMPTY, true));
        } else if !isolate {
            runnables.push(package);
        } else {
            let of_binary = Package {
                import_path: found.import_path.clone(),
                directory: found.dir.clone(),
            };
            let subject = Subject::new(&reference, of_binary, version);
            match isolated(task, &subject, number) {
                Ok(tests) if tests.is_empty() => {
                    runnables.push(package.kwarg(subject::EMPTY, true));
                }
                Ok(tests) => runnables.extend(tests.iter().map(|test| {
                    let name = format!("{}.{test}", found.import_path);
                    package
                        .clone()
                        .kwarg(subject::TEST, test.as_str())
                        .identifier(name)
                })),
                Err(error) if error.code == "failed" => {
                    runnables.push(package.kwarg(subject::FAULT, error.message));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(runnables)
}

/// The runnable of a package. What the user has given to the reference as a whole holds for each.
fn of_package(task: &Task, package: &ListedPackage, version: &str) -> Runnable {
    let mut runnable = task.runnable.clone();
    runnable.kind = KIND.to_owned();
    runnable
        .kwarg(subject::PACKAGE, package.import_path.as_str())
        .kwarg(subject::DIRECTORY, relative(task, &package.dir))
        .kwarg(subject::VERSION, version)
        .identifier(&package.import_path)
}

/// Builds a package, and asks it for its tests.
fn isolated(task: &Task, subject: &Subject, number: usize) -> Result<Vec<String>, Error> {
    build::build(task, subject)?;
    ask(task, subject, &format!("list-{number}"))
}

/// Asks the test binary of a package for the tests of the reference. `name` tells the files of this
/// list from those of others.
///
/// # Errors
/// `failed` where the binary has no list; those of the host.
pub(crate) fn ask(task: &Task, subject: &Subject, name: &str) -> Result<Vec<String>, Error> {
    let mut tests = list_matching(task, subject, subject.included(), name)?;
    if let Some(excluded) = subject.excluded() {
        let excluded = list_matching(task, subject, excluded, &format!("{name}-skip"))?;
        tests.retain(|test| !excluded.contains(test));
    }
    Ok(tests)
}

/// Asks the test binary of a package for the top-level tests of an expression.
fn list_matching(
    task: &Task,
    subject: &Subject,
    top: &str,
    name: &str,
) -> Result<Vec<String>, Error> {
    let import_path = &subject.package.import_path;
    let fault = |why: String| {
        Error::new(
            "failed",
            format!("{import_path} has no list of its tests: {why}"),
        )
    };
    let limit = LIST_TIMEOUT.get(&task.settings);
    let command = subject.list(task, &build::path(task, subject)?, top, name)?;
    let exit = match run_within(&command, limit) {
        Ok(Some(exit)) => exit,
        Ok(None) => {
            let (seconds, key) = (limit.as_secs_f64(), LIST_TIMEOUT.key());
            return Err(fault(format!(
                "its test binary did not list them within {seconds} s (`{key}`)"
            )));
        }
        Err(error) if ["not-found", "not-permitted"].contains(&error.code.as_str()) => {
            return Err(fault(error.message));
        }
        Err(error) => return Err(error),
    };
    if !exit.success() {
        let last = files::last_line(&format!("{name}.log"))?;
        let last = last
            .map(|line| format!(": {}", shown(&line, SHOWN)))
            .unwrap_or_default();
        let ended = describe_exit(&exit);
        return Err(fault(format!(
            "with `-test.list` its test binary {ended}{last}"
        )));
    }
    let printed = files::text(&format!("{name}.out"), LONGEST)?;
    let tests = read(&printed);
    let mut known = HashSet::new();
    if let Some(twice) = tests.iter().find(|name| !known.insert(name.as_str())) {
        return Err(fault(format!(
            "its test binary lists `{}` twice",
            shown(twice, SHOWN)
        )));
    }
    let mut lines = printed.lines().filter(|line| !line.trim().is_empty());
    if let (true, Some(line)) = (tests.is_empty(), lines.find(|line| !is_benchmark(line))) {
        return Err(fault(format!(
            "its test binary printed `{}` in place of a list",
            shown(line, SHOWN)
        )));
    }
    Ok(tests)
}

/// Reads the names in a list. A `TestMain` may print other lines before and after them.
fn read(printed: &str) -> Vec<String> {
    let kinds = ["Test", "Example", "Fuzz"];
    let is_test = |line: &&str| kinds.iter().any(|kind| is_name(line, kind));
    printed.lines().filter(is_test).map(str::to_owned).collect()
}

fn is_benchmark(line: &str) -> bool {
    is_name(line, "Benchmark")
}

/// Whether a line is the name of a function of a kind: `TestSums`, but neither `Testing` nor
/// `Test it`.
fn is_name(line: &str, kind: &str) -> bool {
    let Some(rest) = line.strip_prefix(kind) else {
        return false;
    };
    !rest.starts_with(char::is_lowercase)
        && rest
            .chars()
            .all(|letter| letter.is_alphanumeric() || letter == '_')
}

/// A path in the project as a relative one, so that it is the same in every checkout.
fn relative(task: &Task, path: &str) -> String {
    let project = task.project_dir();
    match project.and_then(|project| path.strip_prefix(project)) {
        Some("") => ".".to_owned(),
        Some(rest) => rest.strip_prefix('/').unwrap_or(path).to_owned(),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_tests_are_read() {
        let printed = "Testing now\nTestA\nTest_b\nTest\nTests\nTestÄ\nExample\nExampleA_b\n\
                       FuzzA\nBenchmarkA\nTestA: no\nok\n";
        let expected = [
            "TestA",
            "Test_b",
            "Test",
            "TestÄ",
            "Example",
            "ExampleA_b",
            "FuzzA",
        ];
        assert_eq!(read(printed), expected);
    }
}
