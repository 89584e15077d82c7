//! Persea's runner plugin `python-unittest`: runs test methods of Python's unittest, each in a
//! process of its own.
//!
//! This module owns the entry points of the plugin: it starts the interpreter with an embedded
//! script and reads the report of the script. `persea_unittest.py` runs the test, `report` turns
//! the report into an outcome, and `batch` runs many tests with one interpreter.

mod batch;
mod report;
mod uri;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Child, Command, Output, Pipe};
use report::Line;

const KIND: &str = "python-unittest";

/// The interpreter: a path, or a name to look up in PATH.
const INTERPRETER: Setting<Text> = Setting::text("runner.python-unittest.interpreter")
    .default("python3")
    .summary("The Python that runs the tests");

/// The script that runs in the interpreter.
const SCRIPT: &str = include_str!("persea_unittest.py");

/// Limit for a line of the report, in bytes. The script shortens long texts and stays far below it.
const MAX_LINE: usize = 1 << 20;

/// The runner `python-unittest`.
pub struct PythonUnittest;

impl Plugin for PythonUnittest {
    fn describe() -> Description {
        Description::new(KIND, "runs the tests of Python's unittest")
            .role(Role::runner([KIND]))
            .role(Role::batch_runner([KIND]))
            .setting(&INTERPRETER)
    }
}

impl Runner for PythonUnittest {
    fn run(task: Task) -> Result<Outcome, Error> {
        let uri = task.runnable.uri.as_deref().unwrap_or_default();
        let Some(file) = uri::file(uri) else {
            return Ok(invalid_uri(uri));
        };
        let command = command(&task, interpreter(&task), file)?
            .args(["-c", SCRIPT, uri])
            .stdout(Output::file("stdout"))
            .stderr(Output::file("stderr"))
            .report(Output::Pipe);
        let child = match process::start(&command) {
            Ok(child) => child,
            Err(error) => return missing(error),
        };
        let report = read_report(&child)?;
        let exit = child.wait()?;
        match report.line {
            Some(line) => {
                let mut line = Line::read(&line)?;
                line.report_cases();
                Ok(line.outcome(&exit))
            }
            None if report.has_started => Ok(report::no_report(&exit)),
            None => Ok(report::interpreter_ended(&exit)),
        }
    }
}

impl BatchRunner for PythonUnittest {
    fn run_batch(batch: &mut Batch) -> Result<(), Error> {
        batch::run(batch)
    }
}

export!(PythonUnittest: runner, batch_runner);

fn interpreter(task: &Task) -> &str {
    INTERPRETER.get(&task.settings)
}

/// The outcome of a runnable whose uri does not name a test method.
fn invalid_uri(uri: &str) -> Outcome {
    Outcome::error(format!(
        "the uri `{uri}` does not name a test of Python's unittest: expected FILE:CLASS.METHOD"
    ))
}

/// Turns a failed start of the interpreter into an outcome that names the setting for another one.
/// Any error but `not-found` is returned as it is.
fn missing(error: Error) -> Result<Outcome, Error> {
    if error.code != "not-found" {
        return Err(error);
    }
    Ok(Outcome::error(format!(
        "{}; set {} to the Python interpreter to use",
        error.message,
        INTERPRETER.key()
    )))
}

/// The command that starts the interpreter, still without arguments. Its environment is that of a
/// test that is an executable file.
fn command(task: &Task, interpreter: &str, file: &str) -> Result<Command, Error> {
    let mut as_program = task.clone();
    as_program.runnable.uri = Some(file.to_owned());
    // This kind ignores both, as Avocado does.
    as_program.runnable.args.clear();
    as_program.runnable.kwargs = Attributes::new();
    let mut command = persea_exec_command::command(&as_program)?;
    command.program = interpreter.to_owned();
    Ok(command)
}

/// The content of the report pipe.
struct Report {
    /// The first line, which is empty, has arrived: the interpreter runs the script.
    has_started: bool,
    /// The line with the result; none when the process ended before it sent a whole line.
    line: Option<Vec<u8>>,
}

/// Reads the report up to the first line that is not empty.
///
/// Does not wait for the end of the pipe, because an orphan of the test may keep the pipe open.
///
/// # Errors
/// `too-large` for a line longer than [`MAX_LINE`].
fn read_report(child: &Child) -> Result<Report, Error> {
    let mut has_started = false;
    let mut line = Vec::new();
    loop {
        let part = child.read(Pipe::Report, 64 << 10)?;
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
    fn too_long_report_is_an_error() {
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
        // The limit holds for a line that never ends, too.
        let _host = host(Answer::code(0).report("x".repeat(3 * MAX_LINE)));
        let error = PythonUnittest::run(task("t.py:T.test")).unwrap_err();
        assert_eq!(error.code, "too-large");
    }

    #[test]
    fn report_line_is_the_result() {
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
    fn process_without_a_whole_report_line_is_an_error() {
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
    fn reason_holds_the_message_of_an_interpreter_that_cannot_start() {
        let _host = Host::new()
            .processes(Processes::always(Answer::code(1).stderr(
                "Fatal Python error: no codec\nModuleNotFoundError: encodings\n\n\
                 <no Python frame>\n",
            )))
            .install();
        let expected = Outcome::error(
            "the Python interpreter exited with code 1 before it had run the test: \
             Fatal Python error: no codec; ModuleNotFoundError: encodings",
        )
        .with("returncode", 1);
        assert_eq!(PythonUnittest::run(task("t.py:T.test_a")), Ok(expected));
    }

    #[test]
    fn command_has_variables_of_avocado_and_of_the_runnable() {
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
            "keyword arguments become variables only for executable tests"
        );
    }

    #[test]
    fn setting_chooses_the_interpreter_and_the_reason_names_it() {
        let host = Host::new()
            .processes(Processes::always(Answer::missing()))
            .install();
        let outcome =
            PythonUnittest::run(task("t.py:T.test_a").setting(INTERPRETER.key(), "python3.99"))
                .unwrap();
        assert_eq!(outcome.status, Status::Error);
        let help = "set runner.python-unittest.interpreter to the Python interpreter to use";
        assert!(outcome.reason.unwrap().ends_with(help));
        assert_eq!(host.commands()[0].program, "python3.99");
    }

    #[test]
    fn invalid_uri_starts_no_process() {
        let host = host(Answer::code(0));
        assert_eq!(
            PythonUnittest::run(task("t.py")).unwrap().status,
            Status::Error
        );
        assert!(host.commands().is_empty());
    }
}
