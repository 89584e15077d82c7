//! Owns the spawner of sandboxes: namespaces, and this machine's files below a layer that takes all
//! writes. Does not know what is requested of the helper, or what a snapshot is for.
//!
//! bubblewrap makes the namespaces, as it does for Flatpak: it is small, widely reviewed, and in
//! every distribution. The layers are overlayfs, mounted by mount(8) in a mount namespace that
//! unshare(1) makes, because bubblewrap before 0.11 does not support overlays. There is no daemon,
//! and nothing to clean up: the kernel removes the mounts with the last process of the sandbox, and
//! a helper outside of it removes the layers, even if the host is killed.

mod hidden;
mod layer;
mod mounts;
mod seccomp;
mod start;
mod tools;
mod view;
mod walls;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use persea_config::{Key, Texts, settings};
use persea_helper::protocol::Isolation;
use persea_helper::removal;
use persea_model::{Limit, SpawnerKind};
use persea_system::private::{READABLE, create_directory};
use rustix::process::getuid;
use tokio::sync::OnceCell;

use crate::environment::private::{PendingRemovals, PrivateDirectory};
use crate::launch::program::Helper;
use crate::launch::{Launch, own_variables};
use crate::limits::HostCgroups;
use crate::process::ProcessSpawner;
use crate::{
    Descriptor, Environment, EnvironmentState, LimitMeans, SpawnError, Spawner, SpawnerFuture,
    SpawnerInputs, no_snapshot,
};
use hidden::{HiddenPaths, Visibility, homes, resolve};
use layer::SandboxLayer;
use mounts::{Layout, is_plain};
use tools::find_tools;

/// The description of the spawner.
pub(crate) const DESCRIPTOR: Descriptor = Descriptor {
    kind: SpawnerKind::Sandbox,
    about: "namespaces of this machine, with a layer over its files that takes what is written",
    settings: &[
        settings::SPAWNER_SANDBOX_FRESH.name(),
        settings::SPAWNER_SANDBOX_HIDE.name(),
        settings::SPAWNER_SANDBOX_NETWORK.name(),
        settings::SPAWNER_SANDBOX_SHOW.name(),
    ],
    has_snapshots: true,
    is_remote: false,
    is_one_machine: |_| true,
    slots: |_| None,
    has_network: |config| config.get(settings::SPAWNER_SANDBOX_NETWORK),
    is_fresh: |config| config.get(settings::SPAWNER_SANDBOX_FRESH),
    make: |inputs| {
        let visibility = visibility(&inputs);
        let SpawnerInputs {
            helper,
            temporary,
            directory,
            ..
        } = inputs;
        let made = SandboxSpawner::new(helper, temporary, directory, &visibility)?;
        Ok(Box::new(made))
    },
};

/// Reads what a sandbox hides and shows from the settings.
fn visibility(inputs: &SpawnerInputs<'_>) -> Visibility {
    let paths = |key: Key<Texts>| {
        let paths = inputs.config.get(key).into_iter();
        let resolved = paths.map(|path| resolve(&path, &inputs.home, &inputs.directory));
        resolved.collect()
    };
    Visibility {
        homes: homes(&inputs.home),
        private: inputs.private.clone(),
        hide: paths(settings::SPAWNER_SANDBOX_HIDE),
        show: paths(settings::SPAWNER_SANDBOX_SHOW),
    }
}

fn filter() -> Result<Vec<u8>, SpawnError> {
    seccomp::filter().ok_or_else(|| {
        SpawnError::Invalid(format!(
            "the spawner `sandbox` has no seccomp filter for {}: use the spawner `process`",
            std::env::consts::ARCH
        ))
    })
}

