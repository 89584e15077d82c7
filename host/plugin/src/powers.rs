//! The powers that a plugin may be given: one interface of the contract each, one file each.
//!
//! Owns the list of powers: adding one is a file here and a line in [`ALL`]. Does not know about
//! plugins; a component's imports, its world and its grants decide what it gets. Does not know
//! about generated types either; each track converts them.

use crate::contract::world::World;
use crate::instance::grants::Grant;

pub(crate) mod artifact_list;
pub(crate) mod artifacts;
pub(crate) mod batch;
pub(crate) mod cache;
pub(crate) mod cases;
mod command_options;
pub(crate) mod descriptor;
pub(crate) mod fetch;
mod files;
mod handles;
pub(crate) mod log;
pub(crate) mod messages;
pub(crate) mod monotonic_clock;
pub(crate) mod pages;
mod permission;
pub(crate) mod poll;
pub(crate) mod process;
pub(crate) mod report_output;
pub(crate) mod task;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod wasi;
pub(crate) mod workspace;

use descriptor::Power;

/// All powers of the contract, in the order in which messages list them.
pub(crate) static ALL: [&Power; 14] = [
    &log::POWER,
    &process::POWER,
    &messages::POWER,
    &artifacts::POWER,
    &artifact_list::POWER,
    &cases::POWER,
    &poll::POWER,
    &monotonic_clock::POWER,
    &pages::POWER,
    &batch::POWER,
    &workspace::POWER,
    &fetch::POWER,
    &cache::POWER,
    &report_output::POWER,
];

/// Returns the powers that a plugin of this world may import.
pub(crate) fn offered(world: World) -> impl Iterator<Item = &'static Power> {
    let all = ALL.into_iter();
    all.filter(move |power| power.worlds.contains(&world))
}

/// Returns all grants, in the order in which lock files and messages list them. A grant of several
/// powers stands at the last of them.
pub(crate) fn grants() -> Vec<&'static Grant> {
    let mut grants: Vec<&'static Grant> = Vec::new();
    for power in ALL.into_iter().chain([&wasi::POWER]) {
        for grant in power.grants() {
            grants.retain(|earlier| *earlier != grant);
            grants.push(grant);
        }
    }
    grants
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The imports of a world of `wit/0.2/worlds.wit`, with those of the worlds that it includes.
    fn imports(wit: &str, world: &str) -> Vec<String> {
        let start = format!("\nworld {world} {{\n");
        let (_, rest) = wit.split_once(&start).unwrap();
        let (body, _) = rest.split_once("\n}").unwrap();
        let names = |keyword: &'static str| {
            let lines = body
                .lines()
                .filter_map(move |line| line.trim().strip_prefix(keyword));
            lines.map(|name| name.trim_end_matches(';').to_owned())
        };
        let included = names("include ").flat_map(|world| imports(wit, &world));
        names("import ").chain(included).collect()
    }

    #[test]
    fn powers_offer_each_world_what_the_contract_lets_it_import() {
        let wit = include_str!("../../../wit/0.2/worlds.wit");
        for world in World::ALL {
            // The worlds of the contract that are one kind of plugin for the host.
            let of_contract: &[&str] = match world {
                World::Runner => &["runner", "program-runner", "batch-runner"],
                world => &[world.name()],
            };
            let mut expected: Vec<String> = of_contract
                .iter()
                .flat_map(|world| imports(wit, world))
                .collect();
            expected.sort();
            expected.dedup();
            let mut names: Vec<&str> = offered(world).map(|power| power.name).collect();
            names.sort_unstable();
            assert_eq!(names, expected, "{}", world.name());
        }
    }

    #[test]
    fn contract_has_an_interface_for_each_power() {
        let wit = include_str!("../../../wit/0.2/powers.wit");
        for power in ALL {
            let interface = format!("\ninterface {} {{", power.name);
            assert!(wit.contains(&interface), "{}", power.name);
        }
    }

    #[test]
    fn book_has_a_row_for_each_grant() {
        let book = include_str!("../../../docs/trust.md");
        for grant in grants() {
            let default = grant.default.map_or("".to_owned(), |it| format!("`{it}` "));
            let row = format!(
                "| `{}` | `{}` | {default}| {}",
                grant.name, grant.parameter, grant.summary
            );
            assert!(book.contains(&row), "docs/trust.md lacks the row: {row}");
        }
    }

    #[test]
    fn book_says_of_each_power_whether_it_needs_a_grant() {
        let book = include_str!("../../../docs/plugins.md");
        for power in ALL {
            let start = format!("| `{}` | ", power.name);
            let end = match power.grant {
                Some(_) => " | yes |",
                None => " | no |",
            };
            let is_row = |line: &str| line.starts_with(&start) && line.ends_with(end);
            assert!(book.lines().any(is_row), "{start}…{end}");
        }
    }

    #[test]
    fn book_lists_the_powers_of_each_world() {
        let book = include_str!("../../../docs/plugins.md");
        for world in World::ALL {
            let names = offered(world).map(|power| format!("`{}`", power.name));
            let names: Vec<String> = names.collect();
            let start = format!("| `{}` | ", world.name());
            let end = format!(" | {} |", names.join(", "));
            let is_row = |line: &str| line.starts_with(&start) && line.ends_with(&end);
            assert!(book.lines().any(is_row), "{start}…{end}");
        }
    }
}
