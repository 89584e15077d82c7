//! The power `process`: processes in the task's environment. Does not know how a process is started
//! or ended: `persea-spawner` does.

use std::sync::Arc;

use wasmtime::component::{HasSelf, Resource};

use self::bindings::persea::plugin::process as wit;
use crate::contract::bindings::import_bindings;
use crate::contract::bindings::types::{Error, Value};
use crate::contract::convert::{error, io_error};
use crate::contract::world::World;
use crate::engine::limits::Limit;
use crate::instance::context::PluginContext;
use crate::instance::environment::VARIABLES;
use crate::instance::grants::{Grant, Grants};
use crate::instance::idle::BusyGuard;
use crate::instance::state::InstanceState;
use crate::powers::descriptor::Power;
use crate::powers::files::{PIECE, checked_name};
use crate::powers::task::{Starting, TaskHost};
use persea_model::SpawnerKind;
use persea_spawner as spawner;
use persea_spawner::{Child, SpawnError};

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.1.0;
        import persea:plugin/process@0.1.0;
    }",
    { default: async | trappable },
    "persea:plugin/process.child": crate::powers::process::StartedProcess
);

pub(crate) static POWER: Power = Power {
    name: "process",
    worlds: &[World::Runner, World::RequirementResolver],
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
        false => Err(format!(
            "there are the spawners {}",
            SpawnerKind::ALL
                .map(|kind| format!("`{kind}`"))
                .join(" and ")
        )),
    },
    provenance: &[
        World::Resolver,
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

/// A process that a plugin has started. The instance waits for it until the plugin has received its
/// end.
#[allow(unreachable_pub)] // the generated bindings name it
pub struct StartedProcess(Child, Option<BusyGuard>);

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

fn command(
    context: &PluginContext,
    host: &dyn TaskHost,
    mut command: wit::Command,
) -> Result<spawner::Command, Error> {
    restrict(context, &mut command)?;
    Ok(spawner::Command {
        program: command.program,
        args: command.args,
        env: command.env,
        clear_env: command.clear_env,
        cwd: command.cwd,
        stdin: match command.stdin {
            wit::Input::Empty => spawner::Input::Empty,
            wit::Input::Pipe => spawner::Input::Pipe,
        },
        stdout: output(host, command.stdout)?,
        stderr: output(host, command.stderr)?,
        report: match command.report {
            true => spawner::Output::Pipe,
            false => spawner::Output::Discard,
        },
        report_socket: false,
        terminal: None,
    })
}

fn exit(exit: spawner::Exit) -> wit::Exit {
    let (code, signal) = match exit.ending {
        spawner::Ending::Code(code) => (Some(code), None),
        spawner::Ending::Signal(signal) => (None, Some(signal)),
        spawner::Ending::Unknown => (None, None),
    };
    wit::Exit {
        code,
        signal,
        duration: u64::try_from(exit.duration.as_nanos()).unwrap_or(u64::MAX),
        more: Vec::new(),
    }
}

/// Runs a process of a task, and waits for its end.
pub(crate) async fn run_to_end(
    context: &PluginContext,
    host: &dyn TaskHost,
    wanted: wit::Command,
) -> Result<wit::Exit, Error> {
    let piped = matches!(wanted.stdin, wit::Input::Pipe)
        || matches!(wanted.stdout, wit::Output::Pipe)
        || matches!(wanted.stderr, wit::Output::Pipe)
        || wanted.report;
    if piped {
        return Err(error(
            "invalid",
            "`run` takes no pipes, because nobody would read or write them: use `start`",
        ));
    }
    let wanted = command(context, host, wanted)?;
    let environment = host.environment().await?;
    let ended = match host.queued_process() {
        Some(process) => process.run(wanted).await?,
        None => environment.run(wanted).await?,
    };
    Ok(exit(ended))
}

impl InstanceState {
    /// Returns the task whose processes the plugin may start.
    fn starter(&mut self) -> Result<Arc<dyn TaskHost>, Error> {
        let task = self.task()?;
        match task.starting {
            Starting::Allowed => Ok(Arc::clone(&task.host)),
            Starting::ProgramHasRun => Err(error(
                "unsupported",
                "the program of this task has run, and a program runner starts nothing else",
            )),
        }
    }

    async fn start_process(&mut self, wanted: wit::Command) -> Result<StartedProcess, Error> {
        let host = self.starter()?;
        let wanted = command(&self.context, &*host, wanted)?;
        let busy = self.idle.busy();
        let environment = host.environment().await?;
        Ok(StartedProcess(environment.start(wanted).await?, Some(busy)))
    }
}

impl wit::Host for InstanceState {
    async fn run(&mut self, command: wit::Command) -> wasmtime::Result<Result<wit::Exit, Error>> {
        let host = match self.starter() {
            Ok(host) => host,
            Err(refused) => return Ok(Err(refused)),
        };
        let _busy = self.idle.busy();
        Ok(run_to_end(&self.context, &*host, command).await)
    }

    async fn start(
        &mut self,
        command: wit::Command,
    ) -> wasmtime::Result<Result<Resource<StartedProcess>, Error>> {
        Ok(match self.start_process(command).await {
            Ok(child) => self.resources.push(child).map_err(|_| {
                let reached = self.context.limits.reached(Limit::Handles);
                let message = format!("it has reached {reached}; drop those that have ended");
                error("limit", message)
            }),
            Err(failure) => Err(failure),
        })
    }
}

impl wit::HostChild for InstanceState {
    async fn id(&mut self, child: Resource<StartedProcess>) -> wasmtime::Result<u32> {
        // This version of the interface has no word for a process without one.
        Ok(self.resources.get(&child)?.0.id().unwrap_or_default())
    }

    async fn read(
        &mut self,
        child: Resource<StartedProcess>,
        stream: wit::Stream,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let stream = match stream {
            wit::Stream::Stdout => spawner::Stream::Stdout,
            wit::Stream::Stderr => spawner::Stream::Stderr,
            wit::Stream::Report => spawner::Stream::Report,
        };
        Ok(self
            .resources
            .get(&child)?
            .0
            .read(stream, length.min(PIECE))
            .await
            .map_err(Error::from))
    }

    async fn write(
        &mut self,
        child: Resource<StartedProcess>,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let child = &self.resources.get(&child)?.0;
        for piece in bytes.chunks(PIECE as usize) {
            if let Err(failure) = child.write(piece.to_vec()).await {
                return Ok(Err(failure.into()));
            }
        }
        Ok(Ok(()))
    }

    async fn close_stdin(
        &mut self,
        child: Resource<StartedProcess>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(self
            .resources
            .get(&child)?
            .0
            .close_stdin()
            .await
            .map_err(Error::from))
    }

    async fn signal(
        &mut self,
        child: Resource<StartedProcess>,
        number: i32,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(self
            .resources
            .get(&child)?
            .0
            .signal(number)
            .await
            .map_err(Error::from))
    }

    async fn wait(
        &mut self,
        child: Resource<StartedProcess>,
    ) -> wasmtime::Result<Result<wit::Exit, Error>> {
        let StartedProcess(child, busy) = self.resources.get_mut(&child)?;
        let ended = child.wait().await;
        *busy = None;
        Ok(ended.map(exit).map_err(Error::from))
    }

    async fn drop(&mut self, child: Resource<StartedProcess>) -> wasmtime::Result<()> {
        self.resources.delete(child)?;
        Ok(())
    }
}
