//! Owns the order in which plugins are preferred: as configured, then by the order that resolvers
//! give themselves, then as found.

use std::sync::Arc;

use crate::contract::world::World;
use crate::worlds::plugin::Plugin;
use persea_config::Config;

/// The order of a resolver that gives itself none.
const RESOLVER_ORDER: i64 = 50;

/// Sorts plugins by world, and those of a world by preference, the most preferred first.
pub(crate) fn sort(plugins: &mut [Arc<Plugin>], config: &Config) {
    plugins.sort_by_cached_key(|plugin| {
        let (own_order, name) = match plugin.world {
            World::Resolver => (-resolver_order(plugin), plugin.name.clone()),
            World::Lister
            | World::Varianter
            | World::Scheduler
            | World::Runner
            | World::RequirementResolver
            | World::ResultFormat => (0, String::new()),
        };
        let configured = configured_rank(config, plugin);
        (plugin.world, configured, own_order, name)
    });
}

/// Returns the rank that the setting `plugins.WORLD.order` gives a plugin; the lowest comes first.
pub(crate) fn configured_rank(config: &Config, plugin: &Plugin) -> usize {
    let order = config.raw_texts(&format!("plugins.{}.order", plugin.world.name()));
    let rank = order.iter().position(|name| *name == plugin.name);
    rank.unwrap_or(usize::MAX)
}

fn resolver_order(plugin: &Plugin) -> i64 {
    let order = plugin.more.get("order");
    order
        .and_then(persea_model::Attribute::as_i64)
        .unwrap_or(RESOLVER_ORDER)
}
