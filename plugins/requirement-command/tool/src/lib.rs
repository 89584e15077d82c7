//! Owns how requirement resolvers use the programs of an environment. A query reads a program's
//! output; an execution keeps it in the files of the attempt. An error ends with the last line
//! that the program wrote to its standard error.
//! Does not know which programs resolvers run, or why.
//!
//! Programs get no terminal, no input, and the locale `C.UTF-8`, so that their output can be
//! parsed.

pub mod arguments;
pub mod target_file;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

use persea_plugin_sdk::process::{self, Command, Ending, Exit, Input, Output, Pipe};
use persea_plugin_sdk::{Error, artifacts};

/// File of the attempt with the standard output of executed programs.
pub const STDOUT: &str = "stdout";

/// File of the attempt with the standard error of all programs.
pub const STDERR: &str = "stderr";

/// Limit of the output that a query reads: 64 MiB.
const MAX_OUTPUT_SIZE: usize = 64 << 20;

/// Size of the end of the standard error in which the last line is looked for, in bytes.
const MAX_LAST_LINE_SIZE: u64 = 4096;

/// Result of a query.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryResult {
    /// How the program ended.
    pub exit: Exit,
    /// Standard output; invalid UTF-8 is replaced.
    pub stdout: String,
}

impl QueryResult {
    /// Whether the program ended with exit code 0.
    pub fn succeeded(&self) -> bool {
        self.exit.success()
    }
}

/// Builds a command that runs a program of the environment.
pub fn program<I: IntoIterator<Item: Into<String>>>(name: impl Into<String>, args: I) -> Command {
    Command::new(name).args(args).env("LC_ALL", "C.UTF-8")
}

/// Builds a command that runs a shell script, in which `$1` and so on are the arguments.
pub fn shell<I: IntoIterator<Item: Into<String>>>(line: impl Into<String>, args: I) -> Command {
    program("/bin/sh", ["-c".to_owned(), line.into(), "sh".to_owned()]).args(args)
}

/// Runs a program and reads its output. Any exit code is a result.
///
/// # Errors
/// Where the program cannot be started (`not-found` where it is missing), or `too-large` where it
/// prints more than 64 MiB.
pub fn query(command: Command) -> Result<QueryResult, Error> {
    let name = command.program.clone();
    let child = start(&command.stdout(Output::Pipe).stderr(Output::file(STDERR)))?;
    let mut stdout = Vec::new();
    loop {
        let chunk = child.read(Pipe::Stdout, 1 << 20)?;
        if chunk.is_empty() {
            break;
        }
        stdout.extend(chunk);
        if stdout.len() > MAX_OUTPUT_SIZE {
            let message = format!("`{name}` printed more than {MAX_OUTPUT_SIZE} bytes");
            return Err(Error::new("too-large", message));
        }
    }
    Ok(QueryResult {
        exit: child.wait()?,
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
    })
}

/// Runs a program that must succeed, and returns its output.
///
/// # Errors
/// As [`query`]; and `failed`, with the program's last error line, where it does not end with exit
/// code 0.
pub fn query_ok(command: Command) -> Result<String, Error> {
    let command_line = command_line(&command);
    let before = stderr_size();
    let result = query(command)?;
    match result.succeeded() {
        true => Ok(result.stdout),
        false => Err(failure(&command_line, &result.exit, before)),
    }
}

/// Runs a program for its effect. Its output goes into the files of the attempt.
///
/// # Errors
/// Where the program cannot be started (`not-found` where it is missing), or `failed`, with its
/// last error line, where it does not end with exit code 0.
pub fn execute(command: Command) -> Result<(), Error> {
    let command = command
        .stdout(Output::file(STDOUT))
        .stderr(Output::file(STDERR));
    let command_line = command_line(&command);
    let before = stderr_size();
    let exit = process::run(&command).map_err(|error| explain_missing(&command, error))?;
    match exit.success() {
        true => Ok(()),
        false => Err(failure(&command_line, &exit, before)),
    }
}

/// Runs a program for its effect, with the chunks of `input` as its standard input.
///
/// # Errors
/// As [`execute`], and those of `input`.
pub fn execute_with_input(
    command: Command,
    input: impl IntoIterator<Item = Result<Vec<u8>, Error>>,
) -> Result<(), Error> {
    let command = command
        .stdin(Input::Pipe)
        .stdout(Output::file(STDOUT))
        .stderr(Output::file(STDERR));
    let before = stderr_size();
    let child = start(&command)?;
    for chunk in input {
        match child.write(&chunk?) {
            Ok(()) => {}
            // The program has ended. Its exit and its last error line say more than this error.
            Err(error) if error.code == "closed" => break,
            Err(error) => return Err(error),
        }
    }
    child.close_stdin()?;
    let exit = child.wait()?;
    match exit.success() {
        true => Ok(()),
        false => Err(failure(&command_line(&command), &exit, before)),
    }
}

