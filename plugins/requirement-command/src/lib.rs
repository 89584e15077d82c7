//! The requirement resolver for the kind `command`: a program is there; or lines of shell, given with the requirement, set something
//! up and tear it down again. What they do is the user's; this knows only whether they ended well, and which variables they give
//! to the tests.

mod variables;
mod wanted;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::Command as Start;
use persea_requirement_tool::{act, ask, ask_surely, shell};

use variables::Variables;
use wanted::Wanted;

/// Names the file into which a setup writes its variables.
const PERSEA_ENV: &str = "PERSEA_ENV";

/// As for tests: the directory that all tasks of the job share.
const COMMON: &str = "AVOCADO_TESTS_COMMON_TMPDIR";

/// The name of what is told to the host and to `release`.
const ENV: &str = "env";

/// Whether a program can be run. `command -v` also finds what is no program, and in some shells what can't be executed.
const FIND: &str = r#"
case $1 in */*) [ -f "$1" ] && [ -x "$1" ]; exit ;; esac
IFS=:; set -f
for d in $PATH; do
  p=${d:-.}/$1
  [ -f "$p" ] && [ -x "$p" ] && exit 0
done
exit 1
"#;

/// The plugin.
#[derive(Debug)]
pub struct Command;

impl RequirementResolver for Command {
    fn describe() -> Description {
        let summary = "looks for a program, or runs lines of shell that set something up";
        Description::new("command", summary).kinds(["command"])
    }

    fn check(request: &Request) -> Result<Presence, Error> {
        let wanted = Wanted::read(request)?;
        if !wanted.can_be_present() {
            return Ok(Presence::Absent);
        }
        match (look(request, &wanted)?, wanted.setup) {
            (None, _) => Ok(Presence::Present),
            (Some(_), Some(_)) => Ok(Presence::Absent),
            (Some(missing), None) => Err(missing),
        }
    }

    fn fulfil(request: &Request) -> Result<Attributes, Error> {
        let wanted = Wanted::read(request)?;
        let file = match wanted.variables.is_empty() {
            true => None,
            false => Some(new_file(request)?),
        };
        let mut variables = Variables::default();
        let done = set_up(request, &wanted, file.as_deref(), &mut variables);
        let Err(mut error) = done else {
            return Ok(match wanted.variables.is_empty() {
                true => Attributes::new(),
                false => Attributes::new().with(ENV, Value::json(variables.to_json())),
            });
        };
        if let Err(second) = tear_down(request, &wanted, &variables) {
            error.message.push_str(&format!("; then {second}"));
        }
        Err(error)
    }

    fn release(request: &Request, fulfilled: &Attributes) -> Result<(), Error> {
        let wanted = Wanted::read(request)?;
        let variables = fulfilled.json(ENV).map(Variables::from_json);
        tear_down(
            request,
            &wanted,
            &variables.transpose()?.unwrap_or_default(),
        )
    }
}

/// What is missing, if anything.
fn look(request: &Request, wanted: &Wanted<'_>) -> Result<Option<Error>, Error> {
    if let Some(program) = wanted.program
        && !ask(shell(FIND, [program]))?.is_yes()
    {
        let message = format!(
            "there is no program `{program}` in this environment; install it, as by a requirement of kind package"
        );
        return Ok(Some(Error::new("not-found", message)));
    }
    let Some(check) = wanted.check else {
        return Ok(None);
    };
    match run("check", line(request, check, &Variables::default())) {
        Err(error) if error.code == "failed" => Ok(Some(error)),
        result => result.map(|()| None),
    }
}

/// Runs the setup, and sees that it has done what it should.
fn set_up(
    request: &Request,
    wanted: &Wanted<'_>,
    file: Option<&str>,
    variables: &mut Variables,
) -> Result<(), Error> {
    let Some(setup) = wanted.setup else {
        // The check has said so already, in an error.
        return look(request, wanted)?.map_or(Ok(()), Err);
    };
    let mut command = line(request, setup, variables);
    if let Some(file) = file {
        command = command.env(PERSEA_ENV, file);
    }
    let done = run("setup", command);
    let read = match file {
        // Those of a setup that has failed are for its teardown, as far as they can be read.
        Some(file) => ask_surely(shell(r#"exec cat < "$1""#, [file]))
            .and_then(|written| variables.read(&written)),
        None => Ok(()),
    };
    done?;
    read?;
    variables.must_be(&wanted.variables)?;
    match look(request, wanted)? {
        None => Ok(()),
        Some(missing) => {
            let message = format!("its setup has not helped: {missing}");
            Err(Error { message, ..missing })
        }
    }
}

/// Makes the file for a setup's variables.
fn new_file(request: &Request) -> Result<String, Error> {
    let directory = request.work_dir().or(request.job_temp_dir());
    let directory = directory.ok_or_else(|| {
        let message = "there is no directory in this environment for the variables of a setup";
        Error::new("unsupported", message)
    })?;
    let file = format!("{directory}/{ENV}");
    act(shell(r#"mkdir -p "${1%/*}" && : > "$1""#, [&file]))?;
    Ok(file)
}

fn tear_down(request: &Request, wanted: &Wanted<'_>, variables: &Variables) -> Result<(), Error> {
    match wanted.teardown {
        Some(teardown) => run("teardown", line(request, teardown, variables)),
        None => Ok(()),
    }
}

/// Lines of the user for the environment's shell, which stops at the first that fails. They have the user's locale.
fn line(request: &Request, line: &str, variables: &Variables) -> Start {
    let mut command = Start::new("/bin/sh").args(["-e", "-c", line]);
    if let Some(directory) = request.job_temp_dir() {
        command = command.env(COMMON, directory);
    }
    for (name, value) in variables.iter() {
        command = command.env(name, value);
    }
    command
}

fn run(what: &str, command: Start) -> Result<(), Error> {
    act(command).map_err(|error| {
        let detail = |name| error.detail.text(name).filter(|text| !text.is_empty());
        let message = match (detail("end"), detail("last-words")) {
            (Some(end), Some(words)) => format!("its {what} {end}: {words}"),
            (Some(end), None) => format!("its {what} {end}"),
            (None, _) => format!("its {what} could not be run: {}", error.message),
        };
        Error { message, ..error }
    })
}

export!(requirement_resolver: Command);

#[cfg(test)]
mod tests;
