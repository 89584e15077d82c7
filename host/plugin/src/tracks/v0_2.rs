//! The track 0.2 of the contract, `wit/0.2/`: its descriptor, its generated types, their conversion
//! to the host's own, and what its worlds call. Nothing outside of this folder knows any of them.

mod bindings;
mod convert;
mod describe;
mod exports;
mod link;
mod powers;
mod worlds;

use semver::Version;

use crate::tracks::track::Track;

const V0_2_0: Version = Version::new(0, 2, 0);

/// The descriptor of the track.
pub(crate) static TRACK: Track = Track {
    newest: V0_2_0,
    interfaces: &[
        ("types", V0_2_0),
        ("plugin", V0_2_0),
        ("log", V0_2_0),
        ("workspace", V0_2_0),
        ("process", V0_2_0),
        ("messages", V0_2_0),
        ("artifacts", V0_2_0),
        ("artifact-list", V0_2_0),
        ("cases", V0_2_0),
        ("poll", V0_2_0),
        ("monotonic-clock", V0_2_0),
        ("pages", V0_2_0),
        ("batch", V0_2_0),
        ("fetch", V0_2_0),
        ("cache", V0_2_0),
        ("report-output", V0_2_0),
        ("resolve", V0_2_0),
        ("vary", V0_2_0),
        ("run", V0_2_0),
        ("run-program", V0_2_0),
        ("run-batch", V0_2_0),
        ("list-tests", V0_2_0),
        ("fulfil", V0_2_0),
        ("schedule", V0_2_0),
        ("format", V0_2_0),
    ],
    link: powers::link,
    describe: |context, store, component, exported| {
        Box::pin(describe::describe(context, store, component, exported))
    },
    link_part: link::link_part,
};

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::interface_name::version_of;
    use crate::contract::world::CONTRACT;

    /// The interfaces of a WIT file with the versions of their gates.
    fn gates(wit: &str) -> Vec<(String, Version)> {
        let mut since = None;
        let mut found = Vec::new();
        for line in wit.lines() {
            if let Some(gate) = line.strip_prefix("@since(version = ") {
                since = Version::parse(gate.trim_end_matches(')')).ok();
            } else if let Some(name) = line.strip_prefix("interface ") {
                let name = name.trim_end_matches(" {").to_owned();
                found.push((name, since.take().unwrap()));
            }
        }
        found
    }

    #[test]
    fn table_has_the_gates_of_the_contract() {
        let files = [
            include_str!("../../../../wit/0.2/types.wit"),
            include_str!("../../../../wit/0.2/powers.wit"),
            include_str!("../../../../wit/0.2/worlds.wit"),
        ];
        let mut expected: Vec<_> = files.iter().flat_map(|wit| gates(wit)).collect();
        expected.sort();
        let table = TRACK.interfaces.iter();
        let mut table: Vec<_> = table
            .map(|(name, since)| ((*name).to_owned(), since.clone()))
            .collect();
        table.sort();
        assert_eq!(table, expected);
        assert!(table.iter().all(|(_, since)| *since <= TRACK.newest));
        let package = format!("package persea:plugin@{};", TRACK.newest);
        assert!(files.iter().all(|wit| wit.starts_with(&package)));
        assert_eq!(TRACK.newest.to_string(), CONTRACT);
    }

    #[test]
    fn track_has_older_and_newer_versions() {
        let has = |text: &str| TRACK.has(&version_of(text).unwrap());
        assert!(has("0.2.0") && has("0.2.7") && has("0.2"));
        assert!(!has("0.3.0") && !has("0.1.9") && !has("1") && !has("0.2.1-rc.1"));
    }
}
