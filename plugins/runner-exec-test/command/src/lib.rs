//! Owns what the runners of programs share: the command of a test with its environment variables,
//! the description of an exit in words, the files that processes write, the options of references,
//! the time limit of lists, and the results of frameworks that run many tests in one process. Does
//! not know what an exit means for the test's result.
//!
//! Variables and rules are those of Avocado 113.0 (`avocado/plugins/runners/exec_test.py`), because
//! tests rely on them. Differences:
//! * A keyword argument that is not a text becomes a variable; Avocado fails the test.
//! * `AVOCADO_TESTS_COMMON_TMPDIR` is set even with `clear_env = system`.
//! * PATH does not get the working directory. A program without a slash in its name is still found
//!   in the working directory.

mod ending;
pub mod files;
mod lines;
pub mod listing;
pub mod options;
pub mod percent;
pub mod python;
pub mod results;
mod tool;
mod waiting;

pub use lines::{LineBuffer, Lines};
pub use tool::{text_argument, tool_command};
pub use waiting::{is_time_up, run_within, wait_looking};

pub use ending::{describe_exit, return_code, unknown_ending, with_return_code};

use persea_plugin_sdk::process::{Command, Output};
use persea_plugin_sdk::{Error, OptionalSetting, Outcome, Setting, Task, Text, Value};
use serde_json::Value as Json;

/// Setting that removes variables from a test: `system` removes the host's, `all` also Avocado's.
/// A runner that calls [`commands`] must declare it.
pub const CLEAR_ENV: OptionalSetting<Text> = Setting::text("runner.exectest.clear_env")
    .choices(&["system", "all"])
    .summary("Whether tests start without the host's variables (system), or without all");

/// Version of Avocado whose interface tests get. Tests read it from the variable `AVOCADO_VERSION`.
const AVOCADO_VERSION: &str = "113.0";

/// Returns the commands that start a task's program, to be tried in order. Standard input is empty;
/// the output goes into the task's files `stdout` and `stderr`. A program without a slash in its
/// name is looked for in PATH, then in the working directory.
///
/// Sources of variables, of which later ones win: the environment, the keyword arguments,
/// Avocado's own, the parameters of the variant, the runnable's `env`.
///
/// # Errors
/// `invalid` where the runnable has no uri, or its variant or the setting [`CLEAR_ENV`] is invalid.
pub fn commands(task: &Task) -> Result<Vec<Command>, Error> {
    let command = command(task)?
        .stdout(Output::file("stdout"))
        .stderr(Output::file("stderr"));
    if command.program.contains('/') {
        return Ok(vec![command]);
    }
    let mut in_working_directory = command.clone();
    in_working_directory.program.insert_str(0, "./");
    Ok(vec![command, in_working_directory])
}

/// Returns the command that starts a task's program at its uri, without destinations for its
/// output.
///
/// # Errors
/// As [`commands`].
pub fn command(task: &Task) -> Result<Command, Error> {
    let runnable = &task.runnable;
    let Some(program) = &runnable.uri else {
        let message = format!(
            "a runnable of kind {} needs a uri: the program to run",
            runnable.kind
        );
        return Err(Error::new("invalid", message));
    };
    let (clear, avocado) = match CLEAR_ENV.checked(&task.settings)? {
        None => (false, true),
        Some("system") => (true, true),
        Some("all") => (true, false),
        Some(other) => {
            let key = CLEAR_ENV.key();
            let message = format!("{key} must be system, all or null, not {other}");
            return Err(Error::new("invalid", message));
        }
    };
    let mut command = Command::new(program).args(&runnable.args);
    command.clear_env = clear;
    for (name, value) in runnable.kwargs.iter() {
        command.env.push((name.to_owned(), variable(value)));
    }
    if avocado {
        command = command.env("AVOCADO_VERSION", AVOCADO_VERSION);
        command = command.env(
            "AVOCADO_TEST_BASEDIR",
            base_directory(program, task.project_dir()),
        );
        let output = task.output_dir();
        let log = output.map(|directory| format!("{directory}/debug.log"));
        let directories = [
            ("AVOCADO_TEST_WORKDIR", task.work_dir()),
            ("AVOCADO_TEST_LOGDIR", output),
            ("AVOCADO_TEST_OUTPUTDIR", output),
            ("AVOCADO_TEST_LOGFILE", log.as_deref()),
            ("AVOCADO_TESTS_COMMON_TMPDIR", task.job_temp_dir()),
        ];
        for (name, directory) in directories {
            if let Some(directory) = directory {
                command = command.env(name, directory);
            }
        }
    }
    if let Some(variant) = runnable.more.json("variant") {
        command.env.extend(parameters(variant)?);
    }
    command.env.extend(runnable.env.iter().cloned());
    Ok(command)
}

