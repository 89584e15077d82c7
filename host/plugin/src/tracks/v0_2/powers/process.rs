//! The interface `process` of the track 0.2.

use wasmtime::component::{HasSelf, Linker, Resource};

use self::bindings::persea::plugin::process as wit;
use crate::contract::data::{Command, CommandInput, CommandOutput};
use crate::instance::state::InstanceState;
use crate::powers::process::StartedProcess;
use crate::tracks::v0_2::bindings::import_bindings;
use crate::tracks::v0_2::bindings::types::Error;
use crate::tracks::v0_2::convert::attributes;
use persea_spawner::{Ending, Exit, Stream};

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.2.0;
        import persea:plugin/process@0.2.0;
    }",
    { default: async | trappable },
    "persea:plugin/process.child": crate::powers::process::StartedProcess
);

/// Adds the interface to the linker of a component.
pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

impl From<wit::Command> for Command {
    fn from(command: wit::Command) -> Self {
        Self {
            program: command.program,
            args: command.args,
            env: command.env,
            clear_env: command.clear_env,
            cwd: command.cwd,
            stdin: match command.stdin {
                wit::Input::Empty => CommandInput::Empty,
                wit::Input::Pipe => CommandInput::Pipe,
                wit::Input::Bytes(bytes) => CommandInput::Bytes(bytes),
                wit::Input::File(path) => CommandInput::File(path),
            },
            stdout: command.stdout.into(),
            stderr: command.stderr.into(),
            report: command.report.into(),
            more: attributes(command.more),
        }
    }
}

impl From<wit::Output> for CommandOutput {
    fn from(output: wit::Output) -> Self {
        match output {
            wit::Output::Discard => Self::Discard,
            wit::Output::File(name) => Self::File(name),
            wit::Output::Pipe => Self::Pipe,
            wit::Output::WithStdout => Self::WithStdout,
        }
    }
}

/// Returns the end of a process in the contract's form.
pub(crate) fn exit(exit: Exit) -> wit::Exit {
    wit::Exit {
        ending: match exit.ending {
            Ending::Code(code) => wit::Ending::Code(code),
            Ending::Signal(signal) => wit::Ending::Signal(signal),
            Ending::Unknown => wit::Ending::Unknown,
        },
        duration: u64::try_from(exit.duration.as_nanos()).unwrap_or(u64::MAX),
        more: Vec::new(),
    }
}

/// Returns the spawner's name of a pipe.
pub(crate) fn stream(pipe: wit::Pipe) -> Stream {
    match pipe {
        wit::Pipe::Stdout => Stream::Stdout,
        wit::Pipe::Stderr => Stream::Stderr,
        wit::Pipe::Report => Stream::Report,
    }
}

impl wit::Host for InstanceState {
    async fn run(&mut self, command: wit::Command) -> wasmtime::Result<Result<wit::Exit, Error>> {
        let ended = self.run_process(command.into()).await;
        Ok(ended.map(exit).map_err(Into::into))
    }

    async fn start(
        &mut self,
        command: wit::Command,
    ) -> wasmtime::Result<Result<Resource<StartedProcess>, Error>> {
        let started = self.start_child(command.into()).await?;
        Ok(started.map_err(Into::into))
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
        let read = self.child(&child)?.read_pipe(stream(pipe), length).await;
        Ok(read.map_err(Into::into))
    }

    async fn write(
        &mut self,
        child: Resource<StartedProcess>,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let written = self.child(&child)?.write_stdin(&bytes).await;
        Ok(written.map_err(Into::into))
    }

    async fn close_stdin(
        &mut self,
        child: Resource<StartedProcess>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let closed = self.child(&child)?.close_stdin().await;
        Ok(closed.map_err(Into::into))
    }

    async fn signal(
        &mut self,
        child: Resource<StartedProcess>,
        number: i32,
    ) -> wasmtime::Result<Result<(), Error>> {
        let sent = self.child(&child)?.send_signal(number).await;
        Ok(sent.map_err(Into::into))
    }

    async fn wait(
        &mut self,
        child: Resource<StartedProcess>,
    ) -> wasmtime::Result<Result<wit::Exit, Error>> {
        let ended = self.child(&child)?.wait_for_end().await;
        Ok(ended.map(exit).map_err(Into::into))
    }

    async fn drop(&mut self, child: Resource<StartedProcess>) -> wasmtime::Result<()> {
        self.resources.delete(child)?;
        Ok(())
    }
}
