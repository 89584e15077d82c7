//! Owns the spawner of containers: for each slot a container of Podman or Docker on this machine,
//! in which the helper is process 1. Does not know what is requested of the helper.
//!
//! The engine only makes, keeps and removes containers. The helper's channel is a pair of pipes,
//! which the host hands over to the helper when it starts (`handover`). So a command in a running
//! container costs no call of the engine, and a running test survives a restart of the engine.
//! When the host is killed, the pipes close: the helper ends its processes and itself, and the
//! engine removes the container.

mod abandoned;
mod container_spec;
mod engine;
mod handover;
mod mounts;

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use persea_config::settings;
use persea_helper::protocol::{Bytes, Hello, Isolation};
use persea_model::{Limit, SpawnerKind};
use persea_system::private::{ONLY_OWNER, READABLE, create_directory};
use tokio::net::unix::pipe;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use crate::channel::pipe::Pipe;
use crate::channel::{Channel, CleanUp, END_WITHIN};
use crate::environment::identity::EnvironmentId;
use crate::environment::private::{PendingRemovals, PrivateDirectory};
use crate::launch::last_words::LastWords;
use crate::limits::{HelperPlace, without_cgroup};
use crate::owner::Owner;
use crate::{
    Descriptor, Environment, EnvironmentState, LimitMeans, SpawnError, Spawner, SpawnerFuture,
    SpawnerInputs, no_snapshot,
};
use container_spec::ContainerSpec;
use engine::{Engine, Image, Pulls};
use handover::{Handover, OwnEnds};
use mounts::{Mounts, OwnDirectory};

/// The description of the spawner.
pub(crate) const DESCRIPTOR: Descriptor = Descriptor {
    kind: SpawnerKind::Container,
    about: "containers of Podman or Docker on this machine",
    settings: &[
        settings::SPAWNER_CONTAINER_ENGINE.name(),
        settings::SPAWNER_CONTAINER_FRESH.name(),
        settings::SPAWNER_CONTAINER_IMAGE.name(),
        settings::SPAWNER_CONTAINER_MOUNTS.name(),
        settings::SPAWNER_CONTAINER_NETWORK.name(),
        settings::SPAWNER_CONTAINER_PULL.name(),
        settings::SPAWNER_CONTAINER_RUNTIME.name(),
    ],
    has_snapshots: true,
    is_remote: false,
    is_one_machine: |_| true,
    slots: |_| None,
    has_network: |config| config.get(settings::SPAWNER_CONTAINER_NETWORK) != NO_NETWORK,
    is_fresh: |config| config.get(settings::SPAWNER_CONTAINER_FRESH),
    make: |inputs| Ok(Box::new(ContainerSpawner::new(inputs)?)),
};

/// The value of the setting `spawner.container.network` for no network.
const NO_NETWORK: &str = "none";

/// The engine's name for its default network.
const DEFAULT_NETWORK: &str = "default";

/// Starts processes in containers. They see their image, the project (read-only) and the mounts of
/// the settings. What they write is removed with their container, unless a snapshot keeps it.
#[derive(Debug)]
pub(crate) struct ContainerSpawner {
    engine: OnceCell<Engine>,
    /// The engine's socket.
    socket: PathBuf,
    /// The directory of the spawner's files.
    files: PathBuf,
    helper: OnceCell<PathBuf>,
    helper_bytes: &'static [u8],
    owner: Owner,
    /// The image of tests that name none.
    image: Option<String>,
    pulls: bool,
    network: String,
    runtime: Option<String>,
    mounts: Mounts,
    /// The directory of the host that each container sees a private directory in place of, and the
    /// directory in which the private ones are.
    private_directories: Option<(PathBuf, PathBuf)>,
    /// The images that tests have named.
    images: Mutex<HashMap<String, Arc<OnceCell<Image>>>>,
    /// The container that is open in each slot.
    open: Mutex<HashMap<usize, String>>,
    /// The image of each snapshot, by the snapshot's name.
    snapshots: Mutex<HashMap<String, Image>>,
    made: Mutex<usize>,
    removals: PendingRemovals,
}

