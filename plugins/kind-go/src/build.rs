//! Owns the build of a package's test binary by `go test -c`, and the summary of a build that
//! fails.
//!
//! A package is built by the task that runs it, so that its tests begin as soon as it is built and
//! a package that does not build costs only its own tests, as with `go test`. Go before 1.21 builds
//! one package at a time anyway. Its build cache has what packages share.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use persea_exec_command::{describe_exit, files};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command, Output};

use crate::reason::Package;
use crate::subject::Subject;
use crate::toolchain;

/// The most errors that a summary has.
const MOST: usize = 3;

/// The longest summary of one error, in characters.
const LONGEST: usize = 500;

/// The longest part of a package's name in the name of its binary, in characters: a letter may have
/// four bytes, and a name of a file has at most 255.
const LONGEST_NAME: usize = 32;

/// Returns the path at which a task finds the test binary of its package, or puts it there: in the
/// directory that all tasks of the job share.
///
/// The user may choose that directory, so that it outlives the job. The path is therefore another
/// one in each job, and in each host of a job: the source files may have changed before a job is
/// resumed.
///
/// # Errors
/// `invalid` where the task has no directory for the binary. A place that other users can write to
/// would not do, because a task runs a binary that it finds.
pub(crate) fn path(task: &Task, subject: &Subject) -> Result<String, Error> {
    let Some(directory) = task.job_temp_dir().or(task.work_dir()) else {
        let message = "the task has no directory for its binary";
        return Err(Error::new("invalid", message));
    };
    let parent = |path: Option<&str>| {
        let (parent, _) = path?.rsplit_once('/')?;
        Some(parent.to_owned())
    };
    // On this machine, the directory of all work directories is new with each host.
    let (job, host) = (parent(task.output_dir()), parent(task.work_dir()));
    let Package {
        import_path,
        directory: sources,
    } = &subject.package;
    let (options, env) = (&subject.reference.build, &task.runnable.env);
    let hash = hash_of(&(job, host, import_path, sources, options, env));
    let name = import_path.rsplit('/').next().unwrap_or(import_path);
    let name: String = name.chars().take(LONGEST_NAME).collect();
    Ok(format!("{directory}/{name}-{hash:016x}.test"))
}

/// Returns the path at which a task builds the binary of a path. Tasks that build the same package
/// at the same moment have different ones.
fn unfinished(task: &Task, path: &str) -> String {
    let hash = hash_of(&(&task.id, task.output_dir(), task.work_dir()));
    format!("{path}.{hash:016x}")
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Builds the test binary of a package, and puts it at its path.
///
/// # Errors
/// As [`path`]; `not-found` where there is no Go; `failed` with the compiler's message where the
/// build fails.
pub(crate) fn build(task: &Task, subject: &Subject) -> Result<(), Error> {
    let path = path(task, subject)?;
    // Other tasks must not find half a file.
    let begun = unfinished(task, &path);
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
    #![allow(clippy::unwrap_used, clippy::unreachable)]
    use super::*;
    use crate::subject::{self, Work};
    use std::collections::HashSet;

    fn task(id: &str, import_path: &str) -> Task {
        let runnable = Runnable::new(crate::KIND)
            .uri("go:a")
            .kwarg(subject::PACKAGE, import_path)
            .kwarg(subject::DIRECTORY, "a")
            .kwarg(subject::VERSION, "go1.19.8");
        Task::new(id, runnable).with("project-dir", "/w")
    }

    /// A task with the directories that the host gives it.
    fn placed(id: &str, common: &str, job: &str, host: &str) -> Task {
        task(id, "m/a")
            .with("job-temp-dir", common)
            .with("output-dir", format!("{job}/{id}"))
            .with("work-dir", format!("{host}/slot-{id}"))
    }

    fn subject_of(task: &Task) -> Subject {
        match Work::of(task).unwrap() {
            Work::Tests(subject) => *subject,
            Work::Nothing => unreachable!("the package has tests"),
        }
    }

    fn path_of(task: &Task) -> String {
        path(task, &subject_of(task)).unwrap()
    }

    #[test]
    fn binary_belongs_to_one_host_of_one_job() {
        let first = placed("1-t", "/c", "/jobs/1", "/tmp/x");
        let same_job = placed("2-t", "/c", "/jobs/1", "/tmp/x");
        assert_eq!(path_of(&first), path_of(&same_job));
        assert!(path_of(&first).starts_with("/c/a-"), "{}", path_of(&first));
        let mut with_variable = first.clone();
        let variable = ("CGO_ENABLED".to_owned(), Some("0".to_owned()));
        with_variable.runnable.env.push(variable);
        let all = [
            first,
            placed("1-t", "/c", "/jobs/2", "/tmp/x"),
            placed("1-t", "/c", "/jobs/1", "/tmp/y"),
            with_variable,
        ];
        let paths: HashSet<String> = all.iter().map(path_of).collect();
        assert_eq!(paths.len(), all.len(), "{paths:?}");
    }

    #[test]
    fn task_without_a_directory_has_no_binary() {
        let task = task("1-t", "m/a");
        let error = path(&task, &subject_of(&task)).unwrap_err();
        assert_eq!(
            (&*error.code, &*error.message),
            ("invalid", "the task has no directory for its binary")
        );
        let error = build(&task, &subject_of(&task)).unwrap_err();
        assert_eq!(error.code, "invalid");
    }

    #[test]
    fn names_of_files_have_a_limit() {
        let id = format!("1-{}", "i".repeat(300));
        let package = format!("m/{}", "ä".repeat(120));
        let long = task(&id, &package).with("job-temp-dir", "/c");
        let path = path_of(&long);
        let unfinished_path = unfinished(&long, &path);
        for path in [&path, &unfinished_path] {
            let name = path.strip_prefix("/c/").unwrap();
            assert!(name.len() <= 255 && !name.contains('/'), "{name}");
        }
        let other = task("2-t", &package).with("job-temp-dir", "/c");
        assert_ne!(unfinished_path, unfinished(&other, &path));
    }

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
