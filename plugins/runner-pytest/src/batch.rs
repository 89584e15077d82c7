//! Owns the batch: one Python interpreter with pytest, which forks a process for each session.
//!
//! Does not know about processes below the interpreter: `persea_pytest_batch.py` owns those.

use persea_exec_command::python;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Child, Command, Input, Output};

use crate::command::Request;
use crate::script;
use crate::session::{Session, interpreter_ended, missing_interpreter};

/// The part of the script that serves many sessions.
pub(crate) const BATCH: &str = include_str!("persea_pytest_batch.py");

/// A running interpreter.
struct Python {
    /// The command that started it. A task that needs another one, such as other options of pytest,
    /// gets a new interpreter.
    command: Command,
    child: Child,
}

/// Runs the sessions of a batch, one after the other.
pub(crate) fn run(batch: &mut Batch) -> Result<(), Error> {
    let mut python = None;
    while let Some(task) = batch.take_task()? {
        batch.finish_task(session(&mut python, &task))?;
    }
    Ok(())
}

fn session(kept: &mut Option<Python>, task: &Task) -> Result<Outcome, Error> {
    let request = Request::new(task)?;
    let mut wanted = request.command.clone();
    let variables = python::take_variables(&mut wanted);
    wanted = wanted
        .args(["-c", &script(&format!("{}\n\n{BATCH}", python::BATCH))])
        .args(&request.arguments)
        .stdin(Input::Pipe)
        .stdout(Output::Discard)
        .stderr(Output::file("stderr"))
        .report(Output::Pipe);
    let running = match kept.take() {
        Some(running) if running.command == wanted => running,
        other => {
            drop(other);
            match process::start(&wanted) {
                Ok(child) => Python {
                    command: wanted,
                    child,
                },
                Err(error) => return missing_interpreter(error),
            }
        }
    };
    let mut session = Session::new(&request);
    // A write fails when the interpreter has ended; its report and its exit status then say why.
    let fields = [
        request.selected.as_str(),
        &request.part,
        task.output_dir().unwrap_or_default(),
        task.work_dir().unwrap_or_default(),
    ];
    let _ = running.child.write(&python::request(&fields, &variables));
    let Some(exit) = session.read_of_batch(&running.child)? else {
        let exit = running.child.wait()?;
        return Ok(match session.has_problem() {
            true => session.outcome(&exit),
            false => interpreter_ended(&exit),
        });
    };
    *kept = Some(running);
    Ok(session.outcome(&exit))
}
