//! Owns the build of a package's test binary by `go test -c`, and the summary of a build that
//! fails.
//!
//! A package is built by the task that runs it, so that its tests begin as soon as it is built and
//! a package that does not build costs only its own tests, as with `go test`. Go before 1.21 builds
//! one package at a time anyway. Its build cache has what packages share.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use persea_exec_command::{describe_exit, files};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command, Output};

use crate::subject::Subject;
use crate::toolchain;

/// The most errors that a summary has.
const MOST: usize = 3;

/// The longest summary of one error, in characters.
const LONGEST: usize = 500;

/// Returns the path at which a task finds the test binary of its package, or puts it there: in the
/// directory that all tasks of the job share. It is another one in each job.
pub(crate) fn path(task: &Task, subject: &Subject) -> String {
    let output = task.output_dir().unwrap_or_default();
    let job = output.rsplit_once('/').map_or("", |(parent, _)| parent);
    let mut hasher = DefaultHasher::new();
    (
        job,
        &subject.package.import_path,
        &subject.package.directory,
    )
        .hash(&mut hasher);
    (&subject.reference.build, &task.runnable.env).hash(&mut hasher);
    let import_path = &subject.package.import_path;
    let name = import_path.rsplit('/').next().unwrap_or(import_path);
    let directory = task.job_temp_dir().or(task.work_dir()).unwrap_or("/tmp");
    format!("{directory}/{name}-{:016x}.test", hasher.finish())
}

/// Builds the test binary of a package, and puts it at its path.
///
/// # Errors
/// `not-found` where there is no Go; `failed` with the compiler's message where the build fails.
pub(crate) fn build(task: &Task, subject: &Subject) -> Result<(), Error> {
    let path = path(task, subject);
    // Other tasks must not find half a file.
    let begun = format!("{path}.{}", task.id.replace('/', "_"));
    let import_path = &subject.package.import_path;
    // The compiler names files as seen from the directory of the reference.
    let directory = toolchain::absolute(task, &subject.reference.directory);
    let build = toolchain::command(task, &directory)
        .args(["test", "-c", "-o", &begun])
        .args(&subject.reference.build)
        .arg(import_path)
        .stdout(Output::file("build.log"))
        .stderr(Output::WithStdout);
    let exit = process::run(&build).map_err(|error| toolchain::missing(task, &error))?;
    if !exit.success() {
        let log = files::tail("build.log", 64 << 10)?;
        let message = match summary(&log) {
            Some(summary) => format!("{import_path} does not build: {summary}"),
            None => format!(
                "{import_path} does not build: `go test -c` {}",
                describe_exit(&exit)
            ),
        };
        return Err(Error::new("failed", message));
    }
    let moved = process::run(&Command::new("mv").args(["--", &begun, &path]))?;
    match moved.success() {
        true => Ok(()),
        false => {
            let message = format!("`go test -c` has built no tests of {import_path}; is it Go?");
            Err(Error::new("failed", message))
        }
    }
}

/// Returns the first errors in what Go has printed; none where it has printed nothing.
fn summary(log: &str) -> Option<String> {
    let mut errors: Vec<String> = Vec::new();
    for line in log.lines() {
        let is_head = line.starts_with("# ") || line.starts_with("FAIL\t");
        if is_head || line.trim().is_empty() || line.starts_with("go: downloading ") {
            continue;
        }
        match errors.last_mut() {
            // The compiler explains an error in indented lines.
            Some(error) if line.starts_with(['\t', ' ']) => {
                error.push_str("; ");
                error.push_str(line.trim());
            }
            Some(_) | None => errors.push(line.trim().to_owned()),
        }
    }
    let surplus = errors.len().saturating_sub(MOST);
    errors.truncate(MOST);
    for error in &mut errors {
        *error = persea_exec_command::results::shown(error, LONGEST);
    }
    if surplus > 0 {
        errors.push(format!("{surplus} more"));
    }
    (!errors.is_empty()).then(|| errors.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_has_the_first_errors() {
        let log = "go: downloading x v1\n# m/c [m/c.test]\n\
                   c/c_test.go:3:28: x declared but not used\n\
                   c/c_test.go:4:28: cannot use y\n\thave int\n\twant string\n";
        let expected = "c/c_test.go:3:28: x declared but not used; \
                        c/c_test.go:4:28: cannot use y; have int; want string";
        assert_eq!(summary(log).as_deref(), Some(expected));
        let many = "a.go:1:1: no\n".repeat(5);
        let found = summary(&many).unwrap_or_default();
        assert!(found.ends_with("a.go:1:1: no; 2 more"), "{found}");
        let setup = "# m/c\na_test.go:2:8: no required module provides package x\n\
                     FAIL\tm/c [setup failed]\n";
        let expected = "a_test.go:2:8: no required module provides package x";
        assert_eq!(summary(setup).as_deref(), Some(expected));
        assert_eq!(summary("\n"), None);
    }
}
