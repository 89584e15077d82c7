//! Persea's runner plugin `python-unittest`: runs methods of Python's unittest, each in a process of its own.
//!
//! `batch` runs many with one Python. This file is the plugin's outside: it starts the interpreter with a script of ours, and reads the line that this
//! sends. What happens in Python is in `persea_unittest.py`, what its line means in `report`.

mod batch;
mod report;
mod uri;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Child, Command, Output, Stream};
use report::Line;

const KIND: &str = "python-unittest";

/// The interpreter to start; a path, or a name to be found in PATH.
const INTERPRETER: &str = "runner.python-unittest.interpreter";

/// What runs in the interpreter.
const SCRIPT: &str = include_str!("persea_unittest.py");

/// The longest line that the script sends, in bytes, with room to spare: it cuts what it puts in.
const MAX_LINE: usize = 1 << 20;

/// The runner `python-unittest`.
pub struct PythonUnittest;

impl Runner for PythonUnittest {
    fn describe() -> Description {
        Description::new(KIND, "runs the tests of Python's unittest")
            .kinds([KIND])
            .settings([INTERPRETER])
    }

    fn run(task: Task) -> Result<Outcome, Error> {
        let uri = task.runnable.uri.as_deref().unwrap_or_default();
        let Some(file) = uri::file(uri) else {
            return Ok(no_test(uri));
        };
        let command = command(&task, interpreter(&task), file)?
            .args(["-c", SCRIPT, uri])
            .stdout(Output::file("stdout"))
            .stderr(Output::file("stderr"))
            .report(true);
        let child = match process::start(&command) {
            Ok(child) => child,
            Err(error) => return missing(error),
        };
        let report = read_report(&child)?;
        let exit = child.wait()?;
        match report.line {
            Some(line) => Ok(Line::read(&line)?.outcome(&exit)),
            None if report.has_started => Ok(report::silent(&exit)),
            None => Ok(report::interpreter_ended(&exit)),
        }
    }
}

impl BatchRunner for PythonUnittest {
    fn run_batch(batch: &mut Batch) -> Result<(), Error> {
        batch::run(batch)
    }
}

export!(batch_runner: PythonUnittest);

fn interpreter(task: &Task) -> &str {
    task.settings.text(INTERPRETER).unwrap_or("python3")
}

/// The outcome where a uri is none of this kind.
fn no_test(uri: &str) -> Outcome {
    Outcome::error(format!(
        "the uri `{uri}` names no test of Python's unittest: it should be FILE:CLASS.METHOD"
    ))
}

/// What it means that Python can't be started.
fn missing(error: Error) -> Result<Outcome, Error> {
    if error.code != "not-found" {
        return Err(error);
    }
    Ok(Outcome::error(format!(
        "{}; the setting {INTERPRETER} names the Python to use",
        error.message
    )))
}

/// The interpreter's process, with the environment that a test has that is a program; what it's to do is not said yet.
fn command(task: &Task, interpreter: &str, file: &str) -> Result<Command, Error> {
    let mut as_program = task.clone();
    as_program.runnable.uri = Some(file.to_owned());
    // Neither has a meaning for this kind, here or in Avocado.
    as_program.runnable.args.clear();
    as_program.runnable.kwargs = Attributes::new();
    let mut command = persea_exec_command::command(&as_program)?;
    command.program = interpreter.to_owned();
    Ok(command)
}

/// What comes on the report pipe.
struct Report {
    /// The script's first line, which is empty, has come.
    has_started: bool,
    /// The result; none if the process ends before it has sent one.
    line: Option<Vec<u8>>,
}

