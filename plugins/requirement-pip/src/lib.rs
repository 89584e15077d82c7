//! Owns the requirement resolver for the kind `pip`: installs Python distributions with the pip of
//! an interpreter, and restores the former distributions at release.
//! Does not know how versions are compared: see `distributions`.

mod distributions;
mod spec;

use persea_plugin_sdk::messages;
use persea_plugin_sdk::prelude::*;
use persea_requirement_tool::{execute, for_purpose, program, query};
use serde_json::json;

use distributions::{Distributions, Installed, query_python};
use spec::{Action, INDEX, Met, PipSpec};

// Attributes of a fulfilled requirement, read by `release`. Their names are part of journals.
/// Added distributions.
const ADDED: &str = "came";
/// Distributions that were removed or whose version changed, with the former version.
const FORMER: &str = "old";

/// The requirement resolver `pip`.
#[derive(Debug)]
pub struct Pip;

impl Plugin for Pip {
    fn describe() -> Description {
        let summary = "installs Python distributions with pip, and uninstalls them again";
        let role = Role::requirement_resolver(["pip"])
            .with("network", true)
            .with("one-at-a-time", true)
            .with("unique-by", Value::list(["uri", "name", "python"]));
        Description::new("pip", summary).role(role).setting(&INDEX)
    }
}

impl RequirementResolver for Pip {
    fn check(request: &RequirementRequest) -> Result<CheckedRequirement, Error> {
        let spec = PipSpec::read(request)?;
        let met = spec.evaluate(&installed(&spec)?.answers);
        if met == Met::Yes {
            return Ok(Presence::Present.into());
        }
        if spec.action == Action::Check {
            let python = spec.python;
            let found = match met {
                Met::Yes => return Ok(Presence::Present.into()),
                Met::No(why) => format!("{spec} is not installed for {python} ({why})"),
                Met::Unknown(why) => {
                    format!("cannot tell whether {spec} is installed for {python} ({why})")
                }
            };
            let message = format!("{found}, and the action `check` does not install it");
            return Err(Error::new("not-found", message));
        }
        if !query(pip(&spec, &["--version"]))?.succeeded() {
            let message = format!(
                "{} has no pip; install it, for example by a requirement of kind package \
                 (python3-pip), or set `python` to the one of a virtual environment",
                spec.python
            );
            return Err(Error::new("not-found", message));
        }
        Ok(Presence::Absent.into())
    }

    fn fulfil(request: &RequirementRequest) -> Result<FulfilledRequirement, Error> {
        let spec = PipSpec::read(request)?;
        let before = installed(&spec)?.distributions;
        let done = match spec.action {
            Action::Install | Action::Check => {
                let _ = messages::progress(&format!("installing {spec} with pip"));
                install(&spec, request, &spec.specifiers)
            }
            Action::Uninstall => {
                let _ = messages::progress(&format!("uninstalling {spec} with pip"));
                uninstall(&spec, &spec.names())
            }
        };
        let after = installed(&spec)?;
        let change = Change::between(&before, &after.distributions);
        let done = done.and_then(|()| match spec.evaluate(&after.answers) {
            Met::No(why) => {
                let message =
                    format!("pip succeeded, but the requirement for {spec} is not met: {why}");
                Err(Error::new("failed", message))
            }
            // Where only pip can tell, its success is the answer.
            Met::Yes | Met::Unknown(_) => Ok(()),
        });
        match done {
            Ok(()) => Ok(FulfilledRequirement::new()
                .undo(ADDED, Value::list(&change.added))
                .undo(FORMER, Value::json(json!(change.former).to_string()))),
            Err(error) => match change.undo(&spec, request) {
                Ok(()) => Err(error),
                Err(left) => {
                    let message =
                        format!("{}; undoing failed too: {}", error.message, left.message);
                    Err(Error { message, ..error })
                }
            },
        }
    }

