//! Owns the names of interfaces in the contract's package, as components write them, with their
//! versions. Does not know which interfaces or versions there are.

use semver::Version;

/// The package of the contract.
pub(crate) const PACKAGE: &str = "persea:plugin/";

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
pub(crate) fn version_of(text: &str) -> Option<Version> {
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
    use super::*;

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