/// Starts processes in sandboxes on this machine. What they write is removed with their
/// environment, unless a snapshot keeps it. They do not see what other sandboxes write, see no
/// process outside of the sandbox, and reach the network only if the environment's state has it.
#[derive(Debug)]
pub(crate) struct SandboxSpawner {
    helper: Helper,
    /// The seccomp filter.
    filter: Vec<u8>,
    /// Opens `keeper`.
    outside: ProcessSpawner,
    /// An environment outside of the sandboxes. Its work directory contains all layers, and its
    /// helper removes them, even if the host is killed.
    keeper: OnceCell<Environment>,
    /// The directory in which processes start.
    directory: PathBuf,
    layout: Layout,
    hidden: HiddenPaths,
    /// The directory of the host that each sandbox sees a private directory in place of, and the
    /// directory in which the private ones are.
    private_directories: Option<(PathBuf, PathBuf)>,
    /// The number of sandboxes made so far, which is the name of the next one's layer.
    made: AtomicUsize,
    /// The layer of the sandbox that is open in each slot.
    open: Mutex<HashMap<usize, Arc<SandboxLayer>>>,
    /// The layers of each snapshot by its name, the lowest first.
    snapshots: Mutex<HashMap<String, Vec<Arc<SandboxLayer>>>>,
    removals: PendingRemovals,
    cgroups: Arc<HostCgroups>,
}

impl SandboxSpawner {
    /// Creates the spawner with the helper (a static executable), the directory for the layers, the
    /// directory in which processes start, and the paths to hide and show.
    ///
    /// # Errors
    /// A tool is missing, the table of mounts cannot be read, or a path cannot be used.
    pub(crate) fn new(
        helper: &'static [u8],
        temporary: PathBuf,
        directory: PathBuf,
        visibility: &Visibility,
    ) -> Result<SandboxSpawner, SpawnError> {
        find_tools()?;
        let filter = filter()?;
        let failed =
            |e| SpawnError::Invalid(format!("cannot read the mounts of this machine: {e}"));
        let mounts = mounts::all().map_err(failed)?;
        let layout = Layout::of_machine(&directory, &mounts, getuid().is_root()).map_err(failed)?;
        let layered = layout.layered().map(|(_, part)| &part.path);
        for path in layered.chain([&temporary]) {
            if !is_plain(path) {
                return Err(SpawnError::Invalid(format!(
                    "the spawner `sandbox` can't use {}: the path has a comma, a colon, a \
                     backslash or a quotation mark",
                    path.display()
                )));
            }
        }
        let hidden = HiddenPaths::new(visibility, &directory, &layout, mounts);
        if hidden.has(&directory) {
            return Err(SpawnError::Invalid(format!(
                "the setting `spawner.sandbox.hide` hides {}, in which tests start: hide paths in \
                 it instead",
                directory.display()
            )));
        }
        Ok(SandboxSpawner {
            helper: Helper::new(helper, temporary.clone()),
            filter,
            outside: ProcessSpawner::new(helper, temporary),
            keeper: OnceCell::new(),
            directory,
            layout,
            hidden,
            private_directories: None,
            made: AtomicUsize::new(0),
            open: Mutex::default(),
            snapshots: Mutex::default(),
            removals: PendingRemovals::default(),
            cgroups: Arc::default(),
        })
    }

    fn snapshots(&self) -> MutexGuard<'_, HashMap<String, Vec<Arc<SandboxLayer>>>> {
        self.snapshots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<usize, Arc<SandboxLayer>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open_in(
        &self,
        slot: usize,
        state: &EnvironmentState,
    ) -> Result<Environment, SpawnError> {
        let below = match &state.snapshot {
            None => Vec::new(),
            Some(name) => self
                .snapshots()
                .get(name)
                .cloned()
                .ok_or_else(|| no_snapshot(name))?,
        };
        let keeper = self
            .keeper
            .get_or_try_init(|| self.outside.open_as("layers"))
            .await?;
        let mut launch = Launch {
            name: format!("sandbox/{slot}").into(),
            work: PathBuf::new(),
            variables: Some(own_variables()),
            isolation: Isolation {
                session_keyring: true,
                // Without a network, a network namespace isolates them.
                abstract_sockets: state.network,
            },
            private: None,
            cgroups: Some(Arc::clone(&self.cgroups)),
            remote: None,
            keep_alive: Box::new(()),
        };
        let name = self.made.fetch_add(1, Ordering::Relaxed).to_string();
        let layers = Path::new(keeper.work_dir());
        let shown = self.hidden.shown.iter().map(|path| &**path);
        let results = self.private_directories.iter().map(|(shown, _)| &**shown);
        let targets: Vec<&Path> = shown
            .chain(results)
            .chain(state.writable_directory.as_deref())
            .collect();
        let masks = self.hidden.masks(&self.layout, &targets);
        if let Some((shown, place)) = &self.private_directories {
            let private = PrivateDirectory::make(shown, place, &name, &self.removals);
            let private = private.map_err(launch.failed("making its private directory"))?;
            launch.private = Some(Arc::new(private));
        }
        let parts = (&self.layout, &*masks);
        let layer = SandboxLayer::make(layers, name, below, parts, &self.removals);
        let layer = Arc::new(layer.map_err(launch.failed("making its layer"))?);
        if let Some(own) = &state.writable_directory
            && !own.is_dir()
        {
            create_directory(own, READABLE)
                .map_err(launch.failed("making its writable directory"))?;
        }
        launch.work = layer.work_parent().join("work");
        launch.keep_alive = Box::new(Arc::clone(&layer));
        self.opened().insert(slot, Arc::clone(&layer));
        let private = launch.private.clone();
        let view = self.view(&layer, &masks, state, private.as_deref());
        let start = |requests: &_, replies: &_| {
            self.start(&layer, &view, state.network, (requests, replies))
        };
        launch.bring_up(start).await
    }

