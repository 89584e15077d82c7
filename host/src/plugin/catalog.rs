//! The plugins that there are, where each came from, and which one serves what.
//!
//! Owns choosing among them; how one is loaded is in `load`. A plugin that cannot be loaded is kept as a failure: the others work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::Dir;
use tokio::sync::OnceCell;

use super::PluginError;
use super::bindings::{
    batch_runner, requirement_resolver, resolver, result_format, runner, scheduler, varianter,
};
use super::engine::Compiler;
use super::limits::Limits;
use super::load::{Candidate, candidates};
use super::manifest::{Manifest, World};
use super::powers::cache::CachePower;
use super::powers::log::{Level, Log};
use super::powers::task::{TaskHost, TaskPower};
use super::state::State;
use super::workers::Workers;
use crate::config::Config;
use crate::download::Downloads;
use crate::model::Attributes;

/// Where a plugin came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is part of the host.
    BuiltIn,
    /// A file in a directory of plugins.
    File(PathBuf),
}

/// Where plugins are looked for.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Directories, the most preferred first. Each must exist.
    pub dirs: Vec<PathBuf>,
    /// The user's own directory, which need not exist.
    pub user_dir: Option<PathBuf>,
    /// Where compiled code, downloads and what plugins keep are kept from job to job; none to keep none.
    pub cache: Option<PathBuf>,
}

/// A plugin that is ready to be called.
pub struct Plugin {
    /// Its world.
    pub world: World,
    /// Its own name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// What it is, in a line.
    pub summary: String,
    /// The kinds that it declares.
    pub kinds: Vec<String>,
    /// The settings that it wants to see.
    pub settings: Vec<String>,
    /// What else it says of itself.
    pub more: Attributes,
    /// A runner says that each of its tasks is one process, which it starts by `run`.
    pub one_process: bool,
    /// What its binary says.
    pub manifest: Manifest,
    /// Where it came from.
    pub origin: Origin,
    /// The SHA-256 of the component.
    pub digest: String,
    /// Its size, in bytes.
    pub size: usize,
    pub(super) label: String,
    pub(super) pre: Pre,
}

/// A linked component, by world.
pub(super) enum Pre {
    Resolver(resolver::ResolverPre<State>),
    /// With how it runs many tasks, where it can.
    Runner(
        runner::RunnerPre<State>,
        Option<batch_runner::BatchRunnerPre<State>>,
    ),
    ResultFormat(result_format::ResultFormatPre<State>),
    RequirementResolver(requirement_resolver::RequirementResolverPre<State>),
    Scheduler(scheduler::SchedulerPre<State>),
    Varianter(varianter::VarianterPre<State>),
}

impl Plugin {
    /// The plugin in messages: ``runner `tap` `` or ``runner `tap` (dir/tap.wasm)``.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// It was to be called as what it is not.
    pub(super) fn is_no(&self, what: &str) -> PluginError {
        PluginError::Load {
            plugin: self.label.clone(),
            message: format!("it is no {what}"),
        }
    }
}

/// All plugins.
pub struct Catalog {
    pub(super) compiler: Compiler,
    pub(super) limits: Limits,
    workers: Workers,
    pub(super) root: Arc<Dir>,
    pub(super) place: Arc<Path>,
    plugins: Vec<Arc<Plugin>>,
    failures: Vec<PluginError>,
    /// What is loaded only where it's needed, and what has become of that.
    later: Vec<Candidate>,
    late: OnceCell<Vec<Arc<Plugin>>>,
    disabled: Vec<String>,
    /// Which requirement resolvers are preferred, by name.
    preferred: Vec<String>,
    /// Which runner runs a kind.
    runners: BTreeMap<String, usize>,
    pub(super) downloads: Arc<Downloads>,
    plugin_caches: Option<PathBuf>,
}

