//! The power `process`: processes in the task's environment. What they are and how they end is the spawner's.

use std::sync::Arc;

use wasmtime::component::Resource;

use super::PIECE;
use super::status::checked;
use super::task::TaskHost;
use crate::contract::bindings::process::{self as wit, Host, HostChild};
use crate::contract::bindings::types::{Error, Value};
use crate::contract::convert::{error, io_error};
use crate::instance::idle::Busy;
use crate::instance::state::State;
use crate::instance::terms::Terms;
use crate::trust::grants::Power;
use persea_spawner as spawner;
use persea_spawner::{Child, SpawnError};

/// A process that a plugin has started, and that its instance waits for until it has heard of the end.
#[allow(unreachable_pub)] // the generated bindings name it
pub struct Running(Child, Option<Busy>);

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
            let path = host.file(checked(&name)?).map_err(|error| Error {
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

/// Holds a command to what its plugin is granted: which programs, and which of the host's variables.
fn granted(terms: &Terms, command: &mut wit::Command) -> Result<(), Error> {
    if let Some(programs) = terms.grants.programs() {
        if !terms.grants.allows(Power::Programs, &command.program) {
            let message = format!(
                "{} may start {} only, not {:?}: the grant `programs` says which",
                terms.label,
                programs.join(", "),
                command.program
            );
            return Err(error("not-permitted", message));
        }
        // With these a program is another one than its name says.
        let turns = |name: &str| name == "PATH" || name.starts_with("LD_");
        if let Some((name, _)) = command.env.iter().find(|(name, _)| turns(name)) {
            let message = format!(
                "{} may not set {name}, because the grant `programs` says what it may start",
                terms.label
            );
            return Err(error("not-permitted", message));
        }
    }
    let hidden = terms.hidden.iter().map(|name| (name.clone(), None));
    command.env.splice(..0, hidden);
    Ok(())
}

fn command(
    terms: &Terms,
    host: &dyn TaskHost,
    mut command: wit::Command,
) -> Result<spawner::Command, Error> {
    granted(terms, &mut command)?;
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
        report: command.report,
    })
}

fn exit(exit: spawner::Exit) -> wit::Exit {
    wit::Exit {
        code: exit.code,
        signal: exit.signal,
        duration: u64::try_from(exit.duration.as_nanos()).unwrap_or(u64::MAX),
        more: Vec::new(),
    }
}

/// Runs a process of a task to its end.
pub(crate) async fn run_to_end(
    terms: &Terms,
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
            "a process that is only run to its end has no pipes: nobody would read or write them",
        ));
    }
    let wanted = command(terms, host, wanted)?;
    let environment = host.environment().await?;
    let ended = match host.turn() {
        Some(turn) => turn.run(wanted).await?,
        None => environment.run(wanted).await?,
    };
    Ok(exit(ended))
}

impl State {
    /// The task whose processes the plugin may start.
    fn starter(&mut self) -> Result<Arc<dyn TaskHost>, Error> {
        let task = self.task()?;
        match task.may_start {
            true => Ok(Arc::clone(&task.host)),
            false => Err(error(
                "unsupported",
                "the program of this task has run, and a program runner starts nothing else",
            )),
        }
    }

    async fn start_only(&mut self, wanted: wit::Command) -> Result<Running, Error> {
        let host = self.starter()?;
        let wanted = command(&self.terms, &*host, wanted)?;
        let busy = self.idle.busy();
        let environment = host.environment().await?;
        Ok(Running(environment.start(wanted).await?, Some(busy)))
    }
}

impl Host for State {
    async fn run(&mut self, command: wit::Command) -> wasmtime::Result<Result<wit::Exit, Error>> {
        let host = match self.starter() {
            Ok(host) => host,
            Err(refused) => return Ok(Err(refused)),
        };
        let _busy = self.idle.busy();
        Ok(run_to_end(&self.terms, &*host, command).await)
    }

    async fn start(
        &mut self,
        command: wit::Command,
    ) -> wasmtime::Result<Result<Resource<Running>, Error>> {
        Ok(match self.start_only(command).await {
            Ok(child) => self.table.push(child).map_err(|_| {
                let limits = &self.terms.limits;
                let reached = limits.reached("handles", limits.handles.to_string(), "handles");
                let message = format!("it has reached {reached}; drop those that have ended");
                error("limit", message)
            }),
            Err(failure) => Err(failure),
        })
    }
}

impl HostChild for State {
    async fn id(&mut self, child: Resource<Running>) -> wasmtime::Result<u32> {
        Ok(self.table.get(&child)?.0.id())
    }

    async fn read(
        &mut self,
        child: Resource<Running>,
        stream: wit::Stream,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let stream = match stream {
            wit::Stream::Stdout => spawner::Stream::Stdout,
            wit::Stream::Stderr => spawner::Stream::Stderr,
            wit::Stream::Report => spawner::Stream::Report,
        };
        Ok(self
            .table
            .get(&child)?
            .0
            .read(stream, length.min(PIECE))
            .await
            .map_err(Error::from))
    }

    async fn write(
        &mut self,
        child: Resource<Running>,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let child = &self.table.get(&child)?.0;
        for piece in bytes.chunks(PIECE as usize) {
            if let Err(failure) = child.write(piece.to_vec()).await {
                return Ok(Err(failure.into()));
            }
        }
        Ok(Ok(()))
    }

    async fn close_stdin(
        &mut self,
        child: Resource<Running>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(self
            .table
            .get(&child)?
            .0
            .close_stdin()
            .await
            .map_err(Error::from))
    }

    async fn signal(
        &mut self,
        child: Resource<Running>,
        number: i32,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(self
            .table
            .get(&child)?
            .0
            .signal(number)
            .await
            .map_err(Error::from))
    }

    async fn wait(
        &mut self,
        child: Resource<Running>,
    ) -> wasmtime::Result<Result<wit::Exit, Error>> {
        let Running(child, busy) = self.table.get_mut(&child)?;
        let ended = child.wait().await;
        *busy = None;
        Ok(ended.map(exit).map_err(Error::from))
    }

    async fn drop(&mut self, child: Resource<Running>) -> wasmtime::Result<()> {
        self.table.delete(child)?;
        Ok(())
    }
}
