//! Owns the spawner that does not isolate: for each slot a helper as a child process of the host,
//! with a work directory. Does not know what is requested of the helper.

use std::io::{self, PipeReader, PipeWriter};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use persea_helper::protocol::Isolation;
use persea_model::{Limit, SpawnerKind};

use crate::cgroup;
use crate::launch::program::{Helper, Program};
use crate::launch::{Launch, children, private_dir};
use crate::limits::HostCgroups;
use crate::{Descriptor, Environment, LimitMeans, SpawnError, Spawner, SpawnerFuture};

/// The description of the spawner.
pub(crate) const DESCRIPTOR: Descriptor = Descriptor {
    kind: SpawnerKind::Process,
    about: "this machine as it is",
    settings: &[],
    has_snapshots: false,
    is_remote: false,
    is_one_machine: |_| true,
    slots: |_| None,
    has_network: |_| true,
    is_fresh: |_| false,
    make: |inputs| {
        Ok(Box::new(ProcessSpawner::new(
            inputs.helper,
            inputs.temporary,
        )))
    },
};

/// Starts processes on this machine, without any isolation. Each slot has its own helper. If a
/// helper is killed, the host kills its orphans. If the host is killed, the helpers end everything.
///
/// From the first [`Spawner::open`] on, the host must start child processes through spawners only:
/// any other child would be taken for an orphan, and killed when a helper dies.
#[derive(Debug)]
pub(crate) struct ProcessSpawner {
    helper: Arc<Helper>,
    root: PathBuf,
    cgroups: Arc<HostCgroups>,
}

impl ProcessSpawner {
    /// Creates the spawner with the helper (a static executable) and an existing directory for the
    /// work directories.
    pub(crate) fn new(helper: &'static [u8], temporary: PathBuf) -> ProcessSpawner {
        ProcessSpawner {
            helper: Arc::new(Helper::new(helper, temporary.clone())),
            root: temporary,
            cgroups: Arc::default(),
        }
    }

    /// Opens an environment with this name, which also begins the name of its work directory.
    pub(crate) async fn open_as(&self, name: &str) -> Result<Environment, SpawnError> {
        let mut launch = Launch {
            name: format!("process/{name}").into(),
            work: PathBuf::new(),
            variables: None,
            isolation: Isolation::default(),
            private: None,
            cgroups: Some(Arc::clone(&self.cgroups)),
            remote: None,
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
        // The memory file is closed on exec, but by then the kernel has opened it.
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
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    /// Writes the helper's executable while the job makes its directory and its journal.
    fn prepare(&self, _: usize) -> SpawnerFuture<'_, Result<(), SpawnError>> {
        let helper = Arc::clone(&self.helper);
        tokio::task::spawn_blocking(move || helper.write_early());
        Box::pin(std::future::ready(Ok(())))
    }

    fn open(&self, slot: usize) -> SpawnerFuture<'_, Result<Environment, SpawnError>> {
        Box::pin(async move { self.open_as(&format!("slot-{slot}")).await })
    }

    fn limit_means(&self, limit: Limit) -> LimitMeans {
        self.cgroups.means(limit)
    }

    fn remove_abandoned(&self) -> SpawnerFuture<'_, Result<usize, SpawnError>> {
        Box::pin(async { Ok(cgroup::remove_abandoned()) })
    }

    fn close(&self) -> SpawnerFuture<'_, ()> {
        Box::pin(async { self.cgroups.remove() })
    }
}
