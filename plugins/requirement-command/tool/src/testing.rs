//! For unit tests of resolvers: commands that really run, here, so that lines of shell are tried and not only looked at.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{self, Output, Stdio};

use persea_plugin_sdk::process::{Command, Input};
use persea_plugin_sdk::testing::{Answer, Installed, Processes};

/// Runs what is started in a directory. What reads an input is not run before [`feed`]: until then nothing is known of its input,
/// and it is said to have ended well.
pub fn here(directory: &Path) -> Processes {
    let directory = PathBuf::from(directory);
    Processes::new(move |command| match command.stdin {
        Input::Pipe => Answer::code(0),
        Input::Empty => run(command, &directory).unwrap_or_else(|_| Answer::missing()),
    })
}

/// Runs those that read an input, with the input that they were given; their exit codes.
///
/// # Errors
/// Where one can't be started.
pub fn feed(host: &Installed, directory: &Path) -> io::Result<Vec<Option<i32>>> {
    let commands = host.commands().into_iter().enumerate();
    let reading = commands.filter(|(_, command)| command.stdin == Input::Pipe);
    let fed = reading.map(|(index, command)| {
        let input = host.stdin(index).unwrap_or_default().0;
        Ok(output(&command, directory, &input)?.status.code())
    });
    fed.collect()
}

fn run(command: &Command, directory: &Path) -> io::Result<Answer> {
    let output = output(command, directory, &[])?;
    let answer = output.status.code().map_or(Answer::signal(9), Answer::code);
    Ok(answer.stdout(output.stdout).stderr(output.stderr))
}

fn output(command: &Command, directory: &Path, input: &[u8]) -> io::Result<Output> {
    let mut real = process::Command::new(&command.program);
    real.args(&command.args).current_dir(directory);
    real.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, value) in &command.env {
        match value {
            Some(value) => real.env(name, value),
            None => real.env_remove(name),
        };
    }
    let mut child = real.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input)?;
    }
    child.wait_with_output()
}
