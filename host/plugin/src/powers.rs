//! The powers that a plugin may be given: one interface of the contract each, one file each.
//!
//! Owns the list of powers: adding one is a file here and a line in [`ALL`]. Does not know about
//! plugins; a component's imports, its world and its grants decide what it gets.

use wasmtime::component::{HasSelf, Linker};

use crate::contract::bindings::types;
use crate::contract::world::World;
use crate::instance::grants::Grant;
use crate::instance::state::InstanceState;

pub(crate) mod batch;
pub(crate) mod cache;
pub(crate) mod descriptor;
pub(crate) mod fetch;
pub(crate) mod files;
pub(crate) mod log;
pub(crate) mod output;
pub(crate) mod process;
pub(crate) mod status;
pub(crate) mod task;
pub(crate) mod wasi;
pub(crate) mod workspace;

use descriptor::Power;

/// All powers of the contract, in the order in which messages list them.
pub(crate) static ALL: [&Power; 8] = [
    &log::POWER,
    &process::POWER,
    &status::POWER,
    &batch::POWER,
    &workspace::POWER,
    &fetch::POWER,
    &cache::POWER,
    &output::POWER,
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

/// Links the contract's types, and these powers and no others.
pub(crate) fn link(
    linker: &mut Linker<InstanceState>,
    powers: &[&'static Power],
) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    powers.iter().try_for_each(|power| (power.link)(linker))
}

impl types::Host for InstanceState {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The imports of a world of `wit/worlds.wit`, apart from `types`.
    fn imports(wit: &str, world: &str) -> Vec<String> {
        let start = format!("\nworld {world} {{\n");
        let (_, rest) = wit.split_once(&start).unwrap();
        let (body, _) = rest.split_once('}').unwrap();
        let imports = body.lines().filter_map(|line| {
            let import = line.trim().strip_prefix("import ")?;
            Some(import.trim_end_matches(';').to_owned())
        });
        imports.collect()
    }

    #[test]
    fn powers_offer_each_world_what_the_contract_lets_it_import() {
        let wit = include_str!("../../../wit/worlds.wit");
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
