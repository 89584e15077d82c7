//! Owns what all plugins of a job share: the engine, the threads, and what powers act on (the
//! project, downloads, caches). Makes linked components and stores from it. Does not know which
//! plugins there are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::Dir;
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::engine::compiler::Compiler;
use crate::error::PluginError;
use crate::instance::context::PluginContext;
use crate::instance::log::{Log, write_to_host_log};
use crate::instance::memory::JobMemory;
use crate::instance::state::InstanceState;
use crate::instance::workers::Workers;
use crate::powers::cache::CachePower;
use crate::powers::fetch::{FetchPower, HOSTS};
use crate::powers::monotonic_clock::CallClock;
use crate::powers::task::{Starting, TaskHost, TaskPower};
use crate::powers::workspace::{DIRECTORIES, Views, WHOLE_PROJECT, Workspace, views};
use crate::trust::manifest::Manifest;
use crate::trust::provenance::Trust;
use crate::worlds::refused::refuse_imports;
use persea_config::Config;
use persea_download::Downloads;
use persea_system::private::is_own;

/// What all plugins of a job share.
pub(crate) struct Runtime {
    pub(crate) compiler: Compiler,
    pub(crate) workers: Workers,
    /// The memory that the job's tasks take, whichever plugins have made them.
    pub(crate) memory: Arc<JobMemory>,
    project: Dir,
    project_path: Arc<Path>,
    /// The view of plugins that may read the whole project.
    whole_project: Views,
    downloads: Arc<Downloads>,
    /// The directory that has a directory for each plugin with the power `cache`.
    plugin_caches: Option<PathBuf>,
}

/// Returns where plugins keep files from job to job; none if somebody else may write there.
fn plugin_caches(cache: &Path) -> Option<PathBuf> {
    let path = cache.join("plugins");
    match path.symlink_metadata() {
        Ok(meta) if !meta.is_dir() || !is_own(&meta) => {
            tracing::warn!(
                "plugins keep nothing from job to job: {} must belong to you, and nobody else may \
                 write to it",
                path.display()
            );
            None
        }
        _ => Some(path),
    }
}

impl Runtime {
    /// `project` is the project's directory. `cache` is where files are kept from job to job.
    pub(crate) fn new(
        config: &Config,
        compiler: Compiler,
        project: &Path,
        cache: Option<&Path>,
    ) -> Result<Self, PluginError> {
        let project_path: Arc<Path> = project.into();
        let opened = Dir::open_ambient_dir(project, cap_std::ambient_authority());
        let project = opened.map_err(|source| PluginError::Read {
            path: project.to_path_buf(),
            source,
        })?;
        Ok(Self {
            compiler,
            workers: Workers::default(),
            memory: Arc::new(JobMemory::new(config)),
            whole_project: views(&project, &[WHOLE_PROJECT.to_owned()]).into(),
            project,
            downloads: Arc::new(Downloads::new(config, cache, &project_path)),
            plugin_caches: cache.and_then(plugin_caches),
            project_path,
        })
    }

    /// Links a component to the powers that it imports, and no others. What no host offers is
    /// linked to functions that trap.
    pub(crate) fn link(
        &self,
        plugin: &str,
        manifest: &Manifest,
        component: &Component,
    ) -> Result<InstancePre<InstanceState>, PluginError> {
        let imports: Vec<_> = manifest.imports().collect();
        let link = || {
            let mut linker = Linker::new(&self.compiler.engine);
            (manifest.track.link)(&mut linker, &imports)?;
            refuse_imports(&mut linker, component, &manifest.refused)?;
            linker.instantiate_pre(component)
        };
        link().map_err(|error| cannot_link(plugin, manifest, &error))
    }

    /// Makes a store whose messages go to the host's log.
    pub(crate) fn store(&self, context: &Arc<PluginContext>) -> Store<InstanceState> {
        let label = context.label.clone();
        let target =
            Box::new(move |level, message: &str| write_to_host_log(&label, level, message));
        self.store_with_log(context, Log::new(target, &context.limits))
    }

    /// Makes a store with this log.
    pub(crate) fn store_with_log(
        &self,
        context: &Arc<PluginContext>,
        log: Log,
    ) -> Store<InstanceState> {
        InstanceState::store(&self.compiler.engine, context, log)
    }

