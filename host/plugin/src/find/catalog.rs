//! The plugins that there are, where each came from, and which one serves what.
//!
//! Owns choosing among them; how one is loaded is in `load`. A plugin that cannot be loaded is kept as a failure: the others work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::Dir;
use tokio::sync::OnceCell;

use crate::PluginError;
use crate::find::loader::Loader;
use crate::find::sources::{Candidate, Sources, Trust};
use crate::instance::state::State;
use crate::instance::terms::{JobMemory, Terms};
use crate::instance::workers::Workers;
use crate::powers::cache::CachePower;
use crate::powers::log::{Level, Log};
use crate::powers::task::{TaskHost, TaskPower};
use crate::powers::workspace::{Views, Workspace, views};
use crate::trust::grants::Power;
use crate::trust::manifest::World;
use crate::worlds::linked::Pre;
use crate::worlds::plugin::{Origin, Plugin};
use persea_config::settings;
use persea_config::{Config, of_result_format};
use persea_download::Downloads;
use persea_system::private::is_own;

/// All plugins.
pub struct Catalog {
    loader: Arc<Loader>,
    workers: Workers,
    root: Dir,
    /// The whole project, as most see it.
    whole: Views,
    place: Arc<Path>,
    plugins: Vec<Arc<Plugin>>,
    failures: Vec<PluginError>,
    /// What is loaded only where it's needed, and what has become of that.
    later: Vec<Candidate>,
    late: OnceCell<Vec<Arc<Plugin>>>,
    disabled: Vec<String>,
    /// The settings of the plugins that are not used: it is no mistake to set them.
    disabled_settings: Vec<String>,
    /// Which requirement resolvers are preferred, by name.
    preferred: Vec<String>,
    /// Which runner runs a kind.
    runners: BTreeMap<String, usize>,
    downloads: Arc<Downloads>,
    plugin_caches: Option<PathBuf>,
}

/// Where plugins keep what they keep; none where others could put something there.
fn for_plugins(cache: &Path) -> Option<PathBuf> {
    let path = cache.join("plugins");
    match path.symlink_metadata() {
        Ok(meta) if !meta.is_dir() || !is_own(&meta) => {
            tracing::warn!(
                "what plugins keep is not kept: {} must belong to you, and nobody else may write to it",
                path.display()
            );
            None
        }
        _ => Some(path),
    }
}

/// The settings that a plugin declares, and those that the host has for it as a result format.
fn declared(plugin: &Plugin) -> impl Iterator<Item = String> {
    let format = plugin.world == World::ResultFormat;
    let hosts = format.then(|| of_result_format(&plugin.name));
    plugin
        .settings
        .iter()
        .cloned()
        .chain(hosts.into_iter().flatten())
}

/// Loading a plugin has panicked.
fn is_bug(plugin: &str) -> PluginError {
    PluginError::Load {
        plugin: plugin.to_owned(),
        message: "the host failed while it loaded it; this is a bug".to_owned(),
    }
}

impl Catalog {
    /// With no plugins in it. `instances` is how many run at once at most; `root` is the directory of the project, which resolvers
    /// may read.
    pub fn bare(
        sources: Sources,
        config: &Config,
        instances: u32,
        root: &Path,
    ) -> Result<Self, PluginError> {
        let place: Arc<Path> = root.into();
        let root = Dir::open_ambient_dir(root, cap_std::ambient_authority()).map_err(|source| {
            PluginError::Read {
                path: root.to_path_buf(),
                source,
            }
        })?;
        Ok(Self {
            workers: Workers::default(),
            whole: views(&root, &[".".to_owned()]).into(),
            root,
            plugins: Vec::new(),
            failures: Vec::new(),
            later: Vec::new(),
            late: OnceCell::new(),
            disabled: config.get(settings::PLUGINS_DISABLE),
            disabled_settings: Vec::new(),
            preferred: config.get(settings::PLUGINS_REQUIREMENT_RESOLVER_ORDER),
            runners: BTreeMap::new(),
            downloads: Arc::new(Downloads::new(config, sources.cache.as_deref(), &place)),
            plugin_caches: sources.cache.as_deref().and_then(for_plugins),
            place,
            loader: Arc::new(Loader::new(sources, config, instances)?),
        })
    }

    /// The memory that the tasks of the job take.
    pub fn memory(&self) -> &JobMemory {
        &self.loader.memory
    }

    /// What loads plugins.
    pub fn loader(&self) -> &Loader {
        &self.loader
    }

    /// Loads all plugins, several at once: those that were found and may be used, then those of the host.
    pub async fn load(&mut self) -> Result<(), PluginError> {
        let all = self.loader.sources.candidates()?.into_iter();
        let (later, now): (Vec<_>, Vec<_>) =
            all.partition(|candidate| self.loader.may_wait(candidate));
        self.later = later;
        for loaded in self.load_all(now).await {
            match loaded {
                Ok(plugin) if self.is_disabled(&plugin) => {
                    self.disabled_settings.extend(declared(&plugin))
                }
                Ok(plugin) => self.plugins.push(Arc::new(plugin)),
                Err(error) => self.failures.push(error),
            }
        }
        self.keep_built_in_formats();
        self.choose();
        Ok(())
    }

