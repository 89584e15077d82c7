//! Owns the batch: one Python interpreter that forks a process for each test.
//!
//! Does not know about processes below the interpreter: `persea_unittest_batch.py` owns those.

use persea_exec_command::python;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Child, Command, Ending, Exit, Input, Output};
use serde::Deserialize;

use crate::report::{self, Line};
use crate::{KIND, SCRIPT, command, interpreter, invalid_uri, missing, read_report, uri};

/// The part of the script that serves many tests. It replaces the last line of [`SCRIPT`], after
/// [`python::BATCH`].
const BATCH: &str = include_str!("persea_unittest_batch.py");

/// A running interpreter.
struct Python {
    /// The command that started the interpreter. A test that needs another command, such as other
    /// environment variables, gets a new interpreter.
    command: Command,
    child: Child,
}

/// The answer of the interpreter to the request of one test.
#[derive(Deserialize)]
struct Answer {
    /// The exit code of the test's process.
    code: Option<i32>,
    /// The signal that ended the test's process.
    signal: Option<i32>,
    /// How many processes the test left behind. The interpreter has killed them.
    orphans: i64,
    /// The result of the test; none when its process ended before it had a result.
    line: Option<Line>,
}

/// Runs the tests of a batch, one after the other.
pub(crate) fn run(batch: &mut Batch) -> Result<(), Error> {
    let mut python = None;
    while let Some(task) = batch.take_task()? {
        batch.finish_task(test(&mut python, &task))?;
    }
    Ok(())
}

fn test(kept: &mut Option<Python>, task: &Task) -> Result<Outcome, Error> {
    let uri = task.runnable.uri.as_deref().unwrap_or_default();
    let Some(file) = uri::file(uri) else {
        return Ok(invalid_uri(uri));
    };
    let mut wanted = command(task, interpreter(task), file)?;
    let variables = python::take_variables(&mut wanted);
    let running = match kept.take() {
        Some(running) if running.command == wanted => running,
        other => {
            drop(other);
            let start = wanted
                .clone()
                .args(["-c", &script()])
                .stdin(Input::Pipe)
                .stdout(Output::Discard)
                .stderr(Output::file("stderr"))
                .report(Output::Pipe);
            match process::start(&start) {
                Ok(child) => Python {
                    command: wanted,
                    child,
                },
                Err(error) => return missing(error),
            }
        }
    };
    // A write fails when the interpreter has ended; its exit status then says why.
    let directory = |name| task.more.text(name).unwrap_or_default();
    let fields = [uri, directory("output-dir"), directory("work-dir")];
    let request = python::request(&fields, &variables);
    let answer = match running.child.write(&request) {
        Ok(()) => read_report(&running.child)?.line,
        Err(_) => None,
    };
    let Some(answer) = answer else {
        return Ok(report::interpreter_ended(&running.child.wait()?));
    };
    let answer: Answer = serde_json::from_slice(&answer).map_err(|error| {
        let message = format!("the interpreter of {KIND} tests sent an invalid answer: {error}");
        Error::new("invalid", message)
    })?;
    *kept = Some(running);
    let exit = Exit::new(match (answer.code, answer.signal) {
        (Some(code), _) => Ending::Code(code),
        (None, Some(signal)) => Ending::Signal(signal),
        (None, None) => Ending::Unknown,
    });
    let outcome = match answer.line {
        Some(mut line) => {
            line.report_cases();
            line.outcome(&exit)
        }
        None => report::no_report(&exit),
    };
    Ok(match answer.orphans {
        0 => outcome,
        orphans => outcome.with("left-behind", orphans),
    })
}

/// The script that the interpreter runs: [`SCRIPT`] with [`BATCH`] in place of its last line.
fn script() -> String {
    let one = SCRIPT.trim_end();
    let one = one.strip_suffix("main()").unwrap_or(one);
    format!("{one}\n{}\n\n{BATCH}", python::BATCH)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use persea_plugin_sdk::testing::{self, Answer as Ends, Host, Installed, Processes};

    fn task(uri: &str) -> Task {
        Task::new(uri, Runnable::new(KIND).uri(uri)).with("output-dir", format!("/out/{uri}"))
    }

    /// A host with these tasks in the batch, on which every process ends with `answer`.
    fn host(answer: Ends, tasks: impl IntoIterator<Item = Task>) -> Installed {
        let host = testing::Host::new().processes(Processes::always(answer));
        let host: Host = host.tasks(tasks);
        host.install()
    }

    fn outcomes(host: &Installed) -> Vec<Outcome> {
        run(&mut Batch::of_fakes()).unwrap();
        host.outcomes().into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn request_holds_variables_of_the_test_and_command_the_others() {
        let line = r#"{"code": 0, "signal": null, "orphans": 2, "line": {"status": "pass"}}"#;
        let mut one = task("t.py:T.a");
        one.runnable = one.runnable.env("A", "1").env_remove("B");
        let host = host(Ends::code(0).report(format!("{line}\n")), [one]);
        assert_eq!(outcomes(&host), [Outcome::pass().with("left-behind", 2)]);
        let command = &host.commands()[0];
        let names: Vec<&str> = command.env.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["AVOCADO_VERSION", "A", "B"]);
        let (request, _) = host.stdin(0).unwrap();
        let request = String::from_utf8(request).unwrap();
        let (length, fields) = request.split_once('\n').unwrap();
        assert_eq!(length, fields.len().to_string());
        let fields: Vec<&str> = fields.split('\0').collect();
        assert_eq!(fields[..3], ["t.py:T.a", "/out/t.py:T.a", ""]);
        assert!(fields.contains(&"AVOCADO_TEST_OUTPUTDIR=/out/t.py:T.a"));
    }

    #[test]
    fn killed_interpreter_fails_only_its_current_test() {
        let host = host(
            Ends::signal(9),
            [task("t.py:T.a"), task("t.py:T.b"), task("none")],
        );
        let dead = "the Python interpreter ended by signal 9 (SIGKILL) before it had run the test";
        let dead = Outcome::error(dead).with("returncode", -9);
        assert_eq!(outcomes(&host), [dead.clone(), dead, invalid_uri("none")]);
        assert_eq!(host.commands().len(), 2);
    }

    #[test]
    fn invalid_answer_is_an_error_of_its_test() {
        let host = host(Ends::code(0).report("{}\n"), [task("t.py:T.a")]);
        run(&mut Batch::of_fakes()).unwrap();
        let error = host.outcomes().remove(0).unwrap_err();
        assert!(
            error.message.contains("invalid answer"),
            "{}",
            error.message
        );
    }

    #[test]
    fn reason_of_a_missing_interpreter_names_the_setting() {
        let host = host(Ends::missing(), [task("t.py:T.a")]);
        let reason = outcomes(&host).remove(0).reason.unwrap();
        assert!(reason.contains(crate::INTERPRETER.key()), "{reason}");
    }

    #[test]
    fn script_is_ascii() {
        assert!(
            script().is_ascii(),
            "an interpreter in a locale without UTF-8 rejects other arguments"
        );
    }

    #[test]
    fn script_ends_with_the_batch_part() {
        assert!(SCRIPT.ends_with("\nmain()\n"));
        assert!(!script().contains("\nmain()\n"));
        assert!(script().ends_with("\nserve()\n"));
    }
}