    /// Makes a store for an instance that acts on a task, and starts the clock of its call. Its
    /// messages go to the task's log.
    pub(crate) fn task_store(
        &self,
        context: &Arc<PluginContext>,
        host: Arc<dyn TaskHost>,
    ) -> Store<InstanceState> {
        let mut store = self.store_with_log(context, task_log(context, &host));
        give_task_powers(&mut store, context, host);
        store
    }

    /// Makes a store for an instance that lists tests, and starts the clock of its call. Its
    /// messages go to the host's log: a listing leaves no directory.
    pub(crate) fn listing_store(
        &self,
        context: &Arc<PluginContext>,
        host: Arc<dyn TaskHost>,
    ) -> Store<InstanceState> {
        let mut store = self.store(context);
        give_task_powers(&mut store, context, host);
        store
    }

    /// Returns what a plugin sees of the project.
    pub(crate) fn workspace(&self, context: &PluginContext) -> Workspace {
        let views = match context.grants.of(&DIRECTORIES) {
            [all] if all == WHOLE_PROJECT => Arc::clone(&self.whole_project),
            parts => views(&self.project, parts).into(),
        };
        Workspace::new(views, Arc::clone(&self.project_path))
    }

    /// Returns the downloads that a plugin may ask for, for an environment that isolates or not.
    pub(crate) fn downloads(
        &self,
        trust: Trust,
        context: &PluginContext,
        is_isolated: bool,
    ) -> FetchPower {
        let downloads = match is_isolated {
            true => self.downloads.for_isolated(),
            false => Arc::clone(&self.downloads),
        };
        FetchPower::new(match trust {
            Trust::BuiltIn => downloads,
            Trust::Locked | Trust::Unlocked => {
                Arc::new(downloads.only_from(context.grants.of(&HOSTS)))
            }
        })
    }

    /// Returns the cache with this name; none where nothing is kept from job to job.
    pub(crate) fn cache(&self, name: &str) -> Option<CachePower> {
        let directory = self.plugin_caches.as_ref()?;
        Some(CachePower::new(directory.join(name)))
    }
}

/// Reports a component that does not fit the powers that it imports. The likely reason is a newer
/// version of the contract.
fn cannot_link(plugin: &str, manifest: &Manifest, error: &wasmtime::Error) -> PluginError {
    let newest = &manifest.track.newest;
    if manifest.contract <= *newest {
        return PluginError::cannot_load(plugin, error);
    }
    if let Some((interface, function)) = missing_function(&format!("{error:#}")) {
        return PluginError::Function {
            plugin: plugin.to_owned(),
            function: function.into(),
            interface: interface.into(),
            built_for: manifest.contract.to_string().into(),
            offers: newest.to_string().into(),
        };
    }
    PluginError::Load {
        plugin: plugin.to_owned(),
        message: format!(
            "{error:#}; the plugin was built for persea:plugin@{}, and this host offers \
             persea:plugin@{newest}: use a newer persea",
            manifest.contract
        ),
    }
}

/// Returns the interface and the function that the linker lacks, if that is why it has failed. The
/// engine has no type for this error.
fn missing_function(text: &str) -> Option<(&str, &str)> {
    let between = |before: &str| {
        let (_, after) = text.split_once(before)?;
        after.split_once('`').map(|(name, _)| name)
    };
    let is_missing = text.ends_with("function implementation is missing");
    let function = between("instance export `").filter(|_| is_missing)?;
    Some((between("component imports instance `")?, function))
}

/// Gives an instance the powers of a task.
fn give_task_powers(
    store: &mut Store<InstanceState>,
    context: &PluginContext,
    host: Arc<dyn TaskHost>,
) {
    let state = store.data_mut();
    state.give(TaskPower::new(host, &context.limits, Starting::Allowed));
    state.give(CallClock::start(None));
}

/// Returns a log that writes to the log of a task.
pub(crate) fn task_log(context: &PluginContext, host: &Arc<dyn TaskHost>) -> Log {
    let host = Arc::clone(host);
    let target = Box::new(move |level, message: &str| host.log(level, message));
    Log::new(target, &context.limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_function_is_named() {
        let missing = "component imports instance `persea:plugin/cases@0.2.7`, but a matching \
                       implementation was not found in the linker: instance export `skip-rest` has \
                       the wrong type: function implementation is missing";
        let named = ("persea:plugin/cases@0.2.7", "skip-rest");
        assert_eq!(missing_function(missing), Some(named));
        let differs = missing.replace("implementation is missing", "parameters differ");
        assert_eq!(missing_function(&differs), None);
        assert_eq!(missing_function("function implementation is missing"), None);
    }
}
