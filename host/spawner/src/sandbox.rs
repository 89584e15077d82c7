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
mod view;
mod walls;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use persea_config::{Key, Texts, settings};
use persea_helper::protocol::Isolation;
use persea_helper::{GUARD_ARGUMENT, removal};
use persea_model::{Limit, SpawnerKind};
use persea_system::private::{READABLE, create_directory};
use rustix::process::{getgid, getuid};
use tokio::sync::OnceCell;

use crate::environment::private::{PendingRemovals, PrivateDirectory};
use crate::launch::program::Helper;
use crate::launch::{Launch, RemainingSetup, children, own_variables};
use crate::limits::HostCgroups;
use crate::process::ProcessSpawner;
use crate::{
    Descriptor, Environment, EnvironmentState, LimitMeans, SpawnError, Spawner, SpawnerFuture,
    SpawnerInputs, no_snapshot,
};
use hidden::{HiddenPaths, Visibility, homes, resolve};
use layer::SandboxLayer;
use mounts::{Layout, is_plain};

/// The tools that the sandbox needs, each with its Debian package.
const TOOLS: [(&str, &str); 3] = [
    ("bwrap", "bubblewrap"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
];

/// The capabilities of root in a sandbox: enough to install packages and to change the user. Root
/// in the sandbox is root for the kernel too. Without further capabilities it can mount nothing,
/// above all no other `/proc` in which the kernel's settings are writable. Container engines have
/// the same list.
const CAPABILITIES: [&str; 11] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

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

/// Checks whether this machine has the tools.
fn find_tools() -> Result<(), SpawnError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    for (tool, package) in TOOLS {
        if find(tool, &path).is_none() {
            return Err(SpawnError::Invalid(format!(
                "the spawner `sandbox` needs `{tool}`, which is not in PATH: install it \
                 (Debian: `apt-get install {package}`)"
            )));
        }
    }
    Ok(())
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

    fn start(
        &self,
        layer: &SandboxLayer,
        view: &[OsString],
        network: bool,
        (requests, replies): (&PipeReader, &PipeWriter),
    ) -> io::Result<(Child, Option<RemainingSetup>)> {
        let is_root = getuid().is_root();
        // Root's sandbox has all user ids of this machine, so that packages can be installed. Only
        // a process outside of the namespace can map them.
        let ids = match is_root {
            true => Some((io::pipe()?, io::pipe()?)),
            false => None,
        };
        let (filter, mut writer) = io::pipe()?;
        // Does not block: the filter fits into the pipe's buffer.
        writer.write_all(&self.filter)?;
        drop(writer);
        let child = self.helper.run(|program| {
            let mut inherited = vec![filter.as_fd()];
            inherited.extend(program.descriptor());
            let mut namespaces: Vec<OsString> = Vec::new();
            let mut add =
                |argument: &dyn AsRef<OsStr>| namespaces.push(argument.as_ref().to_owned());
            add(&"--seccomp");
            add(&filter.as_raw_fd().to_string());
            add(&"--cap-drop");
            add(&"ALL");
            match &ids {
                Some(((_, info), (go, _))) => {
                    inherited.extend([info.as_fd(), go.as_fd()]);
                    add(&"--info-fd");
                    add(&info.as_raw_fd().to_string());
                    add(&"--userns-block-fd");
                    add(&go.as_raw_fd().to_string());
                    for capability in CAPABILITIES {
                        add(&"--cap-add");
                        add(&capability);
                    }
                }
                None => {
                    add(&"--uid");
                    add(&getuid().to_string());
                    add(&"--gid");
                    add(&getgid().to_string());
                }
            }
            let path = std::env::var_os("PATH").unwrap_or_default();
            // With a path, the standard library can start it by posix_spawn, although the
            // environment variables differ.
            let unshare = find("unshare", &path).unwrap_or_else(|| "unshare".into());
            let mut command = Command::new(program.path());
            // The guard ends the processes that make the sandbox if the host is killed meanwhile.
            command
                .arg(GUARD_ARGUMENT)
                .arg(std::process::id().to_string())
                .arg(unshare);
            // All processes of the sandbox can read the environment variables of bubblewrap and the
            // helper, in /proc.
            command.env_clear().env("PATH", path);
            if !is_root {
                command.args(["--user", "--map-root-user"]);
            }
            command
                .args([
                    "--mount",
                    "--propagation",
                    "private",
                    "sh",
                    "-c",
                    view::SCRIPT,
                    "sh",
                ])
                .args(self.layers(layer, is_root))
                .args(view)
                .args([
                    "--unshare-user",
                    "--unshare-pid",
                    "--unshare-ipc",
                    "--unshare-uts",
                ])
                .args((!network).then_some("--unshare-net"))
                .args(namespaces)
                // The helper is process 1. bubblewrap's own process 1 would keep the channel open,
                // and nothing in the sandbox can kill or stop process 1.
                .args(["--as-pid-1", "--die-with-parent", "--"])
                .arg(program.path())
                .stdin(requests.try_clone()?)
                .stdout(replies.try_clone()?)
                .stderr(Stdio::piped());
            children::start(&mut command, &inherited)
        })?;
        let rest = ids.map(|((info, _), (_, go))| -> RemainingSetup {
            Box::pin(async move {
                tokio::task::spawn_blocking(move || map_ids(info, go))
                    .await
                    .unwrap_or_else(|e| Err(io::Error::other(e)))
            })
        });
        Ok((child, rest))
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

/// Maps all user and group ids of this machine into the namespace of a sandbox, once bubblewrap has
/// reported its process id. bubblewrap waits for that.
fn map_ids(mut info: PipeReader, mut go: PipeWriter) -> io::Result<()> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Info {
        child_pid: u32,
    }
    let mut text = Vec::new();
    let mut piece = [0; 1024];
    // Reads one JSON object of several lines, and not up to the end of the pipe: other processes
    // may keep the pipe open.
    while !text.ends_with(b"}\n") {
        match info.read(&mut piece)? {
            0 => break,
            count => text.extend(piece.iter().take(count)),
        }
    }
    let Ok(Info { child_pid }) = serde_json::from_slice(&text) else {
        return Err(io::Error::other("bubblewrap did not make the sandbox"));
    };
    for map in ["uid_map", "gid_map"] {
        std::fs::write(format!("/proc/{child_pid}/{map}"), "0 0 4294967295\n")?;
    }
    go.write_all(b"\n")
}

/// Looks a tool up in PATH.
fn find(tool: &str, path: &OsStr) -> Option<PathBuf> {
    let all = std::env::split_paths(path).map(|directory| directory.join(tool));
    all.into_iter().find(|path| path.is_file())
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
