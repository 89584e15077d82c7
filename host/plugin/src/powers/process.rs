//! The power `process`: processes in the task's environment. Does not know how a process is started
//! or ended: `persea-spawner` does.

use std::path::Path;
use std::sync::Arc;

use wasmtime::component::Resource;

use crate::contract::convert::{error, io_error};
use crate::contract::data::{Command, CommandInput, CommandOutput, Error, Value};
use crate::contract::limits::{COMMAND_ARGUMENTS, COMMAND_VARIABLES, PIECE};
use crate::contract::world::World;
use crate::engine::limits::Limits;
use crate::instance::context::PluginContext;
use crate::instance::environment::VARIABLES;
use crate::instance::grants::{Grant, Grants};
use crate::instance::log::LogLevel;
use crate::instance::state::{InstanceState, PowerState};
use crate::powers::command_options::CommandOptions;
use crate::powers::descriptor::Power;
use crate::powers::files::checked_name;
use crate::powers::handles::RunningChild;
use crate::powers::task::{Starting, TaskHost};
use persea_model::SpawnerKind;
use persea_spawner as spawner;
use persea_spawner::SpawnError;

pub(crate) static POWER: Power = Power {
    name: "process",
    worlds: &[World::Runner, World::Lister, World::RequirementResolver],
    words: "start processes where its task runs",
    grant: Some(&SPAWNERS),
    more_grants: &[&PROGRAMS, &VARIABLES],
};

/// The grant of spawners.
pub(crate) static SPAWNERS: Grant = Grant {
    name: "process",
    parameter: "SPAWNER",
    default: Some("sandbox"),
    built_in: Some("*"),
    check: |spawner| match spawner == "*" || SpawnerKind::parse(spawner).is_some() {
        true => Ok(()),
        false => Err(format!("expected `*`, {}", SpawnerKind::EXPECTED)),
    },
    provenance: &[
        World::Resolver,
        World::Lister,
        World::Varianter,
        World::RequirementResolver,
    ],
    propose: Some(propose_spawners),
    summary: "spawners in which the plugin's processes run",
};

/// The grant of programs. Without it, a plugin with the power may start any program.
pub(crate) static PROGRAMS: Grant = Grant {
    name: "programs",
    parameter: "PROGRAM",
    default: None,
    built_in: None,
    check: |_| Ok(()),
    provenance: &[],
    propose: None,
    summary: "the only programs that the plugin may start, as it names them",
};

/// Proposes the spawners that isolate, and the configured one in addition.
fn propose_spawners(configured: &str) -> String {
    let mut proposed = SpawnerKind::isolating();
    if proposed.contains(&configured) {
        return configured.to_owned();
    }
    proposed.push(configured);
    proposed.join(",")
}

impl Grants {
    /// Returns the spawners in which processes of a plugin may run, and those that others start for
    /// it. Without a grant these are the ones that isolate: such processes need nobody's trust.
    pub fn spawners(&self) -> Vec<&str> {
        match self.of(&SPAWNERS) {
            [] => SpawnerKind::isolating(),
            granted => granted.iter().map(String::as_str).collect(),
        }
    }
}

/// The handle of a process that a plugin has started.
#[allow(unreachable_pub)] // the generated bindings name it
pub struct StartedProcess(pub(crate) Arc<RunningChild>);

impl From<SpawnError> for Error {
    fn from(failure: SpawnError) -> Self {
        let detail = failure
            .errno()
            .map(|number| ("os-error".to_owned(), Value::Integer(number.into())))
            .into_iter()
            .collect();
        Self {
            code: failure.code().to_owned(),
            message: failure.to_string(),
            detail,
        }
    }
}

/// Returns the destination of an output that is no other output.
fn output(host: &dyn TaskHost, output: CommandOutput) -> Result<spawner::Output, Error> {
    Ok(match output {
        CommandOutput::Discard => spawner::Output::Discard,
        CommandOutput::Pipe => spawner::Output::Pipe,
        CommandOutput::File(name) => {
            let path = host.file(checked_name(&name)?).map_err(|error| Error {
                // `not-found` and `not-permitted` are about the program.
                code: "io".to_owned(),
                message: format!(
                    "the task's directory for the file {name} cannot be made: {error}"
                ),
                ..io_error(&name, &error)
            })?;
            spawner::Output::File(path)
        }
        CommandOutput::WithStdout => {
            return Err(error(
                "invalid",
                "`with-stdout` is a destination of standard error only",
            ));
        }
    })
}

/// Whether a variable decides which code runs for a program's name.
fn redirects_programs(variable: &str) -> bool {
    variable == "PATH" || variable.starts_with("LD_")
}

