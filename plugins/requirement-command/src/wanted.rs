//! What a requirement of kind `command` asks for, read from its arguments. It must not know what is there.

use persea_plugin_sdk::prelude::*;
use persea_requirement_tool::arguments::{Arguments, is_variable};

const KNOWN: [&str; 5] = ["name", "check", "setup", "teardown", "env"];

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) program: Option<&'a str>,
    pub(crate) check: Option<&'a str>,
    pub(crate) setup: Option<&'a str>,
    pub(crate) teardown: Option<&'a str>,
    /// The names of the variables that the setup gives.
    pub(crate) variables: Vec<String>,
}

impl<'a> Wanted<'a> {
    pub(crate) fn read(request: &'a Request) -> Result<Self, Error> {
        let arguments = Arguments::read(&request.requirement, &KNOWN)?;
        let wanted = Self {
            program: arguments.thing("name")?,
            check: arguments.text("check")?,
            setup: arguments.text("setup")?,
            teardown: arguments.text("teardown")?,
            variables: arguments.texts("env")?,
        };
        if let Some(name) = wanted.variables.iter().find(|name| !is_variable(name)) {
            let message = format!("`env` has {name:?}, which is no name of a variable");
            return Err(arguments.invalid(message));
        }
        let is_empty = wanted.program.is_none() && wanted.check.is_none();
        let gives = !wanted.variables.is_empty();
        let message = match (wanted.setup, wanted.teardown) {
            (None, Some(_)) => "it has a `teardown`, but no `setup`",
            (None, _) if gives => "it has an `env`, but no `setup` that gives these variables",
            (None, None) if is_empty => "it needs a `uri` or `name`, a `check` or a `setup`",
            (Some(_), _) if gives && wanted.check.is_some() => {
                "it has a `check` and an `env`: the setup that gives the variables would not run where the check is content; give it one of both"
            }
            _ => return Ok(wanted),
        };
        Err(arguments.invalid(message))
    }

    /// Whether there may be nothing to do: not where there is nothing to look for, or the setup is to tell something.
    pub(crate) fn can_be_present(&self) -> bool {
        self.variables.is_empty() && (self.program.is_some() || self.check.is_some())
    }
}
