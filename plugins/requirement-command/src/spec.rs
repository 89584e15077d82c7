//! Owns reading and checking the arguments of a requirement of kind `command`.
//! Does not know about the environment.

use persea_plugin_sdk::prelude::*;
use persea_requirement_tool::arguments::{Arguments, is_variable};

const KNOWN: [&str; 5] = ["name", "check", "setup", "teardown", "env"];

/// Arguments of a requirement of kind `command`.
#[derive(Debug)]
pub(crate) struct CommandSpec<'a> {
    pub(crate) program: Option<&'a str>,
    pub(crate) check: Option<&'a str>,
    pub(crate) setup: Option<&'a str>,
    pub(crate) teardown: Option<&'a str>,
    /// Names of the environment variables that the setup writes.
    pub(crate) variables: Vec<String>,
}

impl<'a> CommandSpec<'a> {
    pub(crate) fn read(request: &'a RequirementRequest) -> Result<Self, Error> {
        let arguments = Arguments::read(&request.requirement, &KNOWN)?;
        let spec = Self {
            program: arguments.uri_or("name")?,
            check: arguments.text("check")?,
            setup: arguments.text("setup")?,
            teardown: arguments.text("teardown")?,
            variables: arguments.texts("env")?,
        };
        if let Some(name) = spec.variables.iter().find(|name| !is_variable(name)) {
            let message = format!("`env` has {name:?}, which is not a valid variable name");
            return Err(arguments.invalid(message));
        }
        let is_empty = spec.program.is_none() && spec.check.is_none();
        let has_variables = !spec.variables.is_empty();
        let message = match (spec.setup, spec.teardown) {
            (None, Some(_)) => "it has a `teardown`, but no `setup`",
            (None, _) if has_variables => {
                "it has an `env`, but no `setup` that writes these variables"
            }
            (None, None) if is_empty => "it needs a `uri` or `name`, a `check` or a `setup`",
            (Some(_), _) if has_variables && spec.check.is_some() => {
                "it has a `check` and an `env`: a passing check would skip the setup that writes \
                 the variables; give only one of them"
            }
            _ => return Ok(spec),
        };
        Err(arguments.invalid(message))
    }

    /// Whether a check can find the requirement met already. It cannot where there is neither a
    /// program nor a check line to try, or where only the setup can provide the variables.
    pub(crate) fn can_be_present(&self) -> bool {
        self.variables.is_empty() && (self.program.is_some() || self.check.is_some())
    }
}
