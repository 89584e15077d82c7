//! The program of a test that is one, and how its end is put in words: what the runners of the kinds `exec-test`
//! and `tap` share. What the end means for the test is theirs.
//!
//! Names and rules are those of Avocado 113.0 (`avocado/plugins/runners/exec_test.py`), because tests rely on them. The
//! differences: a value that is no text becomes a variable, where Avocado gives up on the test; the variable
//! `AVOCADO_TESTS_COMMON_TMPDIR` is there with `clear_env = system` too; PATH does not get the working directory, where a
//! program without a slash in its name is found all the same.

mod ending;

pub use ending::{in_words, return_code};

use persea_plugin_sdk::process::{Command, Output};
use persea_plugin_sdk::{Error, Outcome, Task, Value};
use serde_json::Value as Json;

/// The configuration key that [`commands`] wants to see: which variables a test does not get. `system`: those of the
/// host; `all`: these and Avocado's own.
pub const CLEAR_ENV: &str = "runner.exectest.clear_env";

/// The Avocado whose interface to tests this is. Tests ask for it in `AVOCADO_VERSION` to know what they can rely on.
const AVOCADO_VERSION: &str = "113.0";

/// What starts a task's program. It reads nothing, and what it prints goes into the task's files `stdout` and `stderr`. A program without a slash in
/// its name that isn't in PATH is looked for in the working directory.
///
/// Of the environment variables, later ones win: those of the environment, the keyword arguments, Avocado's own, the
/// parameters of the variant, those of the runnable.
///
/// # Errors
/// `invalid` where the runnable has no uri, its variant is none, or the setting [`CLEAR_ENV`] is unknown.
pub fn commands(task: &Task) -> Result<Vec<Command>, Error> {
    let command = command(task)?
        .stdout(Output::file("stdout"))
        .stderr(Output::file("stderr"));
    if command.program.contains('/') {
        return Ok(vec![command]);
    }
    let mut here = command.clone();
    here.program.insert_str(0, "./");
    Ok(vec![command, here])
}

/// What starts a program that is there, for who does more with it; where its output goes is still to be said.
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
    let (clear, avocado) = match task.settings.get(CLEAR_ENV) {
        None | Some(Value::None) => (false, true),
        Some(Value::Text(what)) if what == "system" => (true, true),
        Some(Value::Text(what)) if what == "all" => (true, false),
        Some(other) => {
            let message = format!("{CLEAR_ENV} is system, all or null, not {}", shown(other));
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
            base_directory(program, task.more.text("project-dir")),
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

/// How a test ends whose program could not be started. Where the system refused to, it's with the message that Avocado has for it.
pub fn not_started(task: &Task, error: Error) -> Outcome {
    let errno = error.detail.integer("os-error").unwrap_or_default();
    let program = task.runnable.uri.as_deref().unwrap_or_default();
    Outcome::error(match ending::errno(errno) {
        Some(text) => format!("[Errno {errno}] {text}: '{program}'"),
        None => error.message,
    })
}

/// The directory that a program is in: absolute where the project's directory is known.
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
    // As Python's os.path.normpath: by name alone.
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

/// A value as Python's `str` shows it; lists and objects stay JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::None => "None".to_owned(),
        Value::Boolean(true) => "True".to_owned(),
        Value::Boolean(false) => "False".to_owned(),
        Value::Integer(number) => number.to_string(),
        // With the `.0` of a whole one.
        Value::Number(number) => format!("{number:?}"),
        Value::Text(text) | Value::Json(text) => text.clone(),
        Value::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// What a keyword argument makes of the variable of its name: nothing removes it.
fn variable(value: &Value) -> Option<String> {
    match value {
        Value::None => None,
        value => Some(shown(value)),
    }
}

/// The parameters of a variant, as Avocado gives them to a program: those of its first node,
/// `{"variant": [[NODE, [[PATH, KEY, VALUE], …]], …]}`.
fn parameters(variant: &str) -> Result<Vec<(String, Option<String>)>, Error> {
    let broken = |why: &str| {
        Error::new(
            "invalid",
            format!("the task's variant can't be read: {why}"),
        )
    };
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
            _ => Err(broken("a parameter is a list of path, key and value")),
        });
    read.collect()
}

#[cfg(test)]
mod tests;
