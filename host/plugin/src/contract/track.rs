//! Owns the tracks of the contract: the versions that are compatible with one another, which
//! interfaces each has, and since when. Does not know how a track is linked or called; `worlds` has
//! an adapter for each.

use semver::Version;

/// The package of the contract.
pub(crate) const PACKAGE: &str = "persea:plugin/";

/// The versions of the contract that are compatible with one another: those with one major version,
/// or from 0.0 to 0.9 those with one minor version.
#[derive(Debug)]
pub(crate) struct Track {
    /// The newest version that this host has.
    pub(crate) newest: Version,
    /// Each interface with the version that added it.
    pub(crate) interfaces: &'static [(&'static str, Version)],
}

const V0_2_0: Version = Version::new(0, 2, 0);

/// The track 0.2, `wit/0.2/`.
pub(crate) static V0_2: Track = Track {
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
};

/// All tracks of this host.
pub(crate) static TRACKS: &[&Track] = &[&V0_2];

impl Track {
    /// Whether a version belongs to the track, also one that is newer than the host's. A prerelease
    /// is compatible with itself only.
    pub(crate) fn has(&self, version: &Version) -> bool {
        let newest = &self.newest;
        version.pre == newest.pre
            && version.major == newest.major
            && (version.major > 0 || version.minor == newest.minor)
    }

    /// Returns the version that added an interface; none for one that this host does not know.
    pub(crate) fn since(&self, interface: &str) -> Option<&'static Version> {
        let mut all = self.interfaces.iter();
        let (_, since) = all.find(|(name, _)| *name == interface)?;
        Some(since)
    }
}

/// A name in the contract's package, such as `persea:plugin/run@0.2.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InterfaceName<'a> {
    /// The interface: `run`.
    pub(crate) interface: &'a str,
    /// The version; none where the name has none that can be read.
    pub(crate) version: Option<Version>,
}

impl<'a> InterfaceName<'a> {
    /// The full name of an interface.
    pub(crate) fn full(interface: &str, version: &Version) -> String {
        format!("{PACKAGE}{interface}@{version}")
    }

    /// Reads a name; none for one of another package.
    pub(crate) fn parse(name: &'a str) -> Option<Self> {
        let rest = name.strip_prefix(PACKAGE)?;
        Some(match rest.split_once('@') {
            Some((interface, version)) => Self {
                interface,
                version: version_of(version),
            },
            None => Self {
                interface: rest,
                version: None,
            },
        })
    }
}

/// Reads the version of a name: `0.2.1`, or canonical, `0.2` and `1`, which stand for a whole
/// track.
fn version_of(text: &str) -> Option<Version> {
    let number = |text: &str| text.parse::<u64>().ok();
    let canonical = || match text.split_once('.') {
        Some(("0", minor)) => Some(Version::new(0, number(minor)?, 0)),
        Some(_) => None,
        None => number(text)
            .filter(|major| *major > 0)
            .map(|major| Version::new(major, 0, 0)),
    };
    Version::parse(text).ok().or_else(canonical)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
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
        let table = V0_2.interfaces.iter();
        let mut table: Vec<_> = table
            .map(|(name, since)| ((*name).to_owned(), since.clone()))
            .collect();
        table.sort();
        assert_eq!(table, expected);
        assert!(table.iter().all(|(_, since)| *since <= V0_2.newest));
        let package = format!("package persea:plugin@{};", V0_2.newest);
        assert!(files.iter().all(|wit| wit.starts_with(&package)));
        assert_eq!(V0_2.newest.to_string(), CONTRACT);
    }

    #[test]
    fn track_has_older_and_newer_versions() {
        let has = |text: &str| V0_2.has(&version_of(text).unwrap());
        assert!(has("0.2.0") && has("0.2.7") && has("0.2"));
        assert!(!has("0.3.0") && !has("0.1.9") && !has("1") && !has("0.2.1-rc.1"));
    }

    #[test]
    fn canonical_versions_are_read() {
        for (text, version) in [
            ("0.2.1", Some(Version::new(0, 2, 1))),
            ("0.2", Some(Version::new(0, 2, 0))),
            ("1", Some(Version::new(1, 0, 0))),
            ("1.2", None),
            ("0", None),
            ("x", None),
        ] {
            assert_eq!(version_of(text), version, "{text}");
        }
    }
}
