//! Owns the provenance of tasks: a task may do no more than the plugins that produced it. It is
//! checked before the task runs. Does not know how a plugin produced it.
//!
//! A third-party plugin influences what runs by a runnable that it returns, a parameter or a
//! variable. Such a task starts processes only where the plugin itself may. Variables come from
//! requirement resolvers: see `requirements`.

use std::fmt;
use std::sync::Arc;

use persea_config::Config;
use persea_journal::MadeBy;
use persea_model::{Runnable, SpawnerKind};
use persea_plugin::{Catalog, Plugin, World};
use persea_spawner::descriptor;

/// The third-party plugins that produced runnables, as a resolver or a varianter.
#[derive(Clone, Default)]
pub struct Provenance {
    plugins: Vec<Arc<Plugin>>,
    /// The number of leading requirements of each runnable that these plugins did not add.
    foreign_requirements: usize,
}

/// What tasks of some provenance may not do with a spawner, with the reasons.
pub(crate) struct Restrictions {
    /// Why they may not start processes.
    start_processes: Option<String>,
    /// Why they may not require something whose resolver starts processes.
    require_processes: Option<String>,
    /// Why they may not require something whose resolver uses the network.
    require_network: Option<String>,
    foreign_requirements: usize,
}

/// Whether the environments of a spawner have no network by default.
pub(crate) fn is_offline(config: &Config, spawner: SpawnerKind) -> bool {
    !(descriptor(spawner).has_network)(config)
}

impl Provenance {
    /// The provenance of one plugin.
    pub(crate) fn only(plugin: &Arc<Plugin>) -> Self {
        let mut provenance = Self::default();
        provenance.add(plugin);
        provenance
    }

    /// Adds a plugin, unless it is built in.
    pub(crate) fn add(&mut self, plugin: &Arc<Plugin>) {
        if !plugin.is_built_in() {
            self.plugins.push(Arc::clone(plugin));
        }
    }

    /// The digests of the plugins; none if there are none.
    pub(crate) fn digests(&self) -> Option<Arc<str>> {
        let all: Vec<&str> = self.plugins.iter().filter_map(|it| it.owner()).collect();
        (!all.is_empty()).then(|| all.join(" ").into())
    }

    /// The provenance as the journal has it; none where all plugins are built in.
    pub(crate) fn record(&self) -> Option<Arc<MadeBy>> {
        let name = |plugin: &Arc<Plugin>| format!("{} {}", plugin.id(), plugin.digest);
        let plugins: Vec<String> = self.plugins.iter().map(name).collect();
        (!plugins.is_empty()).then(|| {
            Arc::new(MadeBy {
                plugins,
                foreign_requirements: self.foreign_requirements,
            })
        })
    }

    /// The provenance that a journal has.
    ///
    /// # Errors
    /// The plugin that is missing now.
    pub(crate) fn of_record(record: &MadeBy, catalog: &Catalog) -> Result<Self, String> {
        let find = |wanted: &String| {
            let mut all = catalog.plugins();
            let is_wanted = |plugin: &&Arc<Plugin>| {
                let wanted = wanted.split_once(' ');
                wanted == Some((plugin.id().as_str(), plugin.digest.as_str()))
            };
            all.find(is_wanted).cloned().ok_or_else(|| wanted.clone())
        };
        Ok(Self {
            plugins: record.plugins.iter().map(find).collect::<Result<_, _>>()?,
            foreign_requirements: record.foreign_requirements,
        })
    }

    /// Sets the number of leading requirements that these plugins did not add.
    pub(crate) fn set_foreign_requirements(&mut self, count: usize) {
        self.foreign_requirements = count;
    }

    /// The restrictions of tasks of this provenance that run with a spawner; none if nothing is
    /// restricted.
    pub(crate) fn restrictions(
        &self,
        config: &Config,
        spawner: SpawnerKind,
    ) -> Option<Arc<Restrictions>> {
        if self.plugins.is_empty() {
            return None;
        }
        let is_offline = is_offline(config, spawner);
        let spawner = spawner.name();
        // Parameters of a varianter reach the task only, not what it requires.
        let names_requirements =
            |it: &&Arc<Plugin>| matches!(it.world, World::Resolver | World::Lister);
        let resolvers = || self.plugins.iter().filter(names_requirements);
        let mut all = self.plugins.iter();
        let restrictions = Restrictions {
            start_processes: all.find_map(|plugin| plugin.may_use(spawner).err()),
            require_processes: resolvers().find_map(|plugin| plugin.may_use(spawner).err()),
            require_network: match is_offline {
                true => resolvers().find_map(|plugin| plugin.may_reach_network().err()),
                false => None,
            },
            foreign_requirements: self.foreign_requirements,
        };
        let has_any = [
            &restrictions.start_processes,
            &restrictions.require_processes,
            &restrictions.require_network,
        ];
        let has_any = has_any.into_iter().any(Option::is_some);
        has_any.then(|| Arc::new(restrictions))
    }
}

impl Restrictions {
    /// Why this plugin may not be called for a runnable of this provenance.
    pub(crate) fn refusal(&self, plugin: &Plugin) -> Option<&str> {
        let reason = self.start_processes.as_deref();
        reason.filter(|_| plugin.starts_processes())
    }

    /// Whether a task of this provenance may run, with the requirements that its plugins added.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn check(
        &self,
        runnable: &Runnable,
        runner: &Plugin,
        catalog: &Catalog,
    ) -> Result<(), String> {
        let starts = |plugin: &Plugin| plugin.starts_processes();
        if let Some(why) = self.start_processes.as_ref().filter(|_| starts(runner)) {
            return Err(why.clone());
        }
        for requirement in runnable.requirements.iter().skip(self.foreign_requirements) {
            // A missing resolver is reported when the requirements are collected.
            let Some(resolver) = catalog.requirement_resolver(&requirement.kind) else {
                continue;
            };
            let requires = self.require_processes.as_ref().filter(|_| starts(resolver));
            let network = || {
                self.require_network
                    .as_ref()
                    .filter(|_| resolver.wants_network())
            };
            if let Some(why) = requires.or_else(network) {
                return Err(format!("requirement `{}`: {why}", requirement.kind));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.plugins.iter().map(|plugin| plugin.label());
        f.debug_list().entries(labels).finish()
    }
}
