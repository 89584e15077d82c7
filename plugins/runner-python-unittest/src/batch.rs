//! Many tests with one Python: it forks a process for each of them. What happens in it is in `persea_unittest_batch.py`.

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Child, Command, Exit, Input, Output};
use serde::Deserialize;

use crate::report::{self, Line};
use crate::{KIND, SCRIPT, command, interpreter, missing, no_test, read_report, uri};

/// What follows the script for one test.
const BATCH: &str = include_str!("persea_unittest_batch.py");

/// The variables that tell a test of itself. All others are those with which a Python is started.
const OF_A_TEST: [&str; 2] = ["AVOCADO_TEST_", "AVOCADO_TESTS_"];

/// A Python that runs tests.
struct Python {
    /// With which it was started: tests that want another one need another Python.
    command: Command,
    child: Child,
}

/// What it says of a test.
#[derive(Deserialize)]
struct Answer {
    code: Option<i32>,
    signal: Option<i32>,
    left: i64,
    line: Option<Line>,
}

/// Runs the tests of a batch.
pub(crate) fn run(batch: &mut Batch) -> Result<(), Error> {
    let mut python = None;
    while let Some(task) = batch.next()? {
        batch.finish(test(&mut python, &task))?;
    }
    Ok(())
}

fn test(python: &mut Option<Python>, task: &Task) -> Result<Outcome, Error> {
    let uri = task.runnable.uri.as_deref().unwrap_or_default();
    let Some(file) = uri::file(uri) else {
        return Ok(no_test(uri));
    };
    let mut wanted = command(task, interpreter(task), file)?;
    let is_own = |(name, _): &(String, Option<String>)| {
        OF_A_TEST.iter().any(|prefix| name.starts_with(prefix))
    };
    let (own, common) = wanted.env.into_iter().partition(is_own);
    let own: Vec<(String, Option<String>)> = own;
    wanted.env = common;
    let running = match python.take() {
        Some(running) if running.command == wanted => running,
        other => {
            drop(other);
            let start = wanted
                .clone()
                .args(["-c", &script()])
                .stdin(Input::Pipe)
                .stdout(Output::Discard)
                .stderr(Output::file("stderr"))
                .report(true);
            match process::start(&start) {
                Ok(child) => Python {
                    command: wanted,
                    child,
                },
                Err(error) => return missing(error),
            }
        }
    };
    // Where it cannot be written to, its end says why.
    let answer = match running.child.write(&request(uri, &task.more, &own)) {
        Ok(()) => read_report(&running.child)?.line,
        Err(_) => None,
    };
    let Some(answer) = answer else {
        return Ok(report::interpreter_ended(&running.child.wait()?));
    };
    let answer: Answer = serde_json::from_slice(&answer).map_err(|error| {
        let message = format!("the Python that runs {KIND} tests reported nonsense: {error}");
        Error::new("invalid", message)
    })?;
    *python = Some(running);
    let exit = Exit {
        code: answer.code,
        signal: answer.signal,
        duration: 0,
        more: Attributes::new(),
    };
    let outcome = match answer.line {
        Some(line) => line.outcome(&exit),
        None => report::silent(&exit),
    };
    Ok(match answer.left {
        0 => outcome,
        left => outcome.with("left-behind", left),
    })
}

/// What the Python is asked to run: see `persea_unittest_batch.py`. No field can hold the NUL that ends it.
fn request(uri: &str, task: &Attributes, variables: &[(String, Option<String>)]) -> Vec<u8> {
    let directory = |name| task.text(name).unwrap_or_default();
    let mut fields = format!(
        "{uri}\0{}\0{}",
        directory("output-dir"),
        directory("work-dir")
    );
    for (name, value) in variables {
        fields.push('\0');
        fields.push_str(name);
        if let Some(value) = value {
            fields.push('=');
            fields.push_str(value);
        }
    }
    format!("{}\n{fields}", fields.len()).into_bytes()
}

/// The script for one test, but for its last line, and what follows it here.
fn script() -> String {
    let one = SCRIPT.trim_end();
    let one = one.strip_suffix("main()").unwrap_or(one);
    format!("{one}\n{BATCH}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use persea_plugin_sdk::testing::{self, Answer as Ends, Host, Installed, Processes};

    fn task(uri: &str) -> Task {
        Task::new(uri, Runnable::new(KIND).uri(uri)).with("output-dir", format!("/out/{uri}"))
    }

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
    fn a_test_is_told_of_itself_in_its_request_and_of_the_rest_by_its_python() {
        let line = r#"{"code": 0, "signal": null, "left": 2, "line": {"status": "pass"}}"#;
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
    fn a_python_that_dies_costs_the_test_that_it_had() {
        let host = host(
            Ends::signal(9),
            [task("t.py:T.a"), task("t.py:T.b"), task("none")],
        );
        let dead = "the Python interpreter ended by signal 9 (SIGKILL) before it had run the test";
        let dead = Outcome::error(dead).with("returncode", -9);
        assert_eq!(outcomes(&host), [dead.clone(), dead, no_test("none")]);
        assert_eq!(host.commands().len(), 2);
    }

    #[test]
    fn nonsense_is_an_error_of_its_test() {
        let host = host(Ends::code(0).report("{}\n"), [task("t.py:T.a")]);
        run(&mut Batch::of_fakes()).unwrap();
        let error = host.outcomes().remove(0).unwrap_err();
        assert!(error.message.contains("nonsense"), "{}", error.message);
    }

    #[test]
    fn a_missing_python_says_how_to_name_another() {
        let host = host(Ends::missing(), [task("t.py:T.a")]);
        let reason = outcomes(&host).remove(0).reason.unwrap();
        assert!(reason.contains(crate::INTERPRETER), "{reason}");
    }

    #[test]
    fn the_scripts_are_ascii() {
        assert!(
            script().is_ascii(),
            "no other text is an argument in every locale"
        );
    }

    #[test]
    fn the_script_ends_with_the_part_for_many() {
        assert!(SCRIPT.ends_with("\nmain()\n"));
        assert!(!script().contains("\nmain()\n"));
        assert!(script().ends_with("\nserve()\n"));
    }
}