/// Restricts a command to what its plugin is granted: its programs, and the host's variables.
fn restrict(context: &PluginContext, command: &mut Command) -> Result<(), Error> {
    if let Some(programs) = context.grants.get(&PROGRAMS) {
        if !context.grants.allows(&PROGRAMS, &command.program) {
            let message = format!(
                "{} may start {} only, not {:?}: the grant `programs` says which",
                context.label,
                programs.join(", "),
                command.program
            );
            return Err(error("not-permitted", message));
        }
        let mut variables = command.env.iter();
        if let Some((name, _)) = variables.find(|(name, _)| redirects_programs(name)) {
            let message = format!(
                "{} may not set {name}, because the grant `programs` says what it may start",
                context.label
            );
            return Err(error("not-permitted", message));
        }
    }
    let hidden = context.hidden_variables.iter();
    let hidden = hidden.map(|name| (name.clone(), None));
    command.env.splice(..0, hidden);
    Ok(())
}

/// Returns the spawner's form of a command, and a warning about what the host does not know of it.
fn command(
    context: &PluginContext,
    host: &dyn TaskHost,
    mut command: Command,
) -> Result<(spawner::Command, Option<String>), Error> {
    COMMAND_ARGUMENTS.check(command.args.len())?;
    COMMAND_VARIABLES.check(command.env.len())?;
    restrict(context, &mut command)?;
    let options = CommandOptions::new(command.more)?;
    let translated = spawner::Command {
        program: command.program,
        args: command.args,
        env: command.env,
        clear_env: command.clear_env,
        cwd: command.cwd.or_else(|| host.cwd().map(str::to_owned)),
        stdin: match command.stdin {
            CommandInput::Empty => spawner::Input::Empty,
            CommandInput::Pipe => spawner::Input::Pipe,
            CommandInput::Bytes(bytes) => spawner::Input::Bytes(bytes),
            CommandInput::File(path) => spawner::Input::File(path.into()),
        },
        stdout: output(host, command.stdout)?,
        stderr: match command.stderr {
            CommandOutput::WithStdout => spawner::Output::WithStdout,
            other => output(host, other)?,
        },
        report: output(host, command.report)?,
        report_socket: options.report_socket,
        terminal: options.terminal.map(|size| spawner::TerminalSize {
            rows: size.rows,
            columns: size.columns,
        }),
    };
    Ok((translated, options.warning))
}

/// Checks that the host need not copy anything to or from the process.
fn check_no_pipes(command: &Command) -> Result<(), Error> {
    let outputs = [&command.stdout, &command.stderr, &command.report];
    let is_piped = |output: &&CommandOutput| matches!(output, CommandOutput::Pipe);
    if !matches!(command.stdin, CommandInput::Pipe) && !outputs.iter().any(is_piped) {
        return Ok(());
    }
    Err(error(
        "invalid",
        "`run` takes no pipes, because nobody would read or write them: use `start`",
    ))
}

/// Runs a process of a task, and waits for its end. Warns in the task's log of what the host does
/// not know.
pub(crate) async fn run_to_end(
    context: &PluginContext,
    host: &dyn TaskHost,
    wanted: Command,
) -> Result<spawner::Exit, Error> {
    check_no_pipes(&wanted)?;
    let (wanted, warning) = command(context, host, wanted)?;
    if let Some(warning) = warning {
        host.log(LogLevel::Warn, &warning);
    }
    run_command(host, wanted).await
}

/// Checks that a program runner's command needs nothing that only a started child can have.
///
/// # Errors
/// `invalid`: it has a pipe, a report socket or a terminal.
pub(crate) fn check_program(wanted: &Command) -> Result<(), Error> {
    check_no_pipes(wanted)?;
    let is_refused = |(name, value): &&(String, Value)| {
        let is_set = !matches!(value, Value::Null | Value::Boolean(false));
        is_set && ["report-socket", "terminal"].contains(&&**name)
    };
    match wanted.more.iter().find(is_refused) {
        None => Ok(()),
        Some((name, _)) => Err(error(
            "invalid",
            format!("the command of a program runner cannot have `{name}`"),
        )),
    }
}

async fn run_command(
    host: &dyn TaskHost,
    wanted: spawner::Command,
) -> Result<spawner::Exit, Error> {
    let environment = host.environment().await?;
    let program = wanted.program.clone();
    let ran = match host.queued_process() {
        Some(process) => process.run(wanted).await,
        None => environment.run(wanted).await,
    };
    ran.map_err(|failure| failed_start(host, &program, failure))
}