/// Looks for a program in the environment's PATH and returns its path.
///
/// # Errors
/// Where the environment has no shell.
pub fn find_program(name: &str) -> Result<Option<String>, Error> {
    let result = query(shell(r#"command -v -- "$1""#, [name]))?;
    let path = result.stdout.trim_end();
    Ok((result.succeeded() && !path.is_empty()).then(|| path.to_owned()))
}

fn start(command: &Command) -> Result<process::Child, Error> {
    process::start(command).map_err(|error| explain_missing(command, error))
}

/// Names the missing program in the error of a failed start.
fn explain_missing(command: &Command, error: Error) -> Error {
    if error.code != "not-found" {
        return error;
    }
    let message = format!("this environment has no program `{}`", command.program);
    Error { message, ..error }
}

/// Renders a command as a user would type it, shortened to 100 characters.
fn command_line(command: &Command) -> String {
    let mut words = vec![command.program.as_str()];
    words.extend(command.args.iter().map(String::as_str));
    let line = words.join(" ");
    match line.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// Builds the error of a program that did not succeed. Its last error line is looked for after the
/// first `before` bytes of the standard error.
fn failure(command_line: &str, exit: &Exit, before: u64) -> Error {
    let end = match exit.ending {
        Ending::Code(code) => format!("ended with exit code {code}"),
        Ending::Signal(signal) => format!("was ended by signal {signal}"),
        Ending::Unknown => "was ended".to_owned(),
    };
    let last_line = last_error_line(before);
    let message = match last_line.is_empty() {
        true => format!("`{command_line}` {end}"),
        false => format!("`{command_line}` {end}: {last_line}"),
    };
    Error::new("failed", message)
        .with("end", end)
        .with("last-line", last_line)
}

/// Replaces the command in a failure's message by what the command was for: a user knows neither
/// the shell script nor the long command.
pub fn for_purpose(error: Error, purpose: &str) -> Error {
    let detail = |name| error.detail.text(name).filter(|text| !text.is_empty());
    let why = detail("last-line").or_else(|| detail("end"));
    let message = format!("{purpose}: {}", why.unwrap_or(&error.message));
    Error { message, ..error }
}

/// Current size of the attempt's standard error, in bytes; 0 where no program has run yet.
fn stderr_size() -> u64 {
    artifacts::size(STDERR).unwrap_or(0)
}

/// Returns the last non-empty line of the standard error after `offset`.
fn last_error_line(mut offset: u64) -> String {
    offset = offset.max(stderr_size().saturating_sub(MAX_LAST_LINE_SIZE));
    let mut end = Vec::new();
    while let Ok(chunk) = artifacts::read(STDERR, offset, 1 << 20) {
        if chunk.is_empty() {
            break;
        }
        offset += chunk.len() as u64;
        end.extend(chunk);
    }
    let text = String::from_utf8_lossy(&end).into_owned();
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    line.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use persea_plugin_sdk::testing::{Answer as Fake, Host, Processes};

    #[test]
    fn query_returns_the_output() {
        let fake = Processes::always(Fake::code(3).stdout("one\n"));
        let _host = Host::new().processes(fake).install();
        let result = query(program("tool", ["-q"])).unwrap();
        assert_eq!(
            (result.stdout.as_str(), result.succeeded()),
            ("one\n", false)
        );
        let error = query_ok(program("tool", ["-q"])).unwrap_err();
        assert_eq!(error.message, "`tool -q` ended with exit code 3");
    }

    #[test]
    fn failure_ends_with_the_last_error_line() {
        let fake = Processes::always(Fake::code(100).stderr("W: a warning\nE: no such thing\n\n"));
        let host = Host::new().processes(fake).install();
        let error = execute(program("apt-get", ["install", "x"])).unwrap_err();
        let expected = "`apt-get install x` ended with exit code 100: E: no such thing";
        assert_eq!(error.message, expected);
        let locale = ("LC_ALL".to_owned(), Some("C.UTF-8".to_owned()));
        assert_eq!(host.commands().first().unwrap().env, [locale]);
    }

    #[test]
    fn error_line_of_an_earlier_program_is_not_reported() {
        let fake = Processes::new(|command| match command.program.as_str() {
            "warns" => Fake::code(0).stderr("oh dear\n"),
            _ => Fake::code(1),
        });
        let _host = Host::new().processes(fake).install();
        execute(program("warns", [""; 0])).unwrap();
        let error = execute(program("quiet", [""; 0])).unwrap_err();
        assert_eq!(error.message, "`quiet` ended with exit code 1");
    }

    #[test]
    fn failure_can_name_the_purpose_of_a_command() {
        let message = |fake: Fake| {
            let _host = Host::new().processes(Processes::always(fake)).install();
            let error = execute(shell("exit", [""; 0])).unwrap_err();
            for_purpose(error, "cannot create /x").message
        };
        let expected = "cannot create /x: mkdir: no";
        assert_eq!(message(Fake::code(1).stderr("mkdir: no\n")), expected);
        let expected = "cannot create /x: ended with exit code 1";
        assert_eq!(message(Fake::code(1)), expected);
        let expected = "cannot create /x: this environment has no program `/bin/sh`";
        assert_eq!(message(Fake::missing()), expected);
    }

    #[test]
    fn missing_program_is_named() {
        let _host = Host::new().install();
        let error = execute(program("zypper", ["install"])).unwrap_err();
        assert_eq!(error.message, "this environment has no program `zypper`");
    }

    #[test]
    fn input_reaches_the_program_in_chunks() {
        let host = Host::new()
            .processes(Processes::always(Fake::code(0)))
            .install();
        let chunks = [Ok(b"ab".to_vec()), Ok(b"c".to_vec())];
        execute_with_input(shell("cat > \"$1\"", ["/x"]), chunks).unwrap();
        assert_eq!(host.stdin(0).unwrap(), (b"abc".to_vec(), true));
    }
}
