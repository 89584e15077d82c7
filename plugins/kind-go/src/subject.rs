//! Owns what a runnable stands for: a package whose tests run, one test of it, or the reason why
//! nothing can run; and the command that runs a test binary.

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{Command, Output};

use crate::reason::Package;
use crate::reference::GoReference;
use crate::toolchain::{self, Version};

/// Keyword argument: the import path of the package.
pub(crate) const PACKAGE: &str = "package";
/// Keyword argument: the directory of the package, in which its tests run.
pub(crate) const DIRECTORY: &str = "directory";
/// Keyword argument: the version of Go that builds the package.
pub(crate) const VERSION: &str = "go";
/// Keyword argument: the name of the only test of the task.
pub(crate) const TEST: &str = "test";
/// Keyword argument: that the package has no test files.
pub(crate) const EMPTY: &str = "empty";
/// Keyword argument: why the package or its tests cannot be listed.
pub(crate) const FAULT: &str = "fault";

/// The longest expression with names of tests, in bytes. Linux takes 128 KiB for one argument.
const LONGEST_SELECTION: usize = 64 << 10;

/// Go's own time limit for a process with tests, which `go test` gives it too.
const TIMEOUT: &str = "10m0s";

/// What a task is.
#[derive(Debug)]
pub(crate) enum Work {
    /// Tests of a package.
    Tests(Box<Subject>),
    /// A package without test files.
    Nothing,
}

/// The tests that a task runs.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) reference: GoReference,
    pub(crate) package: Package,
    version: Version,
    /// The only test of the task; none for all tests of the package.
    pub(crate) test: Option<String>,
}

/// Which tests of a package a process runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Selection {
    /// Those of the reference.
    All,
    /// Those of the reference with these names.
    Names(Vec<String>),
}

/// Whether a runnable was listed.
pub(crate) fn is_listed(runnable: &Runnable) -> bool {
    [PACKAGE, FAULT]
        .iter()
        .any(|name| runnable.kwargs.get(name).is_some())
}

impl Work {
    /// Reads a task.
    ///
    /// # Errors
    /// `failed` for a package that could not be listed; `invalid` for a runnable that was not
    /// listed, or makes no sense.
    pub(crate) fn of(task: &Task) -> Result<Self, Error> {
        let runnable = &task.runnable;
        let text = |name: &str| runnable.kwargs.text(name).map(str::to_owned);
        if let Some(fault) = text(FAULT) {
            return Err(Error::new("failed", fault));
        }
        let uri = runnable.uri.as_deref().unwrap_or_default();
        let (Some(import_path), Some(directory)) = (text(PACKAGE), text(DIRECTORY)) else {
            let message = format!(
                "the packages of {uri} were not listed; the lister `go-test` does that, unless \
                 `plugins.disable` names it"
            );
            return Err(Error::new("invalid", message));
        };
        if runnable.kwargs.get(EMPTY).is_some() {
            return Ok(Self::Nothing);
        }
        let version = text(VERSION).unwrap_or_default();
        Ok(Self::Tests(Box::new(Subject {
            reference: toolchain::parse(uri)?,
            package: Package {
                import_path,
                directory: toolchain::absolute(task, &directory),
            },
            version: Version::read(&version)
                .ok_or_else(|| Error::new("invalid", format!("`{version}` is no version of Go")))?,
            test: text(TEST),
        })))
    }
}

impl Subject {
    /// A subject that is a whole package.
    pub(crate) fn new(reference: &GoReference, package: Package, version: Version) -> Self {
        Self {
            reference: reference.clone(),
            package,
            version,
            test: None,
        }
    }

    /// What the first process of the task runs.
    pub(crate) fn selection(&self) -> Selection {
        match &self.test {
            Some(test) => Selection::Names(vec![test.clone()]),
            None => Selection::All,
        }
    }

    /// The command that runs tests, as `go test` does.
    ///
    /// # Errors
    /// As [`persea_exec_command::command`].
    pub(crate) fn run(
        &self,
        task: &Task,
        binary: &str,
        selection: &Selection,
    ) -> Result<Command, Error> {
        let timeout = match (&self.reference.timeout, task.timeout()) {
            (Some(timeout), _) => timeout,
            // The host ends the task at its own limit, and names the test that runs.
            (None, Some(_)) => "0",
            (None, None) => TIMEOUT,
        };
        let mut options = vec![
            format!("v={}", self.version.verbosity()),
            "paniconexit0".to_owned(),
            format!("timeout={timeout}"),
        ];
        options.extend(self.reference.binary.iter().cloned());
        let skip = self.reference.skip.as_ref();
        options.extend(skip.map(|skip| format!("skip={skip}")));
        if let Some(run) = self.expression(selection) {
            options.push(format!("run={run}"));
        }
        let options = options.into_iter().map(|option| format!("-test.{option}"));
        let mut command = self.command(task, binary)?;
        // What a test binary has after its own options is for the tests.
        let own = std::mem::take(&mut command.args);
        Ok(command
            .args(options)
            .args(own)
            .stdout(Output::file("stdout"))
            .stderr(Output::WithStdout))
    }

