//! The spawner of this machine: a helper for each slot, as a child of the host, with a work directory. It must not know what is
//! asked of the helper.

use std::io::{self, PipeReader, PipeWriter};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use persea_helper::protocol::Isolation;
use persea_model::SpawnerKind;

use super::launch::{Launch, private_dir};
use super::program::{Helper, Program};
use super::{Descriptor, Environment, SpawnError, Spawner, SpawnerFuture, children};

/// The description of the spawner.
pub(super) const DESCRIPTOR: Descriptor = Descriptor {
    kind: SpawnerKind::Process,
    about: "this machine as it is",
    settings: &[],
    has_snapshots: false,
    has_network: |_| true,
    is_fresh: |_| false,
    probe: || Ok(()),
    make: |setup| Ok(Box::new(ProcessSpawner::new(setup.helper, setup.temporary))),
};

/// Starts processes on this machine, without any isolation. Each slot has a helper of its own; should that be killed, the
/// host ends what it leaves. If the host is killed, the helpers end everything.
///
/// From the first [`Spawner::open`] on, the process that uses this must start children only through spawners: others would
/// be taken for strays and ended when a helper dies.
#[derive(Debug)]
pub(super) struct ProcessSpawner {
    helper: Helper,
    root: PathBuf,
}

impl ProcessSpawner {
    /// With the helper's program (a static executable), and the directory below which work directories are made. That
    /// directory must be there.
    pub(super) fn new(helper: &'static [u8], temporary: PathBuf) -> ProcessSpawner {
        ProcessSpawner {
            helper: Helper::new(helper, temporary.clone()),
            root: temporary,
        }
    }

    /// An environment of this name, whose work directory has it too.
    pub(super) async fn open_as(&self, name: &str) -> Result<Environment, SpawnError> {
        let mut launch = Launch {
            name: format!("process/{name}").into(),
            work: PathBuf::new(),
            variables: None,
            isolation: Isolation::default(),
            private: None,
            keep_alive: Box::new(()),
        };
        launch.work = private_dir(&self.root, &format!("{name}-"))
            .map_err(launch.failed("making its work directory"))?;
        let start = |requests: &_, replies: &_| {
            let child = self
                .helper
                .run(|program| self.execute(program, requests, replies));
            Ok((child?, None))
        };
        launch.bring_up(start).await
    }

    fn execute(
        &self,
        program: &Program,
        requests: &PipeReader,
        replies: &PipeWriter,
    ) -> io::Result<Child> {
        // A memory file is closed on exec, but by then the kernel has it open.
        let mut command = Command::new(program.path());
        command
            .arg0("persea-helper")
            .stdin(requests.try_clone()?)
            .stdout(replies.try_clone()?)
            .stderr(Stdio::piped());
        children::start(&mut command, &[])
    }
}

impl Spawner for ProcessSpawner {
    fn kind(&self) -> SpawnerKind {
        DESCRIPTOR.kind
    }

    fn open(&self, slot: usize) -> SpawnerFuture<'_, Result<Environment, SpawnError>> {
        Box::pin(async move { self.open_as(&format!("slot-{slot}")).await })
    }
}