    fn release(request: &ReleaseRequest) -> Result<(), Error> {
        let spec = PipSpec::read(&request.request)?;
        let Some(undo) = &request.undo else {
            if let Met::No(_) = spec.evaluate(&installed(&spec)?.answers) {
                return Ok(());
            }
            let message = format!(
                "the job ended before the changes for {spec} were recorded; see `{} -m pip list`",
                spec.python
            );
            return Err(Error::new("unknown", message));
        };
        let unreadable = |error: serde_json::Error| {
            Error::new(
                "invalid",
                format!("cannot read the recorded changes of pip: {error}"),
            )
        };
        let change = Change {
            added: serde_json::from_str(undo.json(ADDED).unwrap_or("[]")).map_err(unreadable)?,
            former: serde_json::from_str(undo.json(FORMER).unwrap_or("{}")).map_err(unreadable)?,
        };
        change.undo(&spec, &request.request)
    }
}

/// Difference between the distributions of an interpreter before and after a fulfilment. The fields
/// are those of the attributes.
#[derive(Debug, PartialEq)]
struct Change {
    added: Vec<String>,
    former: Distributions,
}

impl Change {
    fn between(before: &Distributions, after: &Distributions) -> Self {
        let added = after.keys().filter(|name| !before.contains_key(*name));
        let former = before
            .iter()
            .filter(|(name, version)| after.get(*name) != Some(version));
        Self {
            added: added.cloned().collect(),
            former: former
                .map(|(name, version)| (name.clone(), version.clone()))
                .collect(),
        }
    }

    /// Uninstalls the added distributions, and installs the former versions again.
    fn undo(&self, spec: &PipSpec<'_>, request: &RequirementRequest) -> Result<(), Error> {
        let now = installed(spec)?.distributions;
        let added = self.added.iter().filter(|name| now.contains_key(*name));
        let added: Vec<String> = added.cloned().collect();
        if !added.is_empty() {
            let _ = messages::progress(&format!("uninstalling {}", added.join(", ")));
            uninstall(spec, &added)?;
        }
        let former = self
            .former
            .iter()
            .filter(|(name, version)| now.get(*name) != Some(version));
        let former: Vec<String> = former
            .map(|(name, version)| format!("{name}=={version}"))
            .collect();
        if former.is_empty() {
            return Ok(());
        }
        let _ = messages::progress(&format!("installing {} again", former.join(", ")));
        install(spec, request, &former)
    }
}

fn installed(spec: &PipSpec<'_>) -> Result<Installed, Error> {
    query_python(spec.python, &spec.specifiers)
}

fn pip(spec: &PipSpec<'_>, args: &[&str]) -> persea_plugin_sdk::process::Command {
    let fixed = ["-m", "pip", "--disable-pip-version-check", "--no-input"];
    program(spec.python, fixed).args(args.iter().copied())
}

fn install(
    spec: &PipSpec<'_>,
    request: &RequirementRequest,
    specifiers: &[String],
) -> Result<(), Error> {
    let mut command = pip(spec, &["install"]);
    if spec.break_system_packages {
        command = command.arg("--break-system-packages");
    }
    if let Some(index) = INDEX
        .get(&request.settings)
        .filter(|index| !index.is_empty())
    {
        command = command.args(["--index-url", index]);
    }
    let command = command.arg("--").args(specifiers.iter().cloned());
    execute(command).map_err(|error| explain(spec, error, "install", specifiers))
}

fn uninstall(spec: &PipSpec<'_>, names: &[String]) -> Result<(), Error> {
    let mut command = pip(spec, &["uninstall", "--yes"]);
    if spec.break_system_packages {
        command = command.arg("--break-system-packages");
    }
    let command = command.arg("--").args(names.iter().cloned());
    execute(command).map_err(|error| explain(spec, error, "uninstall", names))
}

/// Names the distributions instead of the command in an error of pip, and explains the error of an
/// interpreter that the system manages (PEP 668).
fn explain(spec: &PipSpec<'_>, error: Error, what: &str, names: &[String]) -> Error {
    if !error.message.contains("PEP 668") {
        return for_purpose(error, &format!("pip could not {what} {}", names.join(", ")));
    }
    let message = format!(
        "the distributions of {} are managed by the system (PEP 668); set `python` to the one of a \
         virtual environment, or `break-system-packages` to true",
        spec.python
    );
    Error::new("not-permitted", message)
}

export!(Pip: requirement_resolver);

#[cfg(test)]
mod tests;