impl ContainerSpawner {
    fn new(inputs: SpawnerInputs<'_>) -> Result<ContainerSpawner, SpawnError> {
        let SpawnerInputs {
            helper,
            temporary,
            directory,
            private,
            config,
            ..
        } = inputs;
        let socket = engine::find_socket(config.get(settings::SPAWNER_CONTAINER_ENGINE))?;
        let network = config.get(settings::SPAWNER_CONTAINER_NETWORK);
        if network.trim().is_empty() {
            return Err(SpawnError::Invalid(
                "the setting `spawner.container.network` is empty: expected `none`, `default`, or \
                 the name of a network"
                    .to_owned(),
            ));
        }
        let mounts = config.get(settings::SPAWNER_CONTAINER_MOUNTS);
        Ok(ContainerSpawner {
            engine: OnceCell::new(),
            socket,
            files: temporary.join("containers"),
            helper: OnceCell::new(),
            helper_bytes: helper,
            owner: Owner::new(&temporary),
            image: config
                .get(settings::SPAWNER_CONTAINER_IMAGE)
                .map(str::to_owned),
            pulls: config.get(settings::SPAWNER_CONTAINER_PULL),
            network: network.to_owned(),
            runtime: config
                .get(settings::SPAWNER_CONTAINER_RUNTIME)
                .map(str::to_owned),
            mounts: Mounts::new(directory, temporary, private, &mounts)?,
            private_directories: None,
            images: Mutex::default(),
            open: Mutex::default(),
            snapshots: Mutex::default(),
            made: Mutex::default(),
            removals: PendingRemovals::default(),
        })
    }

    fn snapshots(&self) -> MutexGuard<'_, HashMap<String, Image>> {
        self.snapshots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<usize, String>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine. The first call connects, and removes what killed hosts have left.
    async fn engine(&self) -> Result<&Engine, SpawnError> {
        let connect = async {
            let engine = Engine::connect(&self.socket).await?;
            engine.may_choose_runtime(self.runtime.as_deref())?;
            abandoned::remove(&engine, &self.owner).await;
            Ok(engine)
        };
        self.engine.get_or_try_init(|| connect).await
    }

    /// The image of an environment in this state.
    async fn image(&self, engine: &Engine, state: &EnvironmentState) -> Result<Image, SpawnError> {
        if let Some(name) = &state.snapshot {
            let snapshot = self.snapshots().get(name).cloned();
            return snapshot.ok_or_else(|| no_snapshot(name));
        }
        let name = state.image.as_ref().or(self.image.as_ref());
        let Some(name) = name.filter(|name| !name.trim().is_empty()) else {
            return Err(SpawnError::Invalid(
                "the spawner `container` needs an image: name one with `--image`, the setting \
                 `spawner.container.image`, or `image` of a suite or test"
                    .to_owned(),
            ));
        };
        let cell = {
            let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(images.entry(name.clone()).or_default())
        };
        // An image that a stranger's plugin has named is not fetched: that would tell the
        // registry about it.
        let pulls = match (self.pulls, &state.owner) {
            (false, _) => Pulls::Never,
            (true, Some(_)) => Pulls::NotForPlugins,
            (true, None) => Pulls::Yes,
        };
        let image = cell.get_or_try_init(|| engine.image(name, pulls)).await?;
        Ok(image.clone())
    }

    /// Writes the helper to a file that containers can see, once.
    async fn helper(&self) -> std::io::Result<&PathBuf> {
        let write = async {
            create_directory(&self.files, ONLY_OWNER)?;
            handover::write_helper(&self.files, self.helper_bytes)
        };
        self.helper.get_or_try_init(|| write).await
    }

    fn next_name(&self) -> String {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        *made += 1;
        made.to_string()
    }

