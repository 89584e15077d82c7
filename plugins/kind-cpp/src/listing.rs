//! Owns the list of tests: asks a program for its tests, with a time limit. Does not know the form
//! of a list.

use std::collections::HashSet;
use std::time::Duration;

use persea_exec_command::listing::NoList;
use persea_exec_command::{describe_exit, run_within};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{Command, Exit, Output};

use crate::catch2;
use crate::framework::{Framework, Selection};
use crate::listed::ListedTest;
use crate::program::{FILTER, ISOLATE, Subject, TEST, path_of};
use persea_exec_command::files;
use persea_exec_command::results::shown;

/// The longest list of a program, in bytes: 64 MiB.
const LONGEST: usize = 64 << 20;

/// The most that a message shows of what a program has printed, in characters.
const SHOWN: usize = 100;

/// Replaces the runnable of a program by one for each of its tests, if the user wants each test to
/// have a process of its own.
///
/// # Errors
/// `failed` where the program has no list of its tests; `invalid` for a runnable that makes no
/// sense; `empty` where no test is in the list.
pub(crate) fn list(task: &Task) -> Result<Vec<Runnable>, Error> {
    let runnable = &task.runnable;
    let subject = Subject::of(task)?;
    let isolate = match runnable.kwargs.get(ISOLATE) {
        None | Some(Value::Null) => subject.framework.isolate().get(&task.settings),
        Some(Value::Boolean(isolate)) => *isolate,
        Some(_) => return Err(Error::new("invalid", "`isolate` must be true or false")),
    };
    if subject.test.is_some() || !isolate {
        return Ok(vec![runnable.clone()]);
    }
    let tests = ask(task, &subject, &subject.selection(), "list")?;
    if tests.is_empty() {
        let message = match &subject.filter {
            Some(filter) => format!("no test of {} matches `{filter}`", subject.program),
            None => format!("{} lists no tests", subject.program),
        };
        return Err(Error::new("empty", message));
    }
    let mut known = HashSet::new();
    if let Some(twice) = tests.iter().find(|test| !known.insert(&test.name)) {
        let message = format!(
            "{} lists `{}` twice, so that no process can run it alone; without `{ISOLATE}` all \
             tests run in one process",
            subject.program,
            shown(&twice.name, SHOWN)
        );
        return Err(Error::new("failed", message));
    }
    Ok(tests
        .into_iter()
        .map(|test| of_test(runnable, &subject.program, test))
        .collect())
}

/// The runnable of one test. What the user has given to the program as a whole holds for each.
fn of_test(parent: &Runnable, program: &str, test: ListedTest) -> Runnable {
    let mut runnable = parent.clone();
    runnable.kwargs = parent
        .kwargs
        .iter()
        .filter(|(name, _)| ![FILTER, ISOLATE].contains(name))
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
    for tag in test.tags {
        if !runnable.tags.iter().any(|(known, _)| *known == tag) {
            runnable = runnable.tag(tag, [""; 0]);
        }
    }
    let identifier = format!("{program}:{}", test.name);
    runnable.kwarg(TEST, test.name).identifier(identifier)
}

/// Asks a program for its tests. `name` tells the files of this list from those of others.
///
/// # Errors
/// `failed` where the program has no list; those of the host.
pub(crate) fn ask(
    task: &Task,
    subject: &Subject,
    selection: &Selection,
    name: &str,
) -> Result<Vec<ListedTest>, Error> {
    let question = Question {
        task,
        subject,
        selection,
        name,
    };
    let listed = match subject.framework {
        Framework::GoogleTest => question.googletest(),
        Framework::Catch2 => question.catch2(),
    };
    listed.map_err(|why| match why {
        NoList::Failed(error) => error,
        NoList::Fault(why) => {
            let message = format!("{} has no list of tests: {why}", subject.program);
            Error::new("failed", message)
        }
    })
}

/// A question to a program.
struct Question<'a> {
    task: &'a Task,
    subject: &'a Subject,
    selection: &'a Selection,
    name: &'a str,
}

