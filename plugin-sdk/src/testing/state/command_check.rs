//! Owns the checks of a command that the host makes before it starts anything.

use super::name;
use crate::attributes::Value;
use crate::error::Error;
use crate::process::{Command, Input, Output};

/// The most arguments of a command.
const MOST_ARGUMENTS: usize = 1 << 16;

/// The most changes to the environment variables in a command.
const MOST_VARIABLES: usize = 1 << 12;

/// The most bytes of a standard input that is given as bytes: 16 MiB.
const MOST_INPUT: usize = 16 << 20;

fn invalid(message: impl Into<String>) -> Error {
    Error::new("invalid", message)
}

/// Checks a command as the host does.
///
/// # Errors
/// `invalid`.
pub(super) fn check(command: &Command) -> Result<(), Error> {
    check_limits(command)?;
    check_texts(command)?;
    for output in [&command.stdout, &command.stderr, &command.report] {
        if let Output::File(file) = output {
            name(file)?;
        }
    }
    if command.stdout == Output::WithStdout || command.report == Output::WithStdout {
        return Err(invalid(
            "only the standard error can go where the standard output goes",
        ));
    }
    check_options(command)
}

/// Whether a command has a pipe, which only a started child can have.
pub(super) fn has_pipes(command: &Command) -> bool {
    let outputs = [&command.stdout, &command.stderr, &command.report];
    command.stdin == Input::Pipe || outputs.contains(&&Output::Pipe)
}

fn check_limits(command: &Command) -> Result<(), Error> {
    let input = match &command.stdin {
        Input::Bytes(bytes) => bytes.len(),
        Input::Empty | Input::Pipe | Input::File(_) => 0,
    };
    let limits = [
        (command.args.len(), MOST_ARGUMENTS, "arguments"),
        (command.env.len(), MOST_VARIABLES, "changes to variables"),
        (input, MOST_INPUT, "bytes of input"),
    ];
    match limits.into_iter().find(|(found, most, _)| found > most) {
        None => Ok(()),
        Some((found, most, what)) => Err(invalid(format!(
            "the command has {found} {what}, and at most {most} are allowed"
        ))),
    }
}

fn check_texts(command: &Command) -> Result<(), Error> {
    if command.program.is_empty() {
        return Err(invalid("no program is named"));
    }
    let variables = command.env.iter();
    let variables = variables.flat_map(|(name, value)| std::iter::once(name).chain(value));
    let mut texts = variables.chain(&command.args).chain([&command.program]);
    if texts.any(|text| text.contains('\0')) {
        return Err(invalid(
            "the name, the arguments or the environment of the program contain a zero byte",
        ));
    }
    let is_wrong = |name: &str| name.is_empty() || name.contains('=');
    match command.env.iter().find(|(name, _)| is_wrong(name)) {
        None => Ok(()),
        Some((name, _)) => Err(invalid(format!(
            "{name:?} cannot be the name of an environment variable"
        ))),
    }
}

/// Checks what the host understands of a command's further data.
fn check_options(command: &Command) -> Result<(), Error> {
    let has_socket = match command.more.get("report-socket") {
        None | Some(Value::Null) => false,
        Some(Value::Boolean(value)) => *value,
        Some(_) => return Err(invalid("`report-socket` of a command is a boolean")),
    };
    if has_socket && command.report == Output::Discard {
        return Err(invalid(
            "a report socket needs a destination: a pipe or a file",
        ));
    }
    match command.more.get("terminal") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Json(_)) if matches!(command.stdin, Input::File(_)) => {
            Err(invalid("the standard input of a terminal cannot be a file"))
        }
        Some(Value::Json(_)) if command.stderr == Output::WithStdout => Ok(()),
        Some(Value::Json(_)) => Err(invalid(
            "the standard error of a terminal must go where the standard output goes",
        )),
        Some(_) => Err(invalid("`terminal` of a command is a JSON object")),
    }
}