/// The error of a process that cannot start. In a directory of the task's own, the system does not
/// say whether the program or the directory is missing.
fn failed_start(host: &dyn TaskHost, program: &str, failure: SpawnError) -> Error {
    let failed = Error::from(failure);
    match host.cwd() {
        Some(cwd) if failed.code == "not-found" && !Path::new(cwd).is_dir() => {
            let message =
                format!("there is no directory {cwd} (`cwd`), or no program {program} there");
            error("invalid", message)
        }
        Some(_) | None => failed,
    }
}

/// What a plugin was warned of already.
#[derive(Default)]
struct CommandWarnings {
    /// Whether the log has a warning about unknown data of a command.
    has_warned: bool,
}

impl PowerState for CommandWarnings {
    fn refill(&mut self, _limits: &Limits) {
        self.has_warned = false;
    }
}

impl InstanceState {
    /// Returns the task whose processes the plugin may start.
    fn starter(&mut self) -> Result<Arc<dyn TaskHost>, Error> {
        let task = self.task(&POWER)?;
        match task.starting {
            Starting::Allowed => Ok(Arc::clone(&task.host)),
            Starting::ProgramHasRun => Err(error(
                "unsupported",
                "the program of this task has run, and a program runner starts nothing else",
            )),
        }
    }

    /// Writes a warning about a command to the log, once for each task.
    fn warn_of_command(&mut self, warning: Option<String>) {
        let Some(warning) = warning else {
            return;
        };
        if self.power::<CommandWarnings>().is_none() {
            self.give(CommandWarnings::default());
        }
        let warnings = self.power_mut::<CommandWarnings>();
        let is_first = warnings.is_some_and(|it| !std::mem::replace(&mut it.has_warned, true));
        if is_first {
            self.log.write(LogLevel::Warn, &warning);
        }
    }

    /// Runs a process, and waits for its end.
    pub(crate) async fn run_process(&mut self, wanted: Command) -> Result<spawner::Exit, Error> {
        let host = self.starter()?;
        check_no_pipes(&wanted)?;
        let (wanted, warning) = command(&self.context, &*host, wanted)?;
        self.warn_of_command(warning);
        let _busy = self.idle.busy();
        run_command(&*host, wanted).await
    }

    async fn start_process(&mut self, wanted: Command) -> Result<StartedProcess, Error> {
        let host = self.starter()?;
        self.check_children()?;
        let (wanted, warning) = command(&self.context, &*host, wanted)?;
        self.warn_of_command(warning);
        let busy = self.idle.busy();
        let environment = host.environment().await?;
        let program = wanted.program.clone();
        let started = environment.start(wanted).await;
        let started = started.map_err(|failure| failed_start(&*host, &program, failure))?;
        let child = RunningChild::new(started, busy);
        self.add_child(&child)?;
        Ok(StartedProcess(child))
    }

    /// Starts a process, and returns its handle.
    pub(crate) async fn start_child(
        &mut self,
        wanted: Command,
    ) -> wasmtime::Result<Result<Resource<StartedProcess>, Error>> {
        Ok(match self.start_process(wanted).await {
            Ok(child) => Ok(self.resources.push(child)?),
            Err(failure) => Err(failure),
        })
    }

    /// Returns the process of a handle.
    pub(crate) fn child(
        &self,
        child: &Resource<StartedProcess>,
    ) -> wasmtime::Result<&RunningChild> {
        Ok(&self.resources.get(child)?.0)
    }
}

impl RunningChild {
    /// Reads from a pipe of the process.
    pub(crate) async fn read_pipe(
        &self,
        pipe: spawner::Stream,
        length: u32,
    ) -> Result<Vec<u8>, Error> {
        let read = self.process.read(pipe, length.min(PIECE)).await;
        read.map_err(Error::from)
    }

    /// Writes to the standard input of the process, in pieces.
    pub(crate) async fn write_stdin(&self, bytes: &[u8]) -> Result<(), Error> {
        for piece in bytes.chunks(PIECE as usize) {
            self.process.write(piece.to_vec()).await?;
        }
        Ok(())
    }

    /// Closes the standard input of the process.
    pub(crate) async fn close_stdin(&self) -> Result<(), Error> {
        self.process.close_stdin().await.map_err(Error::from)
    }

    /// Sends a signal to the process.
    pub(crate) async fn send_signal(&self, number: i32) -> Result<(), Error> {
        self.process.signal(number).await.map_err(Error::from)
    }

    /// Waits for the end of the process.
    pub(crate) async fn wait_for_end(&self) -> Result<spawner::Exit, Error> {
        let ended = self.process.wait().await;
        self.no_longer_busy();
        ended.map_err(Error::from)
    }
}
