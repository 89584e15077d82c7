//! Owns what a runnable stands for, and the command that starts its program.

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{Command, Output};

use crate::framework::{Framework, Selection};

/// Keyword argument: which tests run, in the language of the framework.
pub(crate) const FILTER: &str = "filter";
/// Keyword argument: whether each test is a task of its own.
pub(crate) const ISOLATE: &str = "isolate";
/// Keyword argument: the name of the only test of the task.
pub(crate) const TEST: &str = "test";

/// Variables that would make a program run only a part of what is asked for.
const SHARDS: [&str; 2] = ["GTEST_TOTAL_SHARDS", "GTEST_SHARD_INDEX"];

/// Options of Catch2 that are followed by a value.
const WITH_VALUE: [&str; 24] = [
    "-n",
    "--name",
    "-x",
    "--abortx",
    "-w",
    "--warn",
    "-d",
    "--durations",
    "-D",
    "--min-duration",
    "-f",
    "--input-file",
    "-c",
    "--section",
    "-v",
    "--verbosity",
    "--order",
    "--rng-seed",
    "--colour-mode",
    "--use-colour",
    "--wait-for-keypress",
    "--benchmark-samples",
    "--benchmark-resamples",
    "--benchmark-confidence-interval",
];

/// What a task runs.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) framework: Framework,
    /// The path of the program, for messages.
    pub(crate) program: String,
    /// The program with the arguments of the runnable and its environment.
    pub(crate) command: Command,
    pub(crate) filter: Option<String>,
    /// The only test of the task; none for all tests of the program.
    pub(crate) test: Option<String>,
}

impl Subject {
    /// Reads a task.
    ///
    /// # Errors
    /// `invalid` for a runnable without a uri, a keyword argument of another type, or arguments
    /// that select tests; as [`persea_exec_command::command`].
    pub(crate) fn of(task: &Task) -> Result<Self, Error> {
        let runnable = &task.runnable;
        let framework = Framework::of(runnable)?;
        let text = |name: &str| match runnable.kwargs.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Error::new("invalid", format!("`{name}` must be a text"))),
        };
        let (filter, test) = (text(FILTER)?, text(TEST)?);
        check_arguments(framework, &runnable.args)?;
        let mut as_program = task.clone();
        // Those of this kind are no variables.
        as_program.runnable.kwargs = Attributes::new();
        let mut command = persea_exec_command::command(&as_program)?;
        let program = command.program.clone();
        // Without a slash it would be looked up in PATH.
        if !program.contains('/') {
            command.program.insert_str(0, "./");
        }
        // Colours would be in the output, and a short output has no names of tests. These are no
        // arguments, because versions of GoogleTest differ in those that they know.
        command = command.env("GTEST_COLOR", "no").env("GTEST_BRIEF", "0");
        if test.is_some() {
            for name in SHARDS {
                command = command.env_remove(name);
            }
        }
        Ok(Self {
            framework,
            program,
            command,
            filter,
            test,
        })
    }

    /// What the first process of the task runs.
    pub(crate) fn selection(&self) -> Selection {
        match &self.test {
            Some(test) => Selection::Names(vec![test.clone()]),
            None => Selection::Filter(self.filter.clone()),
        }
    }

    /// The command that runs tests and writes their report to a file of the task.
    pub(crate) fn run(&self, task: &Task, selection: &Selection, report: &str) -> Command {
        let file = path_of(task, report);
        self.command
            .clone()
            .args(self.framework.arguments(selection))
            .args(self.framework.reporting(&file))
            .stdout(Output::file("stdout"))
            .stderr(Output::file("stderr"))
    }
}

/// The path of a file of the task, in its environment.
pub(crate) fn path_of(task: &Task, name: &str) -> String {
    match task.output_dir() {
        Some(directory) => format!("{directory}/{name}"),
        None => name.to_owned(),
    }
}

