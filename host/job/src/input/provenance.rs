//! Whose act a task is: *what runs because a plugin said so counts as that plugin's own act.* Owns what follows from that before a task is run.
//! It must not know how a plugin came to say it.
//!
//! A plugin that is not the host's own says what runs by a runnable that it makes, a parameter, or a variable. Such a task starts processes
//! only where the plugin itself might. Variables are those of requirement resolvers: see `requirements`.

use std::fmt;
use std::sync::Arc;

use persea_config::Config;
use persea_config::settings;
use persea_model::Runnable;
use persea_plugin::{Catalog, Plugin, World};
use persea_spawner::descriptor;

/// The plugins that have made runnables, as a resolver or a varianter, and are not the host's own.
#[derive(Clone, Default)]
pub struct Makers {
    plugins: Vec<Arc<Plugin>>,
    /// So many of the requirements of each, the first, are others'.
    others: usize,
}

/// What the tasks of some makers may not do in a job, and why.
pub(crate) struct Hold {
    /// To start processes.
    runs: Option<String>,
    /// To require what starts processes.
    requires: Option<String>,
    /// To require what takes the network.
    network: Option<String>,
    others: usize,
}

/// Whether the environments of a job have no network of their own accord.
pub(crate) fn is_offline(config: &Config) -> bool {
    let spawner = descriptor(config.get(settings::RUN_SPAWNER));
    !(spawner.has_network)(config)
}

impl Makers {
    /// This one alone.
    pub(crate) fn only(plugin: &Arc<Plugin>) -> Self {
        let mut makers = Self::default();
        makers.add(plugin);
        makers
    }

    /// This one too.
    pub(crate) fn add(&mut self, plugin: &Arc<Plugin>) {
        if !plugin.is_built_in() {
            self.plugins.push(Arc::clone(plugin));
        }
    }

    /// By what they are known, all together; none where only the host's own have a part in it.
    pub(crate) fn digests(&self) -> Option<Arc<str>> {
        let all: Vec<&str> = self.plugins.iter().filter_map(|it| it.owner()).collect();
        (!all.is_empty()).then(|| all.join(" ").into())
    }

    /// Others have put so many requirements before those that the makers know of.
    pub(crate) fn others(&mut self, count: usize) {
        self.others = count;
    }

    /// What keeps their tasks from something; none where nothing does, as where the host's own have made them.
    pub(crate) fn hold(&self, config: &Config) -> Option<Arc<Hold>> {
        if self.plugins.is_empty() {
            return None;
        }
        let spawner = config.get(settings::RUN_SPAWNER).name();
        // Parameters reach the task only, and nothing that it requires.
        let resolvers = || self.plugins.iter().filter(|it| it.world == World::Resolver);
        let mut all = self.plugins.iter();
        let hold = Hold {
            runs: all.find_map(|maker| maker.may_use(spawner).err()),
            requires: resolvers().find_map(|maker| maker.may_use(spawner).err()),
            network: match is_offline(config) {
                true => resolvers().find_map(|maker| maker.may_reach_network().err()),
                false => None,
            },
            others: self.others,
        };
        let holds = [&hold.runs, &hold.requires, &hold.network];
        let holds = holds.into_iter().any(Option::is_some);
        holds.then(|| Arc::new(hold))
    }
}

impl Hold {
    /// Whether such a task may be run, with what its makers say that it requires.
    pub(crate) fn check(
        &self,
        runnable: &Runnable,
        runner: &Plugin,
        catalog: &Catalog,
    ) -> Result<(), String> {
        let starts = |plugin: &Plugin| plugin.manifest.starts_processes();
        if let Some(why) = self.runs.as_ref().filter(|_| starts(runner)) {
            return Err(why.clone());
        }
        for requirement in runnable.requirements.iter().skip(self.others) {
            // Where there is none, that is said by who looks for it.
            let Some(resolver) = catalog.requirement_resolver(&requirement.kind) else {
                continue;
            };
            let requires = self.requires.as_ref().filter(|_| starts(resolver));
            let network = || self.network.as_ref().filter(|_| resolver.wants_network());
            if let Some(why) = requires.or_else(network) {
                return Err(format!("requirement `{}`: {why}", requirement.kind));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Makers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.plugins.iter().map(|maker| maker.label());
        f.debug_list().entries(labels).finish()
    }
}
