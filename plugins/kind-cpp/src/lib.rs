//! Persea's plugin `cpp`: the tests of C++ programs with GoogleTest or Catch2.
//!
//! This module owns the plugin's roles. A reference becomes one runnable, which runs the whole
//! program in one process, a session, with a case for each test. Where the user wants each test
//! alone, the lister asks the program for its tests (`listing`). `session` runs and follows a
//! program, `tally` makes its outcome, and `googletest` and `catch2` know what the two frameworks
//! write.

mod catch2;
mod framework;
mod googletest;
mod listed;
mod listing;
mod program;
mod reference;
mod session;
mod xml;

use framework::Framework;
use persea_exec_command::CLEAR_ENV;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::workspace::{self, FileKind};
use reference::Reference;

/// The plugin `cpp`.
pub struct Cpp;

impl Plugin for Cpp {
    fn describe() -> Description {
        let kinds = || Framework::ALL.map(Framework::kind);
        let mut description = Description::new("cpp", "lists and runs the tests of C++ programs")
            .role(Role::resolver(kinds()))
            .role(Role::lister(kinds()))
            .role(Role::runner(kinds()));
        for framework in Framework::ALL {
            description = description
                .setting(&framework.isolate())
                .setting(&framework.list_timeout());
        }
        description.setting(&CLEAR_ENV)
    }
}

/// A reference such as `googletest:PATH` becomes one runnable, which stands for all tests of the
/// program.
impl Resolver for Cpp {
    fn resolve(request: &ResolveRequest) -> Result<Resolution, Error> {
        let text = request.reference.as_str();
        let mut frameworks = Framework::ALL.into_iter();
        let found = frameworks.find_map(|framework| {
            let rest = text.strip_prefix(framework.kind())?.strip_prefix(':')?;
            Some((framework, rest))
        });
        let Some((framework, rest)) = found else {
            let why = "the reference is neither googletest:PROGRAM nor catch2:PROGRAM";
            return Ok(Resolution::not_found(why));
        };
        let reference = match Reference::parse(framework, rest) {
            Ok(reference) => reference,
            Err(why) => return Ok(Resolution::corrupt(why)),
        };
        // A program outside of the project cannot be looked at; starting it says what is wrong.
        let stat = workspace::stat(&reference.program);
        let program = &reference.program;
        let why = match stat {
            Ok(stat) if stat.kind != FileKind::File => format!("{program} is not a file"),
            Ok(stat) if !stat.executable => format!("{program} is not executable"),
            Err(error) if error.code == "not-found" => {
                format!("there is no {program}; build the tests first")
            }
            Ok(_) | Err(_) => return Ok(Resolution::found([reference.runnable()])),
        };
        let kind = framework.kind();
        Ok(Resolution::corrupt(format!(
            "{why}; write {kind}: and the path of a test program"
        )))
    }
}

impl Lister for Cpp {
    fn list_tests(task: &Task) -> Result<Listing, Error> {
        listing::list(task).map(Listing::new)
    }
}

impl Runner for Cpp {
    fn run(task: Task) -> Result<Outcome, Error> {
        session::run(&task)
    }
}

export!(Cpp: resolver, lister, runner);

#[cfg(test)]
mod tests;
