//! Owns which plugins there are in a job, and which of them serves what. A plugin that cannot be
//! loaded is kept as a failure, and the others work. Does not know how a plugin is loaded or
//! called.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::contract::setting::Setting;
use crate::contract::world::World;
use crate::error::PluginError;
use crate::find::loader::{Loader, can_wait};
use crate::find::order::{configured_rank, sort};
use crate::find::sources::{Candidate, Sources};
use crate::instance::memory::JobMemory;
use crate::trust::provenance::{PluginOrigin, Trust};
use crate::worlds::plugin::Plugin;
use persea_config::{Config, of_result_format, settings};

/// All plugins of a job.
pub struct Catalog {
    loader: Arc<Loader>,
    plugins: Vec<Arc<Plugin>>,
    failures: Vec<PluginError>,
    /// The candidates that are loaded when a task needs them.
    deferred: Vec<Candidate>,
    /// The plugins of `deferred`, once they are loaded.
    deferred_plugins: OnceCell<Vec<Arc<Plugin>>>,
    disabled: Vec<String>,
    /// The names of the settings of disabled plugins: known names, which cause no warning.
    disabled_names: Vec<String>,
    /// The settings that disabled plugins declare.
    pub(crate) disabled_settings: Vec<Setting>,
    /// The runner of each kind.
    runners: BTreeMap<String, Arc<Plugin>>,
}

/// Returns the settings that a plugin declares, and those that the host has for it as a result
/// format.
fn declared_settings(plugin: &Plugin) -> impl Iterator<Item = String> {
    let is_format = plugin.world == World::ResultFormat;
    let of_host = is_format.then(|| of_result_format(&plugin.name));
    let own = plugin.setting_names().map(str::to_owned);
    own.chain(of_host.into_iter().flatten())
}

impl Catalog {
    /// A catalog without plugins, for this number of instances at once. `project` is the project's
    /// directory, which resolvers may read.
    pub fn bare(
        sources: Sources,
        config: &Config,
        instances: u32,
        project: &Path,
    ) -> Result<Self, PluginError> {
        Ok(Self {
            loader: Arc::new(Loader::new(sources, config, instances, project)?),
            plugins: Vec::new(),
            failures: Vec::new(),
            deferred: Vec::new(),
            deferred_plugins: OnceCell::new(),
            disabled: config.get(settings::PLUGINS_DISABLE),
            disabled_names: Vec::new(),
            disabled_settings: Vec::new(),
            runners: BTreeMap::new(),
        })
    }

    /// Returns the memory that the job's tasks take.
    pub fn memory(&self) -> &JobMemory {
        &self.loader.runtime().memory
    }

    /// Returns what loads plugins.
    pub fn loader(&self) -> &Loader {
        &self.loader
    }

    /// Loads all plugins that are not deferred, several at once.
    pub async fn load(&mut self) -> Result<(), PluginError> {
        let all = self.loader.candidates()?;
        let (deferred, now): (Vec<_>, Vec<_>) = all.into_iter().partition(can_wait);
        self.deferred = deferred;
        for loaded in self.load_all(now).await {
            match loaded {
                Ok(plugins) => plugins.into_iter().for_each(|plugin| self.add(plugin)),
                Err(error) => self.failures.push(error),
            }
        }
        self.refuse_displacing_formats();
        sort(&mut self.plugins, self.loader.config());
        let mut runners = BTreeMap::new();
        for plugin in self.plugins_of(World::Runner) {
            for kind in &plugin.kinds {
                let runner = runners.entry(kind.clone());
                runner.or_insert_with(|| Arc::clone(plugin));
            }
        }
        self.runners = runners;
        Ok(())
    }

    fn add(&mut self, plugin: Plugin) {
        if !self.is_disabled(&plugin) {
            self.plugins.push(Arc::new(plugin));
            return;
        }
        self.disabled_names.extend(declared_settings(&plugin));
        self.disabled_settings.extend(plugin.settings);
    }

    async fn load_all(&self, candidates: Vec<Candidate>) -> Vec<Result<Vec<Plugin>, PluginError>> {
        let threads = self.threads();
        let load = |candidate: Candidate| {
            let loader = Arc::clone(&self.loader);
            let label = candidate.label();
            let loading = threads.spawn(async move { loader.load(&candidate).await });
            (label, loading)
        };
        let loading: Vec<_> = candidates.into_iter().map(load).collect();
        let mut loaded = Vec::with_capacity(loading.len());
        for (label, loading) in loading {
            let plugin = loading.await;
            loaded.push(plugin.unwrap_or_else(|_| Err(PluginError::loading_panicked(&label))));
        }
        loaded
    }

    /// Removes unlocked result formats that have the name of a built-in one.
    fn refuse_displacing_formats(&mut self) {
        let formats = self.plugins_of(World::ResultFormat);
        let built_in = formats.filter(|plugin| plugin.trust == Trust::BuiltIn);
        let names: BTreeSet<String> = built_in.map(|plugin| plugin.name.clone()).collect();
        let failures = &mut self.failures;
        self.plugins.retain(|plugin| match &plugin.origin {
            PluginOrigin::File(path)
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
            PluginOrigin::File(_) | PluginOrigin::BuiltIn => true,
        });
    }

