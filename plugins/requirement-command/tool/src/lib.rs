//! How a requirement resolver uses the programs of an environment: asks one and reads its answer, or lets one act and keeps what it
//! prints with the attempt. A failure is told with the program's own last words.
//!
//! What is asked and done is the resolvers' own. Programs get no terminal, no input and the locale `C.UTF-8`, so that their answers
//! can be read.

pub mod arguments;
pub mod place;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

use persea_plugin_sdk::process::{self, Command, Exit, Input, Output, Stream};
use persea_plugin_sdk::{Error, status};

/// The file, among those that are kept of an attempt, with what programs print that act.
pub const STDOUT: &str = "stdout";

/// The file with what programs print as errors.
pub const STDERR: &str = "stderr";

/// How much of an answer is read: 64 MiB.
const ANSWER: usize = 64 << 20;

/// How much of the end of the errors is looked through for last words, in bytes.
const LAST_WORDS: u64 = 4096;

/// What a program answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// How it ended.
    pub exit: Exit,
    /// What it printed; what is no UTF-8 is replaced.
    pub stdout: String,
}

impl Answer {
    /// Whether it ended with exit code 0.
    pub fn is_yes(&self) -> bool {
        self.exit.code == Some(0)
    }
}

/// A program of the environment, with arguments.
pub fn program<I: IntoIterator<Item: Into<String>>>(name: impl Into<String>, args: I) -> Command {
    Command::new(name).args(args).env("LC_ALL", "C.UTF-8")
}

/// A line for the environment's shell; in it `$1` and so on are the arguments.
pub fn shell<I: IntoIterator<Item: Into<String>>>(line: impl Into<String>, args: I) -> Command {
    program("/bin/sh", ["-c".to_owned(), line.into(), "sh".to_owned()]).args(args)
}

/// Runs a program for its answer.
///
/// # Errors
/// Where it can't be started (`not-found`), or its answer is too large.
pub fn ask(command: Command) -> Result<Answer, Error> {
    let name = command.program.clone();
    let child = start(&command.stdout(Output::Pipe).stderr(Output::file(STDERR)))?;
    let mut stdout = Vec::new();
    loop {
        let piece = child.read(Stream::Stdout, 1 << 20)?;
        if piece.is_empty() {
            break;
        }
        stdout.extend(piece);
        if stdout.len() > ANSWER {
            let message = format!("{name} answered with more than {ANSWER} bytes");
            return Err(Error::new("too-large", message));
        }
    }
    Ok(Answer {
        exit: child.wait()?,
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
    })
}

/// Runs a program for its answer, which must end well.
///
/// # Errors
/// As [`ask`]; and `failed`, with its last words, where it ends in any other way.
pub fn ask_surely(command: Command) -> Result<String, Error> {
    let shown = shown(&command);
    let before = printed();
    let answer = ask(command)?;
    match answer.is_yes() {
        true => Ok(answer.stdout),
        false => Err(failed(&shown, &answer.exit, before)),
    }
}

/// Runs a program for what it does. What it prints is kept with the attempt.
///
/// # Errors
/// Where it can't be started (`not-found`), and `failed`, with its last words, where it does not end with exit code 0.
pub fn act(command: Command) -> Result<(), Error> {
    let command = command
        .stdout(Output::file(STDOUT))
        .stderr(Output::file(STDERR));
    let shown = shown(&command);
    let before = printed();
    let exit = process::run(&command).map_err(|error| explain(&command, error))?;
    match exit.code {
        Some(0) => Ok(()),
        _ => Err(failed(&shown, &exit, before)),
    }
}

/// The same for a program that reads `input`, piece by piece.
///
/// # Errors
/// As [`act`], and those of `input`.
pub fn act_on(
    command: Command,
    input: impl IntoIterator<Item = Result<Vec<u8>, Error>>,
) -> Result<(), Error> {
    let command = command
        .stdin(Input::Pipe)
        .stdout(Output::file(STDOUT))
        .stderr(Output::file(STDERR));
    let before = printed();
    let child = start(&command)?;
    for piece in input {
        match child.write(&piece?) {
            Ok(()) => {}
            // It has ended; how, it says better itself.
            Err(error) if error.code == "closed" => break,
            Err(error) => return Err(error),
        }
    }
    child.close_stdin()?;
    let exit = child.wait()?;
    match exit.code {
        Some(0) => Ok(()),
        _ => Err(failed(&shown(&command), &exit, before)),
    }
}