/// Checks that arguments do not select tests: a process that runs one test, or the tests after a
/// crash, selects by itself.
fn check_arguments(framework: Framework, args: &[String]) -> Result<(), Error> {
    let mut is_value = false;
    for arg in args {
        let selects = match framework {
            Framework::GoogleTest => arg.starts_with("--gtest_filter"),
            Framework::Catch2 => !is_value && !arg.starts_with('-'),
        };
        if selects {
            let message = format!(
                "the argument `{arg}` selects tests; write it as the keyword argument `{FILTER}`"
            );
            return Err(Error::new("invalid", message));
        }
        let reports = match framework {
            Framework::GoogleTest => arg.starts_with("--gtest_output"),
            Framework::Catch2 => ["-r", "--reporter", "-o", "--out"].contains(&arg.as_str()),
        };
        if reports {
            let message = format!("the argument `{arg}` would replace the report; leave it out");
            return Err(Error::new("invalid", message));
        }
        is_value = WITH_VALUE.contains(&arg.as_str());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn subject(runnable: Runnable) -> Result<Subject, Error> {
        Subject::of(&Task::new("1-t", runnable).with("output-dir", "/r"))
    }

    fn args(runnable: Runnable) -> Vec<String> {
        let task = Task::new("1-t", runnable).with("output-dir", "/r");
        let subject = Subject::of(&task).unwrap();
        subject.run(&task, &subject.selection(), "report.xml").args
    }

    #[test]
    fn command_selects_and_reports() {
        let googletest = || Runnable::new("googletest").uri("b/t").args(["--x"]);
        let expected = ["--x", "--gtest_output=xml:/r/report.xml"];
        assert_eq!(args(googletest()), expected);
        let filtered = googletest().kwarg(FILTER, "A.*-A.b");
        assert_eq!(args(filtered)[1], "--gtest_filter=A.*-A.b");
        let one = googletest().kwarg(TEST, "A/0.b-c");
        assert_eq!(args(one)[1], "--gtest_filter=A/0.b?c");
        let catch2 = Runnable::new("catch2").uri("b/t").args(["--rng-seed", "1"]);
        let expected = [
            "--rng-seed",
            "1",
            "\"a\\, [b]\"",
            "--reporter",
            "xml",
            "--out",
            "/r/report.xml",
        ];
        assert_eq!(args(catch2.kwarg(TEST, "a, [b]")), expected);
    }

    #[test]
    fn program_is_never_looked_up_in_path() {
        let subject = subject(Runnable::new("catch2").uri("t")).unwrap();
        assert_eq!((&*subject.command.program, &*subject.program), ("./t", "t"));
    }

    #[test]
    fn keyword_arguments_are_no_variables() {
        let one = Runnable::new("googletest").uri("t").kwarg(TEST, "A.b");
        let env = subject(one).unwrap().command.env;
        assert!(!env.iter().any(|(name, _)| name == TEST), "{env:?}");
        assert!(
            env.contains(&("GTEST_TOTAL_SHARDS".to_owned(), None)),
            "{env:?}"
        );
        let all = Runnable::new("googletest").uri("t");
        let env = subject(all).unwrap().command.env;
        assert!(
            !env.iter().any(|(name, _)| name == "GTEST_TOTAL_SHARDS"),
            "{env:?}"
        );
    }

    #[test]
    fn arguments_that_the_plugin_gives_itself_are_refused() {
        for (kind, arg) in [
            ("googletest", "--gtest_filter=A.*"),
            ("googletest", "--gtest_output=xml"),
            ("catch2", "[fast]"),
            ("catch2", "-r"),
        ] {
            let error = subject(Runnable::new(kind).uri("t").args(["--x", arg])).unwrap_err();
            assert!(error.message.contains(&format!("`{arg}`")), "{error}");
        }
        let wrong = Runnable::new("catch2").uri("t").kwarg(FILTER, 3);
        assert_eq!(subject(wrong).unwrap_err().code, "invalid");
        assert_eq!(
            subject(Runnable::new("catch2")).unwrap_err().code,
            "invalid"
        );
        assert_eq!(
            subject(Runnable::new("other").uri("t")).unwrap_err().code,
            "invalid"
        );
    }
}