    /// The expression of the top-level tests of the reference.
    pub(crate) fn included(&self) -> &str {
        let run = self.reference.run.as_deref().unwrap_or(".");
        split(run).first().copied().unwrap_or_default()
    }

    /// The expression of the top-level tests that the reference leaves out; none where it leaves
    /// out none, or only subtests.
    pub(crate) fn excluded(&self) -> Option<&str> {
        let levels = self.reference.skip.as_deref().map(split)?;
        match levels.as_slice() {
            [top] => Some(top),
            _ => None,
        }
    }

    /// The command that lists the top-level tests of an expression. `name` tells its files from
    /// others.
    ///
    /// # Errors
    /// As [`persea_exec_command::command`].
    pub(crate) fn list(
        &self,
        task: &Task,
        binary: &str,
        top: &str,
        name: &str,
    ) -> Result<Command, Error> {
        let mut command = self.command(task, binary)?;
        command.args.clear();
        Ok(command
            .arg("-test.paniconexit0")
            .arg(format!("-test.list={top}"))
            .stdout(Output::file(format!("{name}.out")))
            .stderr(Output::file(format!("{name}.log"))))
    }

    /// The binary in the directory of the package, with the environment of a test.
    fn command(&self, task: &Task, binary: &str) -> Result<Command, Error> {
        let mut as_program = task.clone();
        as_program.runnable.uri = Some(binary.to_owned());
        // Those of this kind are no variables.
        as_program.runnable.kwargs = Attributes::new();
        let directory = &self.package.directory;
        let mut command = persea_exec_command::command(&as_program)?;
        // `go test` sets the variable, and the directory of the binary is of no use to a test.
        let mut env = vec![
            ("PWD".to_owned(), Some(directory.clone())),
            ("AVOCADO_TEST_BASEDIR".to_owned(), Some(directory.clone())),
        ];
        let is_own = |name: &str| name == "AVOCADO_TEST_BASEDIR";
        let has_base = command.env.iter().any(|(name, _)| is_own(name));
        env.retain(|(name, _)| has_base || !is_own(name));
        env.extend(
            std::mem::take(&mut command.env)
                .into_iter()
                .filter(|(name, _)| !is_own(name)),
        );
        command.env = env;
        Ok(command.cwd(directory))
    }

    /// The regular expression of the tests to run; none for all.
    fn expression(&self, selection: &Selection) -> Option<String> {
        let run = self.reference.run.as_deref();
        let Selection::Names(names) = selection else {
            return run.map(str::to_owned);
        };
        // Names of Go have no characters with a meaning in an expression.
        let mut expression = match names.as_slice() {
            [name] => format!("^{name}$"),
            names => format!("^({})$", names.join("|")),
        };
        for level in run.map(split).unwrap_or_default().into_iter().skip(1) {
            expression.push('/');
            expression.push_str(level);
        }
        Some(expression)
    }
}

/// Divides an expression at the slashes between the levels of subtests, as Go does: those outside
/// of brackets and parentheses.
fn split(expression: &str) -> Vec<&str> {
    let (mut levels, mut begin) = (Vec::new(), 0);
    let (mut brackets, mut parentheses, mut is_escaped) = (0_u32, 0_u32, false);
    for (at, letter) in expression.char_indices() {
        match letter {
            _ if is_escaped => {
                is_escaped = false;
                continue;
            }
            '\\' => is_escaped = true,
            '[' => brackets += 1,
            ']' => brackets = brackets.saturating_sub(1),
            '(' if brackets == 0 => parentheses += 1,
            ')' if brackets == 0 => parentheses = parentheses.saturating_sub(1),
            '/' if brackets == 0 && parentheses == 0 => {
                levels.push(expression.get(begin..at).unwrap_or_default());
                begin = at + 1;
            }
            _ => {}
        }
    }
    levels.push(expression.get(begin..).unwrap_or_default());
    levels
}