/// Whether a program can be found in the environment's PATH; its path.
///
/// # Errors
/// Where there is no shell to be asked.
pub fn find(name: &str) -> Result<Option<String>, Error> {
    let answer = ask(shell(r#"command -v -- "$1""#, [name]))?;
    let path = answer.stdout.trim_end();
    Ok((answer.is_yes() && !path.is_empty()).then(|| path.to_owned()))
}

fn start(command: &Command) -> Result<process::Child, Error> {
    process::start(command).map_err(|error| explain(command, error))
}

fn explain(command: &Command, error: Error) -> Error {
    if error.code != "not-found" {
        return error;
    }
    let message = format!(
        "there is no program `{}` in this environment",
        command.program
    );
    Error { message, ..error }
}

/// A command as a user would type it, cut where it is long.
fn shown(command: &Command) -> String {
    let mut words = vec![command.program.as_str()];
    words.extend(command.args.iter().map(String::as_str));
    let line = words.join(" ");
    match line.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// A failure, with the last words of those after the first `before` bytes of errors.
fn failed(shown: &str, exit: &Exit, before: u64) -> Error {
    let end = match (exit.code, exit.signal) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "was ended".to_owned(),
    };
    let words = last_words(before);
    let message = match words.is_empty() {
        true => format!("`{shown}` {end}"),
        false => format!("`{shown}` {end}: {words}"),
    };
    Error::new("failed", message)
        .with("end", end)
        .with("last-words", words)
}

/// The same failure, told by what was wanted instead of by the command: for lines of shell, which nobody has typed.
pub fn told(error: Error, what: &str) -> Error {
    let detail = |name| error.detail.text(name).filter(|text| !text.is_empty());
    let why = detail("last-words").or_else(|| detail("end"));
    let message = format!("{what}: {}", why.unwrap_or(&error.message));
    Error { message, ..error }
}

/// How many bytes programs have printed as errors, so far, in this attempt.
fn printed() -> u64 {
    let mut size = 0;
    while let Ok(piece) = status::read_artifact(STDERR, size, 1 << 20) {
        if piece.is_empty() {
            break;
        }
        size += piece.len() as u64;
    }
    size
}

/// The last line that a program has printed as an error, which begin at `offset`.
fn last_words(mut offset: u64) -> String {
    let mut end = Vec::new();
    // Its size is not known; what acts prints little.
    while let Ok(piece) = status::read_artifact(STDERR, offset, 1 << 20) {
        if piece.is_empty() {
            break;
        }
        offset += piece.len() as u64;
        end.extend(piece);
        let keep = usize::try_from(LAST_WORDS).unwrap_or(usize::MAX);
        let cut = end.len().saturating_sub(keep);
        end.drain(..cut);
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
    fn an_answer_is_what_it_printed() {
        let fake = Processes::always(Fake::code(3).stdout("one\n"));
        let _host = Host::new().processes(fake).install();
        let answer = ask(program("tool", ["-q"])).unwrap();
        assert_eq!((answer.stdout.as_str(), answer.is_yes()), ("one\n", false));
        let error = ask_surely(program("tool", ["-q"])).unwrap_err();
        assert_eq!(error.message, "`tool -q` ended with exit code 3");
    }

    #[test]
    fn a_failure_is_told_with_the_programs_last_words() {
        let fake = Processes::always(Fake::code(100).stderr("W: a warning\nE: no such thing\n\n"));
        let host = Host::new().processes(fake).install();
        let error = act(program("apt-get", ["install", "x"])).unwrap_err();
        let expected = "`apt-get install x` ended with exit code 100: E: no such thing";
        assert_eq!(error.message, expected);
        let locale = ("LC_ALL".to_owned(), Some("C.UTF-8".to_owned()));
        assert_eq!(host.commands().first().unwrap().env, [locale]);
    }

    #[test]
    fn the_words_of_another_are_not_a_programs_last() {
        let fake = Processes::new(|command| match command.program.as_str() {
            "warns" => Fake::code(0).stderr("oh dear\n"),
            _ => Fake::code(1),
        });
        let _host = Host::new().processes(fake).install();
        act(program("warns", [""; 0])).unwrap();
        let error = act(program("quiet", [""; 0])).unwrap_err();
        assert_eq!(error.message, "`quiet` ended with exit code 1");
    }

    #[test]
    fn a_failure_can_be_told_by_what_was_wanted() {
        let message = |fake: Fake| {
            let _host = Host::new().processes(Processes::always(fake)).install();
            let error = act(shell("exit", [""; 0])).unwrap_err();
            told(error, "/x cannot be made").message
        };
        let expected = "/x cannot be made: mkdir: no";
        assert_eq!(message(Fake::code(1).stderr("mkdir: no\n")), expected);
        let expected = "/x cannot be made: ended with exit code 1";
        assert_eq!(message(Fake::code(1)), expected);
        let expected = "/x cannot be made: there is no program `/bin/sh` in this environment";
        assert_eq!(message(Fake::missing()), expected);
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let _host = Host::new().install();
        let error = act(program("zypper", ["install"])).unwrap_err();
        assert_eq!(
            error.message,
            "there is no program `zypper` in this environment"
        );
    }

    #[test]
    fn input_reaches_the_program_in_pieces() {
        let host = Host::new()
            .processes(Processes::always(Fake::code(0)))
            .install();
        let pieces = [Ok(b"ab".to_vec()), Ok(b"c".to_vec())];
        act_on(shell("cat > \"$1\"", ["/x"]), pieces).unwrap();
        assert_eq!(host.stdin(0).unwrap(), (b"abc".to_vec(), true));
    }
}