    async fn open_in(
        &self,
        slot: usize,
        state: &EnvironmentState,
    ) -> Result<Environment, SpawnError> {
        let name: Arc<str> = format!("container/{slot}").into();
        let failed = |what| {
            let environment = Arc::clone(&name);
            move |source| SpawnError::HelperStart {
                environment,
                what,
                source: Arc::new(source),
            }
        };
        let engine = self.engine().await?.clone();
        let image = self.image(&engine, state).await?;
        let helper = self.helper().await.map_err(failed("writing its program"))?;
        let number = self.next_name();
        let own = OwnDirectory::make(&self.files, &number, &self.removals);
        let own = own.map_err(failed("making its directories"))?;
        let private = match &self.private_directories {
            None => None,
            Some((shown, storage)) => {
                let made = PrivateDirectory::make(shown, storage, &number, &self.removals);
                Some(Arc::new(
                    made.map_err(failed("making its private directory"))?,
                ))
            }
        };
        if let Some(directory) = &state.writable_directory
            && !directory.is_dir()
        {
            create_directory(directory, READABLE)
                .map_err(failed("making its writable directory"))?;
        }
        let network = match state.network {
            false => NO_NETWORK,
            true if self.network == NO_NETWORK => DEFAULT_NETWORK,
            true => &self.network,
        };
        let writable = state.writable_directory.as_deref();
        let mounts = self.mounts.of(helper, &own, private.as_deref(), writable);
        let spec = ContainerSpec {
            image: &image,
            mounts: mounts?,
            directory: self.mounts.project(),
            user: engine.user(),
            network,
            runtime: self.runtime.as_deref(),
            labels: self.owner.labels(),
        };
        let (handover, ends) =
            Handover::prepare(own.socket()).map_err(failed("making its channel"))?;
        let work = self.mounts.work_dir();
        let hello = Hello {
            work_dir: Some(Bytes(work.as_os_str().as_bytes().to_vec())),
            variables: None,
            isolation: Isolation {
                // The engine's seccomp filter blocks the calls for keyrings.
                session_keyring: false,
                abstract_sockets: state.network,
            },
            lease: None,
        };
        let container = engine.create(spec.body(), &image).await?;
        self.opened().insert(slot, container.clone());
        let new = NewContainer {
            engine,
            container,
            image: image.name().to_owned(),
            name,
            own,
        };
        let work = work.to_string_lossy().into_owned();
        // A task of its own, so that the clean-up runs even if the caller's future is dropped.
        tokio::spawn(new.bring_up(handover, ends, hello, work, private))
            .await
            .unwrap_or(Err(SpawnError::Closed("the environment")))
    }

    async fn keep(
        &self,
        slot: usize,
        environment: Environment,
        name: &str,
    ) -> Result<(), SpawnError> {
        let container = self.opened().remove(&slot);
        let container = container.ok_or_else(|| no_snapshot(name))?;
        environment.end_task().await?;
        let engine = self.engine().await?;
        let labels = self.owner.labels();
        let image = engine.commit(&container, name, labels).await?;
        environment.close().await;
        self.snapshots().insert(name.to_owned(), image);
        Ok(())
    }
}

/// A container that exists but does not run yet.
struct NewContainer {
    engine: Engine,
    container: String,
    image: String,
    /// The environment's name.
    name: Arc<str>,
    own: OwnDirectory,
}