impl Catalog {
    /// Loads all plugins: those of `sources`, then those of the host. `instances` is how many run at once at most; `root` is the
    /// directory of the project, which resolvers may read.
    pub async fn load(
        sources: &Sources,
        config: &Config,
        instances: u32,
        root: &Path,
    ) -> Result<Self, PluginError> {
        let compiled = sources.cache.as_ref().map(|cache| cache.join("compiled"));
        let compiler =
            Compiler::new(instances, compiled.as_deref()).map_err(|error| PluginError::Engine {
                message: format!("{error:#}"),
            })?;
        let place: Arc<Path> = root.into();
        let root = Dir::open_ambient_dir(root, cap_std::ambient_authority()).map_err(|source| {
            PluginError::Read {
                path: root.to_path_buf(),
                source,
            }
        })?;
        let mut catalog = Self {
            compiler,
            limits: Limits::from_config(config),
            workers: Workers::default(),
            root: Arc::new(root),
            plugins: Vec::new(),
            failures: Vec::new(),
            later: Vec::new(),
            late: OnceCell::new(),
            disabled: config.texts("plugins.disable"),
            preferred: config.texts("plugins.requirement-resolver.order"),
            runners: BTreeMap::new(),
            downloads: Arc::new(Downloads::new(config, sources.cache.as_deref(), &place)),
            plugin_caches: sources.cache.as_ref().map(|cache| cache.join("plugins")),
            place,
        };
        for candidate in candidates(sources)? {
            if candidate.may_wait() {
                catalog.later.push(candidate);
                continue;
            }
            match catalog.load_one(&candidate).await {
                Ok(plugin) if catalog.is_disabled(&plugin) => {}
                Ok(plugin) => catalog.plugins.push(Arc::new(plugin)),
                Err(error) => catalog.failures.push(error),
            }
        }
        catalog.choose(config);
        Ok(catalog)
    }

    /// Reads and loads the component in one file, outside of any catalog's choice.
    pub async fn inspect(&self, path: &Path) -> Result<Plugin, PluginError> {
        self.load_one(&Candidate::file(path)).await
    }

    /// A store whose messages go to the host's own log.
    pub(super) fn store(&self, label: String) -> wasmtime::Store<State> {
        let target = Box::new(move |level: Level, message: &str| match level {
            Level::Error | Level::Warn => tracing::warn!("{label}: {message}"),
            Level::Info => tracing::info!("{label}: {message}"),
            _ => tracing::debug!("{label}: {message}"),
        });
        State::store(
            &self.compiler.engine,
            &self.limits,
            Log::new(target, self.limits.log_bytes),
        )
    }

    /// A store whose instance may act on a task, and whose messages go to its log.
    pub(super) fn task_store(&self, host: Arc<dyn TaskHost>) -> wasmtime::Store<State> {
        let log = Arc::clone(&host);
        let target = Box::new(move |level: Level, message: &str| log.log(level, message));
        let log = Log::new(target, self.limits.log_bytes);
        let mut store = State::store(&self.compiler.engine, &self.limits, log);
        store.data_mut().task = Some(TaskPower {
            host,
            bytes_left: self.limits.status_bytes,
        });
        store
    }

    /// Puts the plugins into the order in which they are preferred: as configured, then by the order that resolvers give
    /// themselves, then as found.
    fn choose(&mut self, config: &Config) {
        let configured = |plugin: &Plugin| {
            let order = config.texts(&format!("plugins.{}.order", plugin.world.name()));
            order
                .iter()
                .position(|name| *name == plugin.name)
                .unwrap_or(usize::MAX)
        };
        let own = |plugin: &Plugin| match plugin.world {
            World::Resolver => -plugin
                .more
                .get("order")
                .and_then(serde_json::Value::as_i64)
                .unwrap_or(50),
            _ => 0,
        };
        self.plugins.sort_by(|a, b| {
            let by_name = match a.world {
                World::Resolver => a.name.cmp(&b.name),
                _ => std::cmp::Ordering::Equal,
            };
            (a.world, configured(a), own(a))
                .cmp(&(b.world, configured(b), own(b)))
                .then(by_name)
        });
        for (index, plugin) in self.plugins.iter().enumerate() {
            if plugin.world == World::Runner {
                for kind in &plugin.kinds {
                    self.runners.entry(kind.clone()).or_insert(index);
                }
            }
        }
    }

    /// Loads what sees to requirements. Before that only plugins of the user are found for them.
    pub async fn load_requirement_resolvers(&self) {
        let load = async {
            let mut late = Vec::new();
            for candidate in &self.later {
                match self.load_one(candidate).await {
                    Ok(plugin) if self.is_disabled(&plugin) => {}
                    Ok(plugin) => late.push(Arc::new(plugin)),
                    // It is part of this program.
                    Err(error) => tracing::error!("{error}"),
                }
            }
            late
        };
        self.late.get_or_init(|| load).await;
    }

