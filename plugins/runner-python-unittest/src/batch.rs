//! Many tests with one Python: it forks a process for each of them. What happens in it is in `persea_unittest_batch.py`.

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Child, Command, Exit, Input, Output};
use serde::Deserialize;
use serde_json::json;

use crate::report::{self, Line};
use crate::{KIND, SCRIPT, command, interpreter, missing, no_test, read_line, uri};

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
    let env: serde_json::Map<_, _> = own
        .into_iter()
        .map(|(name, value)| (name, json!(value)))
        .collect();
    let request = json!({
        "test": uri,
        "env": env,
        "output": task.output_dir().unwrap_or_default(),
        "work": task.work_dir().unwrap_or_default(),
    });
    let sent = running.child.write(format!("{request}\n").as_bytes());
    let answer = match sent {
        Ok(()) => read_line(&running.child)?,
        // It has ended: how, says its end.
        Err(_) => None,
    };
    let Some(answer) = answer else {
        return Ok(report::silent(&running.child.wait()?));
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

/// The script for one test, but for its last line, and what follows it here.
fn script() -> String {
    let one = SCRIPT.trim_end();
    let one = one.strip_suffix("main()").unwrap_or(one);
    format!("{one}\n{BATCH}")
}