    /// Loads the built-in requirement resolvers, which [`Catalog::load`] defers.
    pub async fn load_requirement_resolvers(&self) {
        let load = async {
            let mut plugins = Vec::new();
            for loaded in self.load_all(self.deferred.clone()).await {
                match loaded {
                    Ok(loaded) => {
                        let used = loaded.into_iter().filter(|it| !self.is_disabled(it));
                        plugins.extend(used.map(Arc::new));
                    }
                    // The plugin is part of this program.
                    Err(error) => tracing::error!("{error}"),
                }
            }
            plugins
        };
        self.deferred_plugins.get_or_init(|| load).await;
    }

    fn is_disabled(&self, plugin: &Plugin) -> bool {
        self.disabled.contains(&plugin.id())
    }

    /// Returns all loaded plugins, those of each world in the order in which they are preferred.
    pub fn plugins(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        let deferred = self.deferred_plugins.get().into_iter().flatten();
        let mut all: Vec<&Arc<Plugin>> = self.plugins.iter().chain(deferred).collect();
        all.sort_by_key(|plugin| (plugin.world, self.deferred_rank(plugin)));
        all.into_iter()
    }

    /// Returns the configured rank of a requirement resolver, of which some are loaded late.
    /// Plugins of other worlds are in order already.
    fn deferred_rank(&self, plugin: &Plugin) -> usize {
        match plugin.world {
            World::RequirementResolver => configured_rank(self.loader.config(), plugin),
            World::Resolver
            | World::Lister
            | World::Varianter
            | World::Scheduler
            | World::Runner
            | World::ResultFormat => 0,
        }
    }

    /// Returns why plugins could not be loaded.
    pub fn failures(&self) -> &[PluginError] {
        &self.failures
    }

    /// Returns threads for calls into plugins that compute.
    pub fn threads(&self) -> tokio::runtime::Handle {
        self.loader.runtime().workers.handle()
    }

    /// Spawns a future that calls plugins now and then on the current runtime. It moves to
    /// [`Catalog::threads`] when it computes for long.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.loader.runtime().workers.spawn(future);
    }

    fn plugins_of(&self, world: World) -> impl Iterator<Item = &Arc<Plugin>> {
        let all = self.plugins.iter();
        all.filter(move |plugin| plugin.world == world)
    }

    /// Returns the resolvers, in the order in which the host asks them.
    pub fn resolvers(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins_of(World::Resolver)
    }

    /// Returns the lister for a kind.
    pub fn lister(&self, kind: &str) -> Option<&Arc<Plugin>> {
        let mut all = self.plugins_of(World::Lister);
        all.find(|plugin| plugin.kinds.iter().any(|own| own == kind))
    }

    /// Returns the runner for a kind.
    pub fn runner(&self, kind: &str) -> Option<&Arc<Plugin>> {
        self.runners.get(kind)
    }

    /// Returns the requirement resolver for a kind.
    pub fn requirement_resolver(&self, kind: &str) -> Option<&Arc<Plugin>> {
        let mut all = self.plugins();
        all.find(|plugin| {
            plugin.world == World::RequirementResolver && plugin.kinds.iter().any(|own| own == kind)
        })
    }

    /// Returns the schedulers, the most preferred of one name first.
    pub fn schedulers(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins_of(World::Scheduler)
    }

    /// Returns the varianters, the most preferred of one name first.
    pub fn varianters(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins_of(World::Varianter)
    }

    /// Returns the result format with a name.
    pub fn format(&self, name: &str) -> Option<&Arc<Plugin>> {
        self.formats().find(|plugin| plugin.name == name)
    }

    /// Returns the result formats, the most preferred one of each name.
    pub fn formats(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        let mut seen = BTreeSet::new();
        let all = self.plugins_of(World::ResultFormat);
        all.filter(move |plugin| seen.insert(&plugin.name))
    }

    /// Returns the kinds for which another plugin is preferred to this one.
    pub fn shadowed<'a>(&'a self, plugin: &'a Plugin) -> impl Iterator<Item = &'a str> {
        let chosen = |kind: &str| match plugin.world {
            World::Runner => self.runner(kind),
            World::Lister => self.lister(kind),
            World::RequirementResolver => self.requirement_resolver(kind),
            World::Resolver | World::Varianter | World::Scheduler | World::ResultFormat => None,
        };
        let kinds = plugin.kinds.iter().map(String::as_str);
        kinds.filter(move |kind| chosen(kind).is_some_and(|chosen| chosen.digest != plugin.digest))
    }

    /// Returns the settings that all plugins declare, and those that the host has for each result
    /// format, of disabled plugins too.
    pub fn settings(&self) -> Vec<String> {
        let own = self.plugins().flat_map(|plugin| declared_settings(plugin));
        let mut names: Vec<String> = own.chain(self.disabled_names.iter().cloned()).collect();
        names.sort();
        names.dedup();
        names
    }
}
