//! Owns the requirement resolver for the kind `command`: looks for a program, or runs the
//! requirement's shell lines, which set something up and tear it down again.
//! Does not know about what the lines do, only whether they succeeded and which variables they
//! write for the tests.

mod spec;
mod variables;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::Command as ProcessCommand;
use persea_requirement_tool::{execute, query, query_ok, shell};

use spec::CommandSpec;
use variables::Variables;

/// Environment variable of a setup: path of the file into which the setup writes its variables.
const PERSEA_ENV: &str = "PERSEA_ENV";

/// Environment variable, as for tests: path of the directory that all tasks of the job share.
const COMMON: &str = "AVOCADO_TESTS_COMMON_TMPDIR";

/// Attribute of a fulfilled requirement, for `release`, and the name of the variables for the host.
const ENV: &str = "env";

/// Shell script that succeeds if `$1` is an executable file or names one in PATH. `command -v` does
/// not serve: it also finds builtins and keywords and, in some shells, files that are not
/// executable.
const FIND_EXECUTABLE: &str = r#"
case $1 in */*) [ -f "$1" ] && [ -x "$1" ]; exit ;; esac
IFS=:; set -f
for d in $PATH; do
  p=${d:-.}/$1
  [ -f "$p" ] && [ -x "$p" ] && exit 0
done
exit 1
"#;

/// The requirement resolver `command`.
#[derive(Debug)]
pub struct Command;

impl Plugin for Command {
    fn describe() -> Description {
        let summary = "looks for a program, or runs shell lines as set-up and teardown";
        Description::new("command", summary).role(Role::requirement_resolver(["command"]))
    }
}

impl RequirementResolver for Command {
    fn check(request: &RequirementRequest) -> Result<CheckedRequirement, Error> {
        let spec = CommandSpec::read(request)?;
        if !spec.can_be_present() {
            return Ok(Presence::Absent.into());
        }
        match (find_missing(request, &spec)?, spec.setup) {
            (None, _) => Ok(Presence::Present.into()),
            (Some(_), Some(_)) => Ok(Presence::Absent.into()),
            (Some(missing), None) => Err(missing),
        }
    }

    fn fulfil(request: &RequirementRequest) -> Result<FulfilledRequirement, Error> {
        let spec = CommandSpec::read(request)?;
        let file = match spec.variables.is_empty() {
            true => None,
            false => Some(create_variables_file(request)?),
        };
        let mut variables = Variables::default();
        let done = set_up(request, &spec, file.as_deref(), &mut variables);
        let Err(mut error) = done else {
            return Ok(match spec.variables.is_empty() {
                true => FulfilledRequirement::new(),
                false => {
                    let variables = Value::json(variables.to_json());
                    FulfilledRequirement::new()
                        .undo(ENV, variables.clone())
                        .with(ENV, variables)
                }
            });
        };
        if let Err(second) = tear_down(request, &spec, &variables) {
            error.message.push_str(&format!("; then {second}"));
        }
        Err(error)
    }

    fn release(request: &ReleaseRequest) -> Result<(), Error> {
        let spec = CommandSpec::read(&request.request)?;
        let recorded = request.undo.as_ref().and_then(|undo| undo.json(ENV));
        let variables = recorded.map(Variables::from_json).transpose()?;
        tear_down(&request.request, &spec, &variables.unwrap_or_default())
    }
}

/// Returns why the requirement is not met, or `None` where it is met.
fn find_missing(
    request: &RequirementRequest,
    spec: &CommandSpec<'_>,
) -> Result<Option<Error>, Error> {
    if let Some(program) = spec.program
        && !query(shell(FIND_EXECUTABLE, [program]))?.succeeded()
    {
        let message = format!(
            "this environment has no program `{program}`; install it, for example by a \
             requirement of kind package"
        );
        return Ok(Some(Error::new("not-found", message)));
    }
    let Some(check) = spec.check else {
        return Ok(None);
    };
    match run("check", shell_lines(request, check, &Variables::default())) {
        Err(error) if error.code == "failed" => Ok(Some(error)),
        result => result.map(|()| None),
    }
}

/// Runs the setup, and checks that it met the requirement and wrote the variables.
fn set_up(
    request: &RequirementRequest,
    spec: &CommandSpec<'_>,
    file: Option<&str>,
    variables: &mut Variables,
) -> Result<(), Error> {
    let Some(setup) = spec.setup else {
        // Reached only where the program has disappeared since the check.
        return find_missing(request, spec)?.map_or(Ok(()), Err);
    };
    let mut command = shell_lines(request, setup, variables);
    if let Some(file) = file {
        command = command.env(PERSEA_ENV, file);
    }
    let done = run("setup", command);
    let read = match file {
        // The variables are read after a failed setup too, because its teardown needs them.
        Some(file) => query_ok(shell(r#"exec cat < "$1""#, [file]))
            .and_then(|written| variables.parse(&written)),
        None => Ok(()),
    };
    done?;
    read?;
    variables.check_names(&spec.variables)?;
    match find_missing(request, spec)? {
        None => Ok(()),
        Some(missing) => {
            let message = format!("its setup succeeded, but did not help: {missing}");
            Err(Error { message, ..missing })
        }
    }
}

/// Creates the file for a setup's variables, empty.
fn create_variables_file(request: &RequirementRequest) -> Result<String, Error> {
    let directory = request.work_dir().or(request.job_temp_dir());
    let directory = directory.ok_or_else(|| {
        let message = "this environment has no directory for the variables of a setup";
        Error::new("unsupported", message)
    })?;
    let file = format!("{directory}/{ENV}");
    execute(shell(r#"mkdir -p "${1%/*}" && : > "$1""#, [&file]))?;
    Ok(file)
}

fn tear_down(
    request: &RequirementRequest,
    spec: &CommandSpec<'_>,
    variables: &Variables,
) -> Result<(), Error> {
    match spec.teardown {
        Some(teardown) => run("teardown", shell_lines(request, teardown, variables)),
        None => Ok(()),
    }
}

/// Builds the command that runs the user's shell lines. The shell stops at the first line that
/// fails, and keeps the locale of the environment.
fn shell_lines(request: &RequirementRequest, lines: &str, variables: &Variables) -> ProcessCommand {
    let mut command = ProcessCommand::new("/bin/sh").args(["-e", "-c", lines]);
    if let Some(directory) = request.job_temp_dir() {
        command = command.env(COMMON, directory);
    }
    for (name, value) in variables.iter() {
        command = command.env(name, value);
    }
    command
}

/// Runs the setup, the teardown or the check; an error names which of them failed.
fn run(what: &str, command: ProcessCommand) -> Result<(), Error> {
    execute(command).map_err(|error| {
        let detail = |name| error.detail.text(name).filter(|text| !text.is_empty());
        let message = match (detail("end"), detail("last-line")) {
            (Some(end), Some(line)) => format!("its {what} {end}: {line}"),
            (Some(end), None) => format!("its {what} {end}"),
            (None, _) => format!("cannot run its {what}: {}", error.message),
        };
        Error { message, ..error }
    })
}

export!(Command: requirement_resolver);

#[cfg(test)]
mod tests;