impl NewContainer {
    /// Starts the container, hands the channel over to its helper, and exchanges the greetings.
    async fn bring_up(
        self,
        handover: Handover,
        ends: OwnEnds,
        hello: Hello,
        work_dir: String,
        private: Option<Arc<PrivateDirectory>>,
    ) -> Result<Environment, SpawnError> {
        let Self {
            engine,
            container,
            image,
            name,
            own,
        } = self;
        let started = match engine.start(&container, &image).await {
            Ok(()) => {
                let connected = handover.complete();
                tokio::select! {
                    connected = connected => connected.map_err(|source| SpawnError::HelperStart {
                        environment: Arc::clone(&name),
                        what: "connecting to it",
                        source: Arc::new(source),
                    }),
                    error = engine.ended(&container, &image) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        let streams = started.and_then(|pid| {
            let failed = |source| SpawnError::HelperStart {
                environment: Arc::clone(&name),
                what: "making its channel",
                source: Arc::new(source),
            };
            let reader = Pipe::new(ends.replies.into()).map_err(failed)?;
            let writer = pipe::Sender::from_owned_fd(ends.requests.into()).map_err(failed)?;
            Ok((reader, writer, pid))
        });
        let (reader, writer, pid) = match streams {
            Ok(streams) => streams,
            Err(error) => {
                engine.remove(&container).await;
                return Err(error);
            }
        };
        let words = LastWords::default();
        let end = tokio::spawn(
            words
                .clone()
                .keep(Some(ends.error.into()), Arc::clone(&name)),
        );
        let work_here = own.work_dir();
        let id = EnvironmentId {
            container: Some(container.clone()),
            ..pid.map(EnvironmentId::of_process).unwrap_or_default()
        };
        let clean_up: CleanUp = Box::pin(clear_up(engine, container, end, words, own));
        let channel = Channel::open(name, reader, writer, hello, None, clean_up).await?;
        let place = pid.map_or(HelperPlace::Elsewhere, HelperPlace::OfEngine);
        let environment = Environment::new(channel, work_dir, private).identified(id);
        Ok(environment.placed(place, work_here))
    }
}

/// Waits for the helper to end, which it does once its channel is closed, and removes the container
/// with everything that is left in it. Returns how the helper ended, for the error message.
async fn clear_up(
    engine: Engine,
    container: String,
    end: JoinHandle<()>,
    words: LastWords,
    own: OwnDirectory,
) -> String {
    let was_killed = tokio::time::timeout(END_WITHIN, end).await.is_err();
    engine.remove(&container).await;
    drop(own);
    let reason = match was_killed {
        true => "it did not end by itself, and its container was removed",
        false => "its channel was closed, or its container was killed",
    };
    words.after(reason)
}

impl Spawner for ContainerSpawner {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn open(&self, slot: usize) -> SpawnerFuture<'_, Result<Environment, SpawnError>> {
        Box::pin(async move {
            self.open_in(slot, &EnvironmentState::new(SpawnerKind::Container))
                .await
        })
    }

    fn probe(&self) -> SpawnerFuture<'_, Result<(), SpawnError>> {
        Box::pin(async { self.engine().await.map(drop) })
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
            match &self.image {
                // Which image tests will name is not known.
                None => self.engine().await.map(drop),
                Some(_) => {
                    self.open(0).await?.close().await;
                    Ok(())
                }
            }
        })
    }

    fn limit_means(&self, limit: Limit) -> LimitMeans {
        match limit {
            // Known only when there is a container.
            Limit::Memory | Limit::Processes | Limit::Cpus => {
                LimitMeans::Exact("the container's cgroup".to_owned())
            }
            Limit::Disk => without_cgroup(limit, ""),
        }
    }

    fn remove_abandoned(&self) -> SpawnerFuture<'_, Result<usize, SpawnError>> {
        Box::pin(async {
            let engine = Engine::connect(&self.socket).await?;
            Ok(abandoned::remove(&engine, &self.owner).await)
        })
    }

    fn hide(&mut self, path: &Path) {
        self.mounts.hide(path);
    }

    fn set_private_directory(&mut self, shown: &Path, storage: &Path) {
        self.mounts.hide(storage);
        self.private_directories = Some((shown.to_path_buf(), storage.to_path_buf()));
    }

    fn close(&self) -> SpawnerFuture<'_, ()> {
        Box::pin(async {
            self.opened().clear();
            let snapshots: Vec<Image> = self.snapshots().drain().map(|(_, image)| image).collect();
            if let Some(engine) = self.engine.get() {
                let ids = snapshots.iter().map(|image| image.id().to_owned());
                engine.remove_images(ids).await;
            }
            let removals =
                std::mem::take(&mut *self.removals.lock().unwrap_or_else(PoisonError::into_inner));
            removals.join_all().await;
            if let Some((_, storage)) = &self.private_directories
                && let Err(error) = persea_helper::removal::remove_tree(storage)
            {
                tracing::warn!("cannot remove the directory {}: {error}", storage.display());
            }
        })
    }
}
