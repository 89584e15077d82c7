//! The requirement resolver for the kind `pip`: Python distributions are there for an interpreter, or are installed by its pip; and what
//! came by that goes again. What a requirement asks for is in `wanted`.

mod distributions;
mod wanted;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::status;
use persea_requirement_tool::{act, ask, program, told};
use serde_json::json;

use distributions::{Distributions, Installed, ask_python};
use wanted::{Action, INDEX, Met, Wanted};

/// The names of what `release` needs: what came, what changed its version or went (with the old one).
const CAME: &str = "came";
const OLD: &str = "old";

/// The plugin.
#[derive(Debug)]
pub struct Pip;

impl RequirementResolver for Pip {
    fn describe() -> Description {
        let summary = "installs Python distributions with pip, and uninstalls them again";
        Description::new("pip", summary)
            .kinds(["pip"])
            .with("network", true)
            .settings([INDEX])
            .with("one-at-a-time", true)
            .with("unique-by", Value::json(r#"["uri", "name", "python"]"#))
    }

    fn check(request: &Request) -> Result<Presence, Error> {
        let wanted = Wanted::read(request)?;
        let met = wanted.met(&installed(&wanted)?.answers);
        if met == Met::Yes {
            return Ok(Presence::Present);
        }
        if wanted.action == Action::Check {
            let python = wanted.python;
            let found = match met {
                Met::Yes => return Ok(Presence::Present),
                Met::No(why) => format!("{wanted} is not installed for {python} ({why})"),
                Met::Unknown(why) => {
                    format!("whether {wanted} is installed for {python} can't be told ({why})")
                }
            };
            let message = format!("{found}, and its action `check` forbids to install it");
            return Err(Error::new("not-found", message));
        }
        if !ask(pip(&wanted, &["--version"]))?.is_yes() {
            let message = format!(
                "{} has no pip; install it, as by a requirement of kind package (python3-pip), or name the `python` of a virtual environment",
                wanted.python
            );
            return Err(Error::new("not-found", message));
        }
        Ok(Presence::Absent)
    }

    fn fulfil(request: &Request) -> Result<Attributes, Error> {
        let wanted = Wanted::read(request)?;
        let before = installed(&wanted)?.distributions;
        let done = match wanted.action {
            Action::Install | Action::Check => {
                let _ = status::progress(&format!("installing {wanted} with pip"));
                install(&wanted, request, &wanted.specifiers)
            }
            Action::Uninstall => {
                let _ = status::progress(&format!("uninstalling {wanted} with pip"));
                uninstall(&wanted, &wanted.names())
            }
        };
        let after = installed(&wanted)?;
        let change = Change::between(&before, &after.distributions);
        let done = done.and_then(|()| match wanted.met(&after.answers) {
            Met::No(why) => {
                let message =
                    format!("pip has done its work, and {wanted} is not as wanted: {why}");
                Err(Error::new("failed", message))
            }
            // What only pip can tell, it has seen to.
            Met::Yes | Met::Unknown(_) => Ok(()),
        });
        match done {
            Ok(()) => Ok(Attributes::new()
                .with(CAME, Value::json(json!(change.came).to_string()))
                .with(OLD, Value::json(json!(change.old).to_string()))),
            Err(error) => match change.undo(&wanted, request) {
                Ok(()) => Err(error),
                Err(left) => {
                    let message = format!("{}; and not undone: {}", error.message, left.message);
                    Err(Error { message, ..error })
                }
            },
        }
    }

    fn release(request: &Request, fulfilled: &Attributes) -> Result<(), Error> {
        let wanted = Wanted::read(request)?;
        let (Some(came), Some(old)) = (fulfilled.json(CAME), fulfilled.json(OLD)) else {
            if let Met::No(_) = wanted.met(&installed(&wanted)?.answers) {
                return Ok(());
            }
            let message = format!(
                "the job ended before it was known what came or went with {wanted}; `{} -m pip list` may tell",
                wanted.python
            );
            return Err(Error::new("unknown", message));
        };
        let unreadable = |error: serde_json::Error| {
            Error::new(
                "invalid",
                format!("what was noted of pip can't be read: {error}"),
            )
        };
        let change = Change {
            came: serde_json::from_str(came).map_err(unreadable)?,
            old: serde_json::from_str(old).map_err(unreadable)?,
        };
        change.undo(&wanted, request)
    }
}

/// How the distributions of an interpreter have changed.
#[derive(Debug, PartialEq)]
struct Change {
    came: Vec<String>,
    old: Distributions,
}

impl Change {
    fn between(before: &Distributions, after: &Distributions) -> Self {
        let came = after.keys().filter(|name| !before.contains_key(*name));
        let old = before
            .iter()
            .filter(|(name, version)| after.get(*name) != Some(version));
        Self {
            came: came.cloned().collect(),
            old: old
                .map(|(name, version)| (name.clone(), version.clone()))
                .collect(),
        }
    }

    fn undo(&self, wanted: &Wanted<'_>, request: &Request) -> Result<(), Error> {
        let now = installed(wanted)?.distributions;
        let came = self.came.iter().filter(|name| now.contains_key(*name));
        let came: Vec<String> = came.cloned().collect();
        if !came.is_empty() {
            let _ = status::progress(&format!("uninstalling {}", came.join(", ")));
            uninstall(wanted, &came)?;
        }
        let old = self
            .old
            .iter()
            .filter(|(name, version)| now.get(*name) != Some(version));
        let old: Vec<String> = old
            .map(|(name, version)| format!("{name}=={version}"))
            .collect();
        if old.is_empty() {
            return Ok(());
        }
        let _ = status::progress(&format!("installing {} again", old.join(", ")));
        install(wanted, request, &old)
    }
}

fn installed(wanted: &Wanted<'_>) -> Result<Installed, Error> {
    ask_python(wanted.python, &wanted.specifiers)
}

fn pip(wanted: &Wanted<'_>, args: &[&str]) -> persea_plugin_sdk::process::Command {
    let fixed = ["-m", "pip", "--disable-pip-version-check", "--no-input"];
    program(wanted.python, fixed).args(args.iter().copied())
}

fn install(wanted: &Wanted<'_>, request: &Request, specifiers: &[String]) -> Result<(), Error> {
    let mut command = pip(wanted, &["install"]);
    if wanted.break_system_packages {
        command = command.arg("--break-system-packages");
    }
    if let Some(index) = request
        .settings
        .text(INDEX)
        .filter(|index| !index.is_empty())
    {
        command = command.args(["--index-url", index]);
    }
    let command = command.arg("--").args(specifiers.iter().cloned());
    act(command).map_err(|error| explain(wanted, error, "install", specifiers))
}

fn uninstall(wanted: &Wanted<'_>, names: &[String]) -> Result<(), Error> {
    let mut command = pip(wanted, &["uninstall", "--yes"]);
    if wanted.break_system_packages {
        command = command.arg("--break-system-packages");
    }
    let command = command.arg("--").args(names.iter().cloned());
    act(command).map_err(|error| explain(wanted, error, "uninstall", names))
}

/// Tells a failure by what was wanted; and the ways out where the interpreter belongs to the system (PEP 668).
fn explain(wanted: &Wanted<'_>, error: Error, what: &str, names: &[String]) -> Error {
    if !error.message.contains("PEP 668") {
        return told(error, &format!("pip could not {what} {}", names.join(", ")));
    }
    let message = format!(
        "what {} has belongs to the system (PEP 668); name the `python` of a virtual environment, or say `break-system-packages`: true",
        wanted.python
    );
    Error::new("not-permitted", message)
}

export!(requirement_resolver: Pip);

#[cfg(test)]
mod tests;