/// Reads the report up to the first line that is not empty.
///
/// It is not the pipe's end that is waited for: something that a test has left running may hold it open.
fn read_report(child: &Child) -> Result<Report, Error> {
    let mut has_started = false;
    let mut line = Vec::new();
    loop {
        let part = child.read(Stream::Report, 64 << 10)?;
        if part.is_empty() {
            return Ok(Report {
                has_started,
                line: None,
            });
        }
        for byte in part {
            match byte {
                b'\n' if line.is_empty() => has_started = true,
                b'\n' => {
                    let line = Some(line);
                    return Ok(Report { has_started, line });
                }
                byte => line.push(byte),
            }
        }
        if line.len() > MAX_LINE {
            return Err(Error::new(
                "too-large",
                format!("the test's report is longer than {MAX_LINE} bytes"),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use persea_plugin_sdk::testing::{Answer, Host, Installed, Processes};

    fn task(uri: &str) -> Task {
        Task::new("1-t", Runnable::new(KIND).uri(uri))
    }

    fn host(answer: Answer) -> Installed {
        Host::new().processes(Processes::always(answer)).install()
    }

    #[test]
    fn a_report_that_is_too_long_is_an_error() {
        let with = |line: usize| {
            let reason = "x".repeat(line - r#"{"status": "fail", "reason": ""}"#.len());
            let report = format!("{{\"status\": \"fail\", \"reason\": \"{reason}\"}}\n");
            assert_eq!(report.len(), line + 1);
            let _host = host(Answer::code(0).report(report));
            PythonUnittest::run(task("t.py:T.test"))
        };
        assert_eq!(with(MAX_LINE).unwrap().status, Status::Fail);
        let error = with(MAX_LINE + (64 << 10)).unwrap_err();
        assert_eq!(error.code, "too-large");
        assert_eq!(
            error.message,
            "the test's report is longer than 1048576 bytes"
        );
        // Also where no line's end ever comes.
        let _host = host(Answer::code(0).report("x".repeat(3 * MAX_LINE)));
        let error = PythonUnittest::run(task("t.py:T.test")).unwrap_err();
        assert_eq!(error.code, "too-large");
    }

    #[test]
    fn the_line_on_the_report_pipe_is_the_result() {
        let host = host(
            Answer::code(0).report(b"{\"status\": \"skip\", \"reason\": \"no net\"}\n".to_vec()),
        );
        assert_eq!(
            PythonUnittest::run(task("d/t.py:T.test_a")),
            Ok(Outcome::skip("no net"))
        );
        let command = &host.commands()[0];
        assert_eq!(command.program, "python3");
        assert_eq!(command.args, ["-c", SCRIPT, "d/t.py:T.test_a"]);
        assert_eq!(
            (&command.stdout, &command.stderr),
            (&Output::file("stdout"), &Output::file("stderr"))
        );
    }

    #[test]
    fn a_process_that_says_nothing_or_half_a_line_is_an_error() {
        let expected = Outcome::error(
            "the test's process ended by signal 11 (SIGSEGV) before the test was done",
        )
        .with("returncode", -11);
        for report in ["\n", "\n{\"status\": \"pa"] {
            let _host = host(Answer::signal(11).report(report));
            assert_eq!(
                PythonUnittest::run(task("t.py:T.test_a")),
                Ok(expected.clone())
            );
        }
    }

    #[test]
    fn an_interpreter_that_cannot_start_says_why_in_the_reason() {
        let _host = Host::new()
            .processes(Processes::always(Answer::code(1).stderr(
                "Fatal Python error: no codec\nModuleNotFoundError: encodings\n\n<no Python frame>\n",
            )))
            .install();
        let expected = Outcome::error(
            "the Python interpreter exited with code 1 before it had run the test: Fatal Python error: no codec; \
             ModuleNotFoundError: encodings",
        )
        .with("returncode", 1);
        assert_eq!(PythonUnittest::run(task("t.py:T.test_a")), Ok(expected));
    }

    #[test]
    fn the_environment_is_avocados_and_the_runnables() {
        let host = host(Answer::code(0).report("{\"status\": \"pass\"}\n"));
        let mut task = task("d/t.py:T.test_a")
            .with("output-dir", "/o")
            .with("project-dir", "/p");
        task.runnable = task
            .runnable
            .kwarg("KW", "1")
            .args(["x"])
            .env("A", "1")
            .env_remove("B");
        assert_eq!(PythonUnittest::run(task), Ok(Outcome::pass()));
        let command = &host.commands()[0];
        assert_eq!(command.args.len(), 3);
        let value = |name: &str| {
            let found = command.env.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_deref())
        };
        assert_eq!(value("AVOCADO_TEST_BASEDIR"), Some(Some("/p/d")));
        assert_eq!(value("AVOCADO_TEST_OUTPUTDIR"), Some(Some("/o")));
        assert_eq!(value("A"), Some(Some("1")));
        assert_eq!(value("B"), Some(None));
        assert_eq!(
            value("KW"),
            None,
            "only programs get their keyword arguments as variables"
        );
    }

    #[test]
    fn the_interpreter_can_be_chosen_and_a_missing_one_says_how() {
        let host = Host::new()
            .processes(Processes::always(Answer::missing()))
            .install();
        let outcome =
            PythonUnittest::run(task("t.py:T.test_a").setting(INTERPRETER, "python3.99")).unwrap();
        assert_eq!(outcome.status, Status::Error);
        assert!(outcome.reason.unwrap().ends_with(&format!(
            "the setting {INTERPRETER} names the Python to use"
        )));
        assert_eq!(host.commands()[0].program, "python3.99");
    }

    #[test]
    fn what_names_no_test_starts_nothing() {
        let host = host(Answer::code(0));
        assert_eq!(
            PythonUnittest::run(task("t.py")).unwrap().status,
            Status::Error
        );
        assert!(host.commands().is_empty());
    }
}
