//! Owns the world `program-runner`: its trait, and the adapter to the generated code.

use crate::bindings::program_runner as raw;
use crate::error::Error;
use crate::export::{Adapter, Exported, start};
use crate::model::Description;
use crate::process::{Command, Exit};
use crate::runner::{Outcome, Task};

/// A runner for tasks that are one program each: the plugin names the program and judges its end,
/// and the host runs the program in between.
///
/// Prefer it to [`Runner`](crate::Runner) where it is enough. It is two functions that unit tests
/// can call without fakes, and the host starts quick tests without waiting for the plugin, each as
/// soon as the previous one has ended.
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
///             _ => Outcome::fail("the file does not compile"),
///         })
///     }
/// }
///
/// export!(program_runner: Compiles);
/// # let task = Task::new("1-a.c", Runnable::new("compiles").uri("a.c"));
/// # assert_eq!(Compiles::commands(&task).unwrap().len(), 2);
/// # let outcome = Compiles::judge(&task, Ok(Exit::code(1)));
/// # assert_eq!(outcome, Ok(Outcome::fail("the file does not compile")));
/// ```
///
/// One instance serves many tasks, in any order, and the host replaces it now and then. So the
/// plugin must not keep anything from one call to the next.
///
/// Powers: [`log`](crate::log); in [`judge`](Self::judge) also [`status`](crate::status), for
/// instance to [read](crate::status::read_artifact) the program's output.
pub trait ProgramRunner {
    /// Describes the plugin. The host calls this in an instance of its own when it loads the
    /// plugin. It must be pure and quick (10 s by default), and may use no power but
    /// [`log`](crate::log).
    fn describe() -> Description;

    /// Returns the program of a task, as 1 to 16 alternative commands: the host runs the first
    /// whose program exists (`python3`, for instance, or else `python`). No command may have pipes.
    ///
    /// The host calls this before the task starts, and may call it again for the same task.
    ///
    /// # Errors
    /// An error ends the task with status ERROR.
    fn commands(task: &Task) -> Result<Vec<Command>, Error>;

    /// Returns the outcome of a task, from the end of its program. `end` is an error if no command
    /// could be started: that of the last command.
    ///
    /// When the task times out or the user interrupts it, its processes get SIGTERM, and SIGKILL
    /// after a grace period. The task's status is then INTERRUPTED; the returned outcome only adds
    /// to the result.
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
