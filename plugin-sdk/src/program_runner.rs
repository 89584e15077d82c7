//! Owns the world `program-runner`: its trait, and the adapter to the generated code.

use crate::bindings::program_runner as raw;
use crate::error::Error;
use crate::export::{Adapter, start};
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
/// impl Plugin for Compiles {
///     fn describe() -> Description {
///         Description::new("compiles", "passes when a C file compiles")
///             .role(Role::program_runner(["compiles"]))
///     }
/// }
///
/// impl ProgramRunner for Compiles {
///     fn commands(task: &Task) -> Result<Vec<Command>, Error> {
///         let file = task.runnable.uri.as_deref().unwrap_or("main.c");
///         let command = |compiler: &str| {
///             Command::new(compiler).args(["-fsyntax-only", file]).stderr(Output::file("stderr"))
///         };
///         Ok(vec![command("cc"), command("gcc")])
///     }
///
///     fn judge(_: &Task, end: Result<Exit, Error>) -> Result<Outcome, Error> {
///         Ok(match end?.code() {
///             Some(0) => Outcome::pass(),
///             _ => Outcome::fail("the file does not compile"),
///         })
///     }
/// }
///
/// export!(Compiles: program_runner);
/// # let task = Task::new("1-a.c", Runnable::new("compiles").uri("a.c"));
/// # assert_eq!(Compiles::commands(&task).unwrap().len(), 2);
/// # use persea_plugin_sdk::process::Ending;
/// # let outcome = Compiles::judge(&task, Ok(Exit::new(Ending::Code(1))));
/// # assert_eq!(outcome, Ok(Outcome::fail("the file does not compile")));
/// ```
///
/// One instance serves many tasks, in any order, and the host replaces it now and then. So the
/// plugin must not keep anything from one call to the next.
///
/// Powers: [`log`](crate::log); in [`judge`](Self::judge) also [`messages`](crate::messages),
/// [`artifacts`](crate::artifacts), for instance to [read](crate::artifacts::read) the program's
/// output, [`cases`](crate::cases) and [`monotonic_clock`](crate::monotonic_clock).
pub trait ProgramRunner {
    /// Returns the program of a task, as 1 to 16 alternative commands: the host runs the first
    /// whose program exists (`python3`, for instance, or else `python`). No command may have pipes,
    /// a report socket or a terminal.
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

impl<P: ProgramRunner> raw::Guest for Adapter<P> {
    fn commands(task: raw::Task) -> Result<raw::Program, raw::Error> {
        start();
        let commands = P::commands(&task.into())?;
        Ok(raw::Program {
            commands: commands.into_iter().map(Into::into).collect(),
            more: Vec::new(),
        })
    }

    fn judge(ended: raw::EndedTask) -> Result<raw::Outcome, raw::Error> {
        start();
        let end = match ended.program_end {
            raw::ProgramEnd::Exited(exit) => Ok(exit.into()),
            raw::ProgramEnd::NotStarted(error) => Err(error.into()),
        };
        Ok(P::judge(&ended.task.into(), end)?.into())
    }
}