impl Question<'_> {
    /// Asks a program with GoogleTest, which writes an XML file.
    fn googletest(&self) -> Result<Vec<ListedTest>, NoList> {
        let file = format!("{}.xml", self.name);
        let path = path_of(self.task, &file);
        let args = ["--gtest_list_tests", &format!("--gtest_output=xml:{path}")];
        let exit = self.run(self.command().args(args))?;
        if !exit.success() {
            return Err(NoList::Fault(self.ended("--gtest_list_tests", &exit)?));
        }
        self.read(&files::text(&file, LONGEST)?)
    }

    /// Asks a program with Catch2. Version 3 writes an XML file, version 2 prints names.
    fn catch2(&self) -> Result<Vec<ListedTest>, NoList> {
        let file = format!("{}.xml", self.name);
        let path = path_of(self.task, &file);
        let args = ["--list-tests", "--reporter", "xml", "--out", &path];
        let exit = self.run(self.command().args(args))?;
        let list = files::text(&file, LONGEST)?;
        if !list.trim().is_empty() {
            if !exit.success() {
                return Err(NoList::Fault(self.ended("--list-tests", &exit)?));
            }
            return self.read(&list);
        }
        let printed = files::text(&self.stdout(), LONGEST)?;
        if exit.code().is_none() || !catch2::is_old_list(&printed) {
            return Err(match exit.success() {
                true => NoList::Fault(self.rubbish()?),
                false => NoList::Fault(self.ended("--list-tests", &exit)?),
            });
        }
        let exit = self.run(self.command().arg("--list-test-names-only"))?;
        let names = files::rest(&self.stdout(), printed.len() as u64, LONGEST)?;
        let tests = catch2::read_names(&String::from_utf8_lossy(&names));
        match exit.code() {
            Some(code) if catch2::is_count(code, tests.len()) => Ok(tests),
            _ => Err(NoList::Fault(self.ended("--list-test-names-only", &exit)?)),
        }
    }

    fn command(&self) -> Command {
        let arguments = self.subject.framework.arguments(self.selection);
        self.subject
            .command
            .clone()
            .args(arguments)
            .stdout(Output::file(self.stdout()))
            .stderr(Output::file(self.stderr()))
    }

    fn stdout(&self) -> String {
        format!("{}.out", self.name)
    }

    fn stderr(&self) -> String {
        format!("{}.log", self.name)
    }

    /// Runs a command within the time for lists.
    fn run(&self, command: Command) -> Result<Exit, NoList> {
        let setting = self.subject.framework.list_timeout();
        let timeout: Duration = setting.get(&self.task.settings);
        run_within(&command, timeout)?.ok_or_else(|| {
            let (seconds, key) = (timeout.as_secs_f64(), setting.key());
            NoList::Fault(format!(
                "it did not list its tests within {seconds} s (`{key}`)"
            ))
        })
    }

    fn read(&self, list: &str) -> Result<Vec<ListedTest>, NoList> {
        if list.trim().is_empty() {
            return Err(NoList::Fault(self.rubbish()?));
        }
        let read = self.subject.framework.read_list(list);
        read.map_err(NoList::Fault)
    }

    /// What is wrong with a program that ended well and has written no list.
    fn rubbish(&self) -> Result<String, Error> {
        let versions = self.subject.framework.versions();
        let question = format!("is it a test program with {versions}?");
        Ok(match files::last_line(&self.stdout())? {
            Some(line) => {
                let line = shown(&line, SHOWN);
                format!("it printed `{line}` in place of a list; {question}")
            }
            None => format!("it wrote no list; {question}"),
        })
    }

    /// How a program ended that should have listed its tests.
    fn ended(&self, option: &str, exit: &Exit) -> Result<String, Error> {
        let ended = describe_exit(exit);
        Ok(match files::last_line(&self.stderr())? {
            Some(line) => format!("with `{option}` it {ended}: {}", shown(&line, SHOWN)),
            None => format!("with `{option}` it {ended}"),
        })
    }
}

#[cfg(test)]
mod tests;