    async fn keep(
        &self,
        slot: usize,
        environment: Environment,
        name: &str,
    ) -> Result<(), SpawnError> {
        let layer = self.opened().remove(&slot);
        let layer = layer.ok_or_else(|| no_snapshot(name))?;
        environment.end_task().await?;
        // A layer that is still mounted must not become the lower layer of another sandbox: the
        // kernel leaves the result undefined.
        environment.close().await;
        let mut layers = layer.below.clone();
        layers.push(layer);
        self.snapshots().insert(name.to_owned(), layers);
        Ok(())
    }
}

impl Spawner for SandboxSpawner {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn open(&self, slot: usize) -> SpawnerFuture<'_, Result<Environment, SpawnError>> {
        Box::pin(async move {
            self.open_in(slot, &EnvironmentState::new(SpawnerKind::Sandbox))
                .await
        })
    }

    fn probe(&self) -> SpawnerFuture<'_, Result<(), SpawnError>> {
        self.check()
    }

    fn restore<'a>(
        &'a self,
        slot: usize,
        state: &'a EnvironmentState,
    ) -> SpawnerFuture<'a, Result<Environment, SpawnError>> {
        Box::pin(self.open_in(slot, state))
    }

    fn snapshot<'a>(
        &'a self,
        slot: usize,
        environment: Environment,
        name: &'a str,
    ) -> SpawnerFuture<'a, Result<(), SpawnError>> {
        Box::pin(self.keep(slot, environment, name))
    }

    fn check(&self) -> SpawnerFuture<'_, Result<(), SpawnError>> {
        Box::pin(async {
            let opened = self.open(0).await;
            let opened = opened.map_err(|error| match walls::hint() {
                Some(hint) => SpawnError::Invalid(format!("{error}; {hint}")),
                None => error,
            });
            opened?.close().await;
            Ok(())
        })
    }

    fn limit_means(&self, limit: Limit) -> LimitMeans {
        self.cgroups.means(limit)
    }

    fn hide(&mut self, path: &Path) {
        self.hidden.hide(path);
    }

    fn set_private_directory(&mut self, directory: &Path, place: &Path) {
        self.hidden.hide(place);
        self.private_directories = Some((directory.to_path_buf(), place.to_path_buf()));
    }

    fn close(&self) -> SpawnerFuture<'_, ()> {
        Box::pin(async {
            self.opened().clear();
            self.snapshots().clear();
            let removals =
                std::mem::take(&mut *self.removals.lock().unwrap_or_else(PoisonError::into_inner));
            removals.join_all().await;
            if let Some((_, place)) = &self.private_directories
                && let Err(error) = removal::remove_tree(place)
            {
                tracing::warn!("cannot remove the directory {}: {error}", place.display());
            }
            if let Some(keeper) = self.keeper.get() {
                keeper.close().await;
            }
            self.cgroups.remove();
        })
    }
}

#[cfg(test)]
mod tests;
