//! Owns a program runner; the README of the corpus says what it does.
use common::{code, description, sh};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{Command, Exit, Output};
use persea_plugin_sdk::{artifacts, messages};

struct Corpus;

impl Plugin for Corpus {
    fn describe() -> Description {
        description().role(Role::program_runner(["corpus-program"]))
    }
}

impl ProgramRunner for Corpus {
    fn commands(task: &Task) -> Result<Vec<Command>, Error> {
        let status = task.runnable.uri.as_deref().unwrap_or_default();
        let present = sh(r#"echo program; exit "$1""#, &[status]);
        let absent = Command::new("corpus-absent-program");
        Ok(vec![absent, present.stdout(Output::file("stdout"))])
    }

    fn judge(_: &Task, end: Result<Exit, Error>) -> Result<Outcome, Error> {
        let exit = match end {
            Ok(exit) => exit,
            Err(error) => return Ok(Outcome::error(error.message)),
        };
        let printed = artifacts::read("stdout", 0, 100)?;
        messages::whiteboard(String::from_utf8_lossy(&printed).trim())?;
        Ok(match code(&exit) {
            0 => Outcome::pass(),
            code => Outcome::fail(format!("exit code {code}")),
        })
    }
}

export!(Corpus: program_runner);