impl Selection {
    /// Divides names so that each part fits into an argument.
    pub(crate) fn parts(names: Vec<String>) -> Vec<Self> {
        let mut parts: Vec<Vec<String>> = Vec::new();
        let mut size = usize::MAX;
        for name in names {
            if size.saturating_add(name.len() + 1) > LONGEST_SELECTION {
                parts.push(Vec::new());
                size = 0;
            }
            size += name.len() + 1;
            if let Some(part) = parts.last_mut() {
                part.push(name);
            }
        }
        parts.into_iter().map(Self::Names).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::unreachable)]
    use super::*;

    fn task(uri: &str) -> Task {
        let runnable = Runnable::new(crate::KIND)
            .uri(uri)
            .args(["-golden"])
            .kwarg(PACKAGE, "m/a")
            .kwarg(DIRECTORY, "a")
            .kwarg(VERSION, "go1.19.8");
        Task::new("1-t", runnable).with("project-dir", "/w")
    }

    fn subject(task: &Task) -> Subject {
        match Work::of(task).unwrap() {
            Work::Tests(subject) => *subject,
            Work::Nothing => unreachable!("the package has tests"),
        }
    }

    fn args(task: &Task, selection: &Selection) -> Vec<String> {
        subject(task).run(task, "/b", selection).unwrap().args
    }

    #[test]
    fn command_is_that_of_go_test() {
        let task = task("go:a?short&run=A/b");
        let expected = [
            "-test.v=true",
            "-test.paniconexit0",
            "-test.timeout=10m0s",
            "-test.short",
            "-test.run=A/b",
            "-golden",
        ];
        assert_eq!(args(&task, &Selection::All), expected);
        let command = subject(&task).run(&task, "/b", &Selection::All).unwrap();
        assert_eq!(command.cwd.as_deref(), Some("/w/a"));
        assert!(
            command
                .env
                .contains(&("PWD".to_owned(), Some("/w/a".to_owned())))
        );
        assert!(!command.env.iter().any(|(name, _)| name == PACKAGE));
    }

    #[test]
    fn limit_of_the_task_replaces_that_of_go() {
        let limited = task("go:a").with("timeout", 3_000_000_000_i64);
        assert!(limited.timeout().is_some());
        assert!(args(&limited, &Selection::All).contains(&"-test.timeout=0".to_owned()));
        let own = task("go:a?timeout=1s").with("timeout", 3_000_000_000_i64);
        assert!(args(&own, &Selection::All).contains(&"-test.timeout=1s".to_owned()));
    }

    #[test]
    fn names_replace_the_first_level_of_the_expression() {
        let names =
            |names: &[&str]| Selection::Names(names.iter().map(|it| (*it).to_owned()).collect());
        let run = |uri: &str, selection: &Selection| subject(&task(uri)).expression(selection);
        assert_eq!(run("go:a", &Selection::All), None);
        assert_eq!(run("go:a", &names(&["TestA"])).unwrap(), "^TestA$");
        let two = names(&["TestA", "TestB"]);
        assert_eq!(
            run("go:a?run=Test/b[/]/(c/d)", &two).unwrap(),
            "^(TestA|TestB)$/b[/]/(c/d)"
        );
    }

    #[test]
    fn list_has_the_first_level_of_the_expression() {
        let one = task("go:a?run=A/b&short&skip=C");
        let subject_of = subject(&one);
        assert_eq!(
            (subject_of.included(), subject_of.excluded()),
            ("A", Some("C"))
        );
        let list = subject_of.list(&one, "/b", "A", "list").unwrap();
        assert_eq!(list.args, ["-test.paniconexit0", "-test.list=A"]);
        let all = subject(&task("go:a?skip=C/d"));
        assert_eq!((all.included(), all.excluded()), (".", None));
    }

    #[test]
    fn many_names_are_divided() {
        let names: Vec<String> = (0..20_000).map(|number| format!("Test{number}")).collect();
        let parts = Selection::parts(names.clone());
        assert!(parts.len() > 1, "{}", parts.len());
        let all = parts.into_iter().flat_map(|part| match part {
            Selection::Names(names) => names,
            Selection::All => Vec::new(),
        });
        assert_eq!(all.collect::<Vec<_>>(), names);
    }

    #[test]
    fn runnable_that_was_not_listed_is_an_error() {
        let task = Task::new("1-t", Runnable::new(crate::KIND).uri("go:."));
        let error = Work::of(&task).unwrap_err();
        assert!(
            error
                .message
                .starts_with("the packages of go:. were not listed"),
            "{error}"
        );
        let fault = Runnable::new(crate::KIND).uri("go:.").kwarg(FAULT, "no");
        assert!(is_listed(&fault));
        assert_eq!(
            Work::of(&Task::new("1-t", fault)).unwrap_err().message,
            "no"
        );
    }
}