    async fn load_all(&self, candidates: Vec<Candidate>) -> Vec<Result<Plugin, PluginError>> {
        let threads = self.workers.handle();
        let load = |candidate: Candidate| {
            let loader = Arc::clone(&self.loader);
            let label = candidate.label.clone();
            let loading = threads.spawn(async move { loader.load_one(&candidate).await });
            (label, loading)
        };
        let loading: Vec<_> = candidates.into_iter().map(load).collect();
        let mut loaded = Vec::with_capacity(loading.len());
        for (plugin, loading) in loading {
            loaded.push(loading.await.unwrap_or_else(|_| Err(is_bug(&plugin))));
        }
        loaded
    }

    /// A plugin's linked component, which is loaded now if it was known without.
    pub(crate) async fn linked<'a>(&self, plugin: &'a Plugin) -> Result<&'a Pre, PluginError> {
        match plugin.pre.get() {
            Some(pre) => Ok(pre),
            // Apart, as it's done once.
            None => Box::pin(plugin.pre.get_or_try_init(|| self.link(plugin))).await,
        }
    }

    async fn link(&self, plugin: &Plugin) -> Result<Pre, PluginError> {
        let loader = Arc::clone(&self.loader);
        let (manifest, digest) = (plugin.manifest.clone(), plugin.digest.clone());
        let label = plugin.label().to_owned();
        let link = move || loader.link_built_in(&label, &manifest, &digest);
        // It may take long: the compiled code may be gone.
        let linking = self.threads().spawn(async move { link() });
        linking
            .await
            .unwrap_or_else(|_| Err(is_bug(plugin.label())))
    }

    /// A report of a built-in format's name is that format's, unless a lock says otherwise.
    fn keep_built_in_formats(&mut self) {
        let formats = self.plugins.iter();
        let formats = formats.filter(|plugin| plugin.world == World::ResultFormat);
        let built_in = formats.filter(|plugin| plugin.trust == Trust::BuiltIn);
        let names: Vec<String> = built_in.map(|plugin| plugin.name.clone()).collect();
        let failures = &mut self.failures;
        self.plugins.retain(|plugin| match &plugin.origin {
            Origin::File(path)
                if plugin.world == World::ResultFormat
                    && plugin.trust == Trust::Unlocked
                    && names.contains(&plugin.name) =>
            {
                failures.push(PluginError::Displaces {
                    plugin: plugin.label().to_owned(),
                    path: path.clone(),
                });
                false
            }
            _ => true,
        });
    }

    /// What a plugin may see of the project.
    pub(crate) fn workspace(&self, plugin: &Plugin) -> Workspace {
        let views = match plugin.terms.grants.of(Power::Workspace) {
            [all] if all == "." => Arc::clone(&self.whole),
            parts => views(&self.root, parts).into(),
        };
        Workspace::new(views, Arc::clone(&self.place))
    }

    /// The downloads that a plugin may ask for.
    pub(crate) fn downloads_of(&self, plugin: &Plugin) -> Arc<Downloads> {
        match plugin.trust {
            Trust::BuiltIn => Arc::clone(&self.downloads),
            _ => Arc::new(
                self.downloads
                    .only_from(plugin.terms.grants.of(Power::Fetch)),
            ),
        }
    }

    pub(crate) fn engine(&self) -> &wasmtime::Engine {
        &self.loader.compiler.engine
    }

    /// A store whose instance may act on a task, and whose messages go to its log.
    pub(crate) fn task_store(
        &self,
        terms: &Arc<Terms>,
        host: Arc<dyn TaskHost>,
    ) -> wasmtime::Store<State> {
        let log = Arc::clone(&host);
        let target = Box::new(move |level: Level, message: &str| log.log(level, message));
        let log = Log::new(target, &terms.limits);
        let mut store = State::store(self.engine(), terms, log);
        store.data_mut().task = Some(TaskPower::new(host, &terms.limits));
        store
    }

    /// Puts the plugins into the order in which they are preferred: as configured, then by the order that resolvers give
    /// themselves, then as found.
    fn choose(&mut self) {
        let config = &self.loader.config;
        let configured = |plugin: &Plugin| {
            let order = config.raw_texts(&format!("plugins.{}.order", plugin.world.name()));
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
            for loaded in self.load_all(self.later.clone()).await {
                match loaded {
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
    pub(crate) fn cache_of(&self, plugin: &Plugin) -> Option<CachePower> {
        let directory = self.plugin_caches.as_ref()?;
        let mut name = format!("{}.{}", plugin.world.name(), plugin.name);
        // Anybody can give a plugin a name: what the others of that name keep is not for it.
        if !plugin.is_built_in() {
            let digest = plugin.digest.get(..16).unwrap_or(&plugin.digest);
            name = format!("{name}-{digest}");
        }
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

    /// The settings that any plugin declared, and those that the host has for each result format; also of those that are not used.
    pub fn settings(&self) -> Vec<String> {
        let own = self.plugins().flat_map(|plugin| declared(plugin));
        let mut names: Vec<String> = own.chain(self.disabled_settings.iter().cloned()).collect();
        names.sort();
        names.dedup();
        names
    }
}