/// Returns the result of a test whose program could not be started. The reason is Avocado's message
/// where the system refused the program itself, or else the host's own message.
pub fn start_failure(task: &Task, error: Error) -> Outcome {
    let errno = error.detail.integer("os-error").unwrap_or_default();
    let program = task.runnable.uri.as_deref().unwrap_or_default();
    // An error `io` is about what the program needs: an output file, memory, a running helper.
    let refused = (error.code != "io").then(|| ending::errno(errno));
    Outcome::error(match refused.flatten() {
        Some(text) => format!("[Errno {errno}] {text}: '{program}'"),
        None => error.message,
    })
}

/// Returns the directory of a program; absolute where the project's directory is known.
fn base_directory(program: &str, project: Option<&str>) -> String {
    let within = match program.rsplit_once('/') {
        None => "",
        Some(("", _)) => "/",
        Some((directory, _)) => directory,
    };
    let from = match project {
        Some(project) if !within.starts_with('/') => project,
        _ => "",
    };
    // Like Python's os.path.normpath, this resolves no links.
    let mut parts: Vec<&str> = Vec::new();
    let absolute = from.starts_with('/') || within.starts_with('/');
    for part in from.split('/').chain(within.split('/')) {
        match (part, parts.last()) {
            ("" | ".", _) => {}
            ("..", Some(&last)) if last != ".." => {
                parts.pop();
            }
            ("..", None) if absolute => {}
            _ => parts.push(part),
        }
    }
    match (absolute, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// Formats a value as Python's `str` does; lists and objects stay JSON.
fn python_str(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Boolean(true) => "True".to_owned(),
        Value::Boolean(false) => "False".to_owned(),
        Value::Integer(number) => number.to_string(),
        // `{:?}` writes a whole number with `.0`, as Python does.
        Value::Number(number) => format!("{number:?}"),
        Value::Text(text) | Value::Json(text) => text.clone(),
    }
}

/// Returns the variable's value for a keyword argument; null removes the variable.
fn variable(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        value => Some(python_str(value)),
    }
}

/// Reads the parameters of a variant as variables. As in Avocado, only the first node counts:
/// `{"variant": [[NODE, [[PATH, KEY, VALUE], …]], …]}`.
fn parameters(variant: &str) -> Result<Vec<(String, Option<String>)>, Error> {
    let broken =
        |why: &str| Error::new("invalid", format!("cannot read the task's variant: {why}"));
    let variant: Json =
        serde_json::from_str(variant).map_err(|error| broken(&error.to_string()))?;
    let Some(node) = variant.pointer("/variant/0") else {
        return Ok(Vec::new());
    };
    let parameters = node.get(1).and_then(Json::as_array);
    let parameters =
        parameters.ok_or_else(|| broken("its first node has no list of parameters"))?;
    let text = |json: &Json| match json {
        Json::String(text) => text.clone(),
        Json::Null => "None".to_owned(),
        Json::Bool(true) => "True".to_owned(),
        Json::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    };
    let read = parameters
        .iter()
        .map(|parameter| match (parameter.get(1), parameter.get(2)) {
            (Some(key), Some(value)) => Ok((text(key), Some(text(value)))),
            _ => Err(broken("a parameter must be a list of path, key and value")),
        });
    read.collect()
}

#[cfg(test)]
mod tests;
