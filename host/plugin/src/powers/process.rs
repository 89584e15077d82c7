//! The power `process`: processes in the task's environment. Does not know how a process is started
//! or ended: `persea-spawner` does.

use std::sync::Arc;

use wasmtime::component::{HasSelf, Resource};

use self::bindings::persea::plugin::process as wit;
use crate::contract::bindings::import_bindings;
use crate::contract::bindings::types::{Error, Value};
use crate::contract::convert::{error, io_error};
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

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.2.0;
        import persea:plugin/process@0.2.0;
    }",
    { default: async | trappable },
    "persea:plugin/process.child": crate::powers::process::StartedProcess
);

pub(crate) static POWER: Power = Power {
    name: "process",
    worlds: &[World::Runner, World::Lister, World::RequirementResolver],
    words: "start processes where its task runs",
    grant: Some(&SPAWNERS),
    more_grants: &[&PROGRAMS, &VARIABLES],
    link: |linker| wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
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
fn output(host: &dyn TaskHost, output: wit::Output) -> Result<spawner::Output, Error> {
    Ok(match output {
        wit::Output::Discard => spawner::Output::Discard,
        wit::Output::Pipe => spawner::Output::Pipe,
        wit::Output::File(name) => {
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
        wit::Output::WithStdout => {
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
fn restrict(context: &PluginContext, command: &mut wit::Command) -> Result<(), Error> {
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
    mut command: wit::Command,
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
        cwd: command.cwd,
        stdin: match command.stdin {
            wit::Input::Empty => spawner::Input::Empty,
            wit::Input::Pipe => spawner::Input::Pipe,
            wit::Input::Bytes(bytes) => spawner::Input::Bytes(bytes),
            wit::Input::File(path) => spawner::Input::File(path.into()),
        },
        stdout: output(host, command.stdout)?,
        stderr: match command.stderr {
            wit::Output::WithStdout => spawner::Output::WithStdout,
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

fn exit(exit: spawner::Exit) -> wit::Exit {
    wit::Exit {
        ending: match exit.ending {
            spawner::Ending::Code(code) => wit::Ending::Code(code),
            spawner::Ending::Signal(signal) => wit::Ending::Signal(signal),
            spawner::Ending::Unknown => wit::Ending::Unknown,
        },
        duration: u64::try_from(exit.duration.as_nanos()).unwrap_or(u64::MAX),
        more: Vec::new(),
    }
}

/// Checks that the host need not copy anything to or from the process.
fn check_no_pipes(command: &wit::Command) -> Result<(), Error> {
    let outputs = [&command.stdout, &command.stderr, &command.report];
    let is_piped = |output: &&wit::Output| matches!(output, wit::Output::Pipe);
    if !matches!(command.stdin, wit::Input::Pipe) && !outputs.iter().any(is_piped) {
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
    wanted: wit::Command,
) -> Result<wit::Exit, Error> {
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
pub(crate) fn check_program(wanted: &wit::Command) -> Result<(), Error> {
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

async fn run_command(host: &dyn TaskHost, wanted: spawner::Command) -> Result<wit::Exit, Error> {
    let environment = host.environment().await?;
    let ended = match host.queued_process() {
        Some(process) => process.run(wanted).await?,
        None => environment.run(wanted).await?,
    };
    Ok(exit(ended))
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

    async fn run_process(&mut self, wanted: wit::Command) -> Result<wit::Exit, Error> {
        let host = self.starter()?;
        check_no_pipes(&wanted)?;
        let (wanted, warning) = command(&self.context, &*host, wanted)?;
        self.warn_of_command(warning);
        let _busy = self.idle.busy();
        run_command(&*host, wanted).await
    }

    async fn start_process(&mut self, wanted: wit::Command) -> Result<StartedProcess, Error> {
        let host = self.starter()?;
        self.check_children()?;
        let (wanted, warning) = command(&self.context, &*host, wanted)?;
        self.warn_of_command(warning);
        let busy = self.idle.busy();
        let environment = host.environment().await?;
        let child = RunningChild::new(environment.start(wanted).await?, busy);
        self.add_child(&child)?;
        Ok(StartedProcess(child))
    }

    fn child(&self, child: &Resource<StartedProcess>) -> wasmtime::Result<&RunningChild> {
        Ok(&self.resources.get(child)?.0)
    }
}

impl wit::Host for InstanceState {
    async fn run(&mut self, command: wit::Command) -> wasmtime::Result<Result<wit::Exit, Error>> {
        Ok(self.run_process(command).await)
    }

    async fn start(
        &mut self,
        command: wit::Command,
    ) -> wasmtime::Result<Result<Resource<StartedProcess>, Error>> {
        Ok(match self.start_process(command).await {
            Ok(child) => Ok(self.resources.push(child)?),
            Err(failure) => Err(failure),
        })
    }
}

impl wit::HostChild for InstanceState {
    async fn id(&mut self, child: Resource<StartedProcess>) -> wasmtime::Result<Option<u32>> {
        Ok(self.child(&child)?.process.id())
    }

    async fn read(
        &mut self,
        child: Resource<StartedProcess>,
        pipe: wit::Pipe,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let process = &self.child(&child)?.process;
        let read = process.read(stream(pipe), length.min(PIECE)).await;
        Ok(read.map_err(Error::from))
    }

    async fn write(
        &mut self,
        child: Resource<StartedProcess>,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let process = &self.child(&child)?.process;
        for piece in bytes.chunks(PIECE as usize) {
            if let Err(failure) = process.write(piece.to_vec()).await {
                return Ok(Err(failure.into()));
            }
        }
        Ok(Ok(()))
    }

    async fn close_stdin(
        &mut self,
        child: Resource<StartedProcess>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let process = &self.child(&child)?.process;
        Ok(process.close_stdin().await.map_err(Error::from))
    }

    async fn signal(
        &mut self,
        child: Resource<StartedProcess>,
        number: i32,
    ) -> wasmtime::Result<Result<(), Error>> {
        let process = &self.child(&child)?.process;
        Ok(process.signal(number).await.map_err(Error::from))
    }

    async fn wait(
        &mut self,
        child: Resource<StartedProcess>,
    ) -> wasmtime::Result<Result<wit::Exit, Error>> {
        let child = self.child(&child)?;
        let ended = child.process.wait().await;
        child.no_longer_busy();
        Ok(ended.map(exit).map_err(Error::from))
    }

    async fn drop(&mut self, child: Resource<StartedProcess>) -> wasmtime::Result<()> {
        self.resources.delete(child)?;
        Ok(())
    }
}

/// Returns the spawner's name of a pipe.
pub(crate) fn stream(pipe: wit::Pipe) -> spawner::Stream {
    match pipe {
        wit::Pipe::Stdout => spawner::Stream::Stdout,
        wit::Pipe::Stderr => spawner::Stream::Stderr,
        wit::Pipe::Report => spawner::Stream::Report,
    }
}
