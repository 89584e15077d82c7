//! Owns the command line of a session: settings, arguments and keyword arguments become options of
//! pytest. Does not know what pytest does with them.

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::Command;

/// The interpreter: a path, or a name to look up in PATH.
pub(crate) const INTERPRETER: Setting<Text> = Setting::text("runner.pytest.interpreter")
    .default("python3")
    .summary("The Python that runs pytest");

/// Options for every session, before those of the runnable.
pub(crate) const OPTIONS: Setting<List> = Setting::list("runner.pytest.args")
    .default(&[])
    .summary("Arguments of pytest for every session");

/// The size of the parts into which a large file is divided.
pub(crate) const PART_SIZE: Setting<Integer> = Setting::integer("runner.pytest.part_size")
    .default(200)
    .at_least(0.0)
    .summary("A file of a directory with more test functions runs in parts; 0 means never");

/// Keyword arguments that are no options of pytest.
const OWN: [&str; 6] = [
    "session",
    "part",
    "empty",
    "tags",
    "dependencies",
    "variant",
];

/// The options of pytest that take no value with a keyword argument `true`, and are left out with
/// `false` or `null`.
fn option(name: &str, value: &Value, into: &mut Vec<String>) {
    let value = match value {
        Value::Null | Value::Boolean(false) => return,
        Value::Boolean(true) => None,
        Value::Integer(number) => Some(number.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Text(text) => Some(text.clone()),
        Value::Json(json) => match serde_json::from_str::<Vec<String>>(json) {
            Ok(values) => {
                for each in values {
                    option(name, &Value::Text(each), into);
                }
                return;
            }
            Err(_) => Some(json.clone()),
        },
    };
    let is_short = name.chars().count() == 1;
    match (is_short, value) {
        (true, None) => into.push(format!("-{name}")),
        (true, Some(value)) => into.extend([format!("-{name}"), value]),
        (false, None) => into.push(format!("--{name}")),
        (false, Some(value)) => into.push(format!("--{name}={value}")),
    }
}

/// What a task asks of pytest.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The interpreter with its environment, still without arguments.
    pub(crate) command: Command,
    /// The file, directory or node id to which the session is narrowed; empty for all.
    pub(crate) selected: String,
    /// `2/3` for the second of three parts; empty for all.
    pub(crate) part: String,
    /// The arguments of pytest.
    pub(crate) arguments: Vec<String>,
    /// The directory of the project, to which messages make paths relative.
    pub(crate) project: String,
    /// A session without tests is SKIP: another one of the same directory may have some.
    pub(crate) may_be_empty: bool,
}

impl Request {
    /// Reads a task.
    ///
    /// # Errors
    /// `invalid` for a variant, a setting or a part that makes no sense.
    pub(crate) fn new(task: &Task) -> Result<Self, Error> {
        let runnable = &task.runnable;
        let kwargs = &runnable.kwargs;
        let own = |name| kwargs.text(name).unwrap_or_default().to_owned();
        let session = own("session");
        let uri = runnable.uri.clone().unwrap_or_default();
        // The whole session of a directory is not narrowed.
        let is_all = uri.is_empty() || uri == session || (uri == "." && session.is_empty());
        let part = own("part");
        if !(part.is_empty() || is_part(&part)) {
            let message = format!("the part `{part}` is not NUMBER/COUNT, such as 1/2");
            return Err(Error::new("invalid", message));
        }
        let mut arguments = OPTIONS.checked(&task.settings)?;
        for (name, value) in kwargs.iter().filter(|(name, _)| !OWN.contains(name)) {
            option(name, value, &mut arguments);
        }
        arguments.extend(runnable.args.iter().cloned());
        if !session.is_empty() {
            arguments.push(session);
        }
        Ok(Self {
            command: command(task, &uri)?,
            selected: if is_all { String::new() } else { uri },
            part,
            arguments,
            project: task.more.text("project-dir").unwrap_or_default().to_owned(),
            may_be_empty: own("empty") == "skip",
        })
    }
}

fn is_part(text: &str) -> bool {
    let numbers = text.split_once('/').and_then(|(number, count)| {
        let parse = |text: &str| text.parse::<u32>().ok();
        parse(number).zip(parse(count))
    });
    numbers.is_some_and(|(number, count)| number >= 1 && number <= count)
}

/// The interpreter without arguments. Its environment is that of a test that is an executable file.
fn command(task: &Task, uri: &str) -> Result<Command, Error> {
    let mut as_program = task.clone();
    let file = uri.split("::").next().unwrap_or_default();
    as_program.runnable.uri = Some(if file.is_empty() { "." } else { file }.to_owned());
    as_program.runnable.args.clear();
    as_program.runnable.kwargs = Attributes::new();
    let mut command = persea_exec_command::command(&as_program)?;
    command.program = INTERPRETER.get(&task.settings).to_owned();
    Ok(command)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::KIND;

    fn request(runnable: Runnable) -> Request {
        let task = Task::new("1-t", runnable);
        Request::new(&task.setting(OPTIONS.key(), Value::list(["-q"]))).unwrap()
    }

    #[test]
    fn setting_keyword_arguments_and_arguments_become_options_in_this_order() {
        let runnable = Runnable::new(KIND)
            .uri("t.py::test[a]")
            .args(["-x"])
            .kwarg("k", "a and b")
            .kwarg("maxfail", 3)
            .kwarg("runslow", true)
            .kwarg("strict", false)
            .kwarg("none", Value::Null)
            .kwarg("p", Value::list(["no:randomly", "helper"]))
            .kwarg("session", "sub")
            .kwarg("part", "1/2")
            .kwarg("empty", "skip");
        let request = request(runnable);
        let expected = [
            "-q",
            "-k",
            "a and b",
            "--maxfail=3",
            "--runslow",
            "-p",
            "no:randomly",
            "-p",
            "helper",
            "-x",
            "sub",
        ];
        assert_eq!(request.arguments, expected);
        assert_eq!(request.selected, "t.py::test[a]");
        assert_eq!((request.part.as_str(), request.may_be_empty), ("1/2", true));
    }

    #[test]
    fn whole_session_is_not_narrowed() {
        for (uri, session, selected) in [
            (None, "", ""),
            (Some("."), "", ""),
            (Some("sub"), "sub", ""),
            (Some("sub"), "", "sub"),
            (Some("sub/t.py"), "sub", "sub/t.py"),
            (Some("."), "sub", "."),
        ] {
            let mut runnable = Runnable::new(KIND).kwarg("session", session);
            runnable.uri = uri.map(str::to_owned);
            assert_eq!(request(runnable).selected, selected, "{uri:?} {session}");
        }
    }

    #[test]
    fn part_that_makes_no_sense_is_an_error() {
        for part in ["1", "0/2", "3/2", "a/b", "1/2/3"] {
            let task = Task::new("1-t", Runnable::new(KIND).kwarg("part", part));
            assert_eq!(Request::new(&task).unwrap_err().code, "invalid", "{part}");
        }
    }

    #[test]
    fn directory_of_the_file_is_a_variable() {
        let task = Task::new("1-t", Runnable::new(KIND).uri("d/t.py::T::test"));
        let command = Request::new(&task.with("project-dir", "/p"))
            .unwrap()
            .command;
        let expected = ("AVOCADO_TEST_BASEDIR".to_owned(), Some("/p/d".to_owned()));
        assert!(command.env.contains(&expected), "{:?}", command.env);
        assert_eq!(command.program, "python3");
    }
}
