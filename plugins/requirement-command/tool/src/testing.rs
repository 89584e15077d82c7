//! Owns the processes of unit tests: runs a resolver's commands as real processes on this machine,
//! so that a test covers its shell scripts.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{self, Output, Stdio};

use persea_plugin_sdk::process::{Command, Input};
use persea_plugin_sdk::testing::{Answer, Installed, Processes};
use persea_plugin_sdk::{FulfilledRequirement, ReleaseRequest, RequirementRequest};

/// Runs started commands in a directory. A command that reads standard input is reported as
/// successful at once and runs only in [`run_with_input`], when its input is complete.
pub fn real_processes(directory: &Path) -> Processes {
    let directory = PathBuf::from(directory);
    Processes::new(move |command| match command.stdin {
        Input::Pipe => Answer::code(0),
        Input::Empty | Input::Bytes(_) | Input::File(_) => {
            run(command, &directory).unwrap_or_else(|_| Answer::missing())
        }
    })
}

/// Builds the request to release what [`fulfil`] returned.
///
/// [`fulfil`]: persea_plugin_sdk::RequirementResolver::fulfil
pub fn recorded(request: RequirementRequest, fulfilled: &FulfilledRequirement) -> ReleaseRequest {
    ReleaseRequest::new(request, Some(fulfilled.undo.clone()))
}

/// Builds the request to release a requirement after the host was killed before it could record
/// what `fulfil` returned.
pub fn unrecorded(request: RequirementRequest) -> ReleaseRequest {
    ReleaseRequest::new(request, None)
}

/// Runs all commands that read standard input, each with its input, and returns their exit codes.
///
/// # Errors
/// Where a command cannot be started.
pub fn run_with_input(host: &Installed, directory: &Path) -> io::Result<Vec<Option<i32>>> {
    let commands = host.commands().into_iter().enumerate();
    let reading = commands.filter(|(_, command)| command.stdin == Input::Pipe);
    let codes = reading.map(|(index, command)| {
        let input = host.stdin(index).unwrap_or_default().0;
        Ok(output(&command, directory, &input)?.status.code())
    });
    codes.collect()
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
