//! The world `program-runner`: its trait, and the adapter between it and the generated code.

use crate::bindings::program_runner as raw;
use crate::error::Error;
use crate::export::{Adapter, Exported, start};
use crate::model::Description;
use crate::process::{Command, Exit};
use crate::runner::{Outcome, Task};

/// Runs tasks that are one program each, which the host starts: says which program, and what its end means. Where that is enough it's the runner to
/// write: two functions, tested without any fakes, and [quick tests](crate::Runner) follow each other without waiting for the plugin.
///
/// ```
/// use persea_plugin_sdk::prelude::*;
/// use persea_plugin_sdk::process::{Command, Exit, Output};
///
/// struct Compiles;
///
/// impl ProgramRunner for Compiles {
///     fn describe() -> Description {
///         Description::new("compiles", "passes when a C file compiles").kinds(["compiles"])
///     }
///
///     fn commands(task: &Task) -> Result<Vec<Command>, Error> {
///         let file = task.runnable.uri.as_deref().unwrap_or("main.c");
///         let command = |compiler: &str| {
///             Command::new(compiler).args(["-fsyntax-only", file]).stderr(Output::file("stderr"))
///         };
///         Ok(vec![command("cc"), command("gcc")])
///     }
///
///     fn judge(_: &Task, end: Result<Exit, Error>) -> Result<Outcome, Error> {
///         Ok(match end?.code {
///             Some(0) => Outcome::pass(),
///             _ => Outcome::fail("it does not compile"),
///         })
///     }
/// }
///
/// export!(program_runner: Compiles);
/// # let task = Task::new("1-a.c", Runnable::new("compiles").uri("a.c"));
/// # assert_eq!(Compiles::commands(&task).unwrap().len(), 2);
/// # assert_eq!(Compiles::judge(&task, Ok(Exit::code(1))), Ok(Outcome::fail("it does not compile")));
/// ```
///
/// One instance is asked for many tasks, in any order, and dropped now and then: nothing that it keeps between two calls may have an effect.
///
/// Powers: [`log`](crate::log); in `judge` also [`status`](crate::status), as for [reading](crate::status::read_artifact) what the program has left.
pub trait ProgramRunner {
    /// Says what the plugin is. Pure and quick: no power may be used but [`log`](crate::log).
    fn describe() -> Description;

    /// The program of a task, as 1 to 16 commands: the first whose program is there is run. None of them has pipes.
    ///
    /// Called before it's the task's turn, and anew should that not come.
    ///
    /// # Errors
    /// An error ends the task with status ERROR.
    fn commands(task: &Task) -> Result<Vec<Command>, Error>;

    /// How the task has ended, by how its program did. `end` is an error where none could be started: that of the last command.
    ///
    /// # Errors
    /// An error ends the task with status ERROR.
    fn judge(task: &Task, end: Result<Exit, Error>) -> Result<Outcome, Error>;
}

impl<E: Exported> raw::Guest for Adapter<E>
where
    E::Plugin: ProgramRunner,
{
    fn commands(task: raw::Task) -> Result<Vec<raw::Command>, raw::Error> {
        start();
        let commands = E::Plugin::commands(&task.into())?;
        Ok(commands.into_iter().map(Into::into).collect())
    }

    fn judge(
        task: raw::Task,
        end: Result<raw::Exit, raw::Error>,
    ) -> Result<raw::Outcome, raw::Error> {
        start();
        let end = end.map(Into::into).map_err(Into::into);
        Ok(E::Plugin::judge(&task.into(), end)?.into())
    }
}