    fn is_disabled(&self, plugin: &Plugin) -> bool {
        let name = format!("{}.{}", plugin.world.name(), plugin.name);
        self.disabled.contains(&name)
    }

    /// All plugins that are loaded, those of each world in the order in which they are preferred.
    pub fn plugins(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        let mut all: Vec<&Arc<Plugin>> = self.plugins.iter().chain(self.late()).collect();
        all.sort_by_key(|plugin| (plugin.world, self.preference(plugin)));
        all.into_iter()
    }

    fn late(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.late.get().into_iter().flatten()
    }

    /// Of requirement resolvers, the place in the configured order; the others are in order already.
    fn preference(&self, plugin: &Plugin) -> usize {
        if plugin.world != World::RequirementResolver {
            return 0;
        }
        let mut preferred = self.preferred.iter();
        let place = preferred.position(|name| *name == plugin.name);
        place.unwrap_or(usize::MAX)
    }

    /// The plugins that could not be loaded.
    pub fn failures(&self) -> &[PluginError] {
        &self.failures
    }

    /// The resolvers, in the order in which they are asked.
    pub fn resolvers(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins
            .iter()
            .filter(|plugin| plugin.world == World::Resolver)
    }

    /// Threads for what computes in plugins.
    pub fn threads(&self) -> tokio::runtime::Handle {
        self.workers.handle()
    }

    /// Spawns on the current runtime what calls plugins now and then; should one compute for long, that is done on
    /// [`Catalog::threads`].
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.workers.spawn(future);
    }

    /// The runner for a kind.
    pub fn runner(&self, kind: &str) -> Option<&Arc<Plugin>> {
        let index = self.runners.get(kind)?;
        self.plugins.get(*index)
    }

    /// The requirement resolver for a kind.
    pub fn requirement_resolver(&self, kind: &str) -> Option<&Arc<Plugin>> {
        let mut all = self.plugins();
        all.find(|plugin| {
            plugin.world == World::RequirementResolver && plugin.kinds.iter().any(|own| own == kind)
        })
    }

    fn serving(&self, world: World, kind: &str) -> Option<&Arc<Plugin>> {
        match world {
            World::Runner => self.runner(kind),
            World::RequirementResolver => self.requirement_resolver(kind),
            World::Resolver | World::Varianter | World::Scheduler | World::ResultFormat => None,
        }
    }

    /// What a plugin may keep from job to job; none where nothing is kept.
    pub(super) fn cache_of(&self, plugin: &Plugin) -> Option<CachePower> {
        let directory = self.plugin_caches.as_ref()?;
        let name = format!("{}.{}", plugin.world.name(), plugin.name);
        Some(CachePower::new(directory.join(name)))
    }

    /// The schedulers, the most preferred of one name first.
    pub fn schedulers(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        let all = self.plugins.iter();
        all.filter(|plugin| plugin.world == World::Scheduler)
    }

    /// The varianters, the most preferred of one name first.
    pub fn varianters(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        let all = self.plugins.iter();
        all.filter(|plugin| plugin.world == World::Varianter)
    }

    /// The result format with this name.
    pub fn format(&self, name: &str) -> Option<&Arc<Plugin>> {
        self.formats().find(|plugin| plugin.name == name)
    }

    /// The result formats, one for each name.
    pub fn formats(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        let mut seen = Vec::new();
        self.plugins.iter().filter(move |plugin| {
            plugin.world == World::ResultFormat && !seen.contains(&plugin.name) && {
                seen.push(plugin.name.clone());
                true
            }
        })
    }

    /// The kinds for which another plugin is preferred to this one.
    pub fn shadowed<'a>(&'a self, plugin: &'a Plugin) -> impl Iterator<Item = &'a str> {
        plugin
            .kinds
            .iter()
            .filter(|kind| {
                self.serving(plugin.world, kind)
                    .is_some_and(|chosen| chosen.digest != plugin.digest)
            })
            .map(String::as_str)
    }

    /// The settings that any plugin declared.
    pub fn settings(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .plugins()
            .flat_map(|plugin| plugin.settings.iter().cloned())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}
