//! Owns references `cargo:DIR?OPTION&OPTION`: a directory, and options for cargo. Does not know
//! what cargo makes of them.

use persea_exec_command::options::{flag, needed, split};
use std::fmt::Write as _;

/// The beginning of every reference.
pub(crate) const SCHEME: &str = "cargo:";

/// A parsed reference.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CargoReference {
    /// The directory of a package or a workspace: absolute, or relative to the project.
    pub(crate) directory: String,
    /// Options of cargo that choose what is built and how, for tests and documentation tests:
    /// packages, features, profile.
    pub(crate) shared: Vec<String>,
    /// Options of cargo that choose among a package's targets, such as `--lib`. Documentation tests
    /// have no part in that.
    pub(crate) targets: Vec<String>,
    /// The target triple for which cargo builds, if it is not the host's.
    pub(crate) triple: Option<String>,
    /// Options of cargo that choose packages. A documentation test is of one package.
    pub(crate) packages: Vec<String>,
    /// Whether documentation tests are among the tests.
    pub(crate) has_doctests: bool,
    /// The only texts that names of tests may contain; empty for all tests.
    pub(crate) filters: Vec<String>,
}

/// What an option takes.
#[derive(Clone, Copy, PartialEq)]
enum Takes {
    Nothing,
    Value,
}

/// What an option of cargo chooses.
#[derive(Clone, Copy, PartialEq)]
enum Chooses {
    Build,
    Packages,
    Targets,
}

/// The options of cargo that a reference may have.
const OPTIONS: [(&str, Takes, Chooses); 23] = [
    ("all-features", Takes::Nothing, Chooses::Build),
    ("all-targets", Takes::Nothing, Chooses::Targets),
    ("bench", Takes::Value, Chooses::Targets),
    ("benches", Takes::Nothing, Chooses::Targets),
    ("bin", Takes::Value, Chooses::Targets),
    ("bins", Takes::Nothing, Chooses::Targets),
    ("example", Takes::Value, Chooses::Targets),
    ("examples", Takes::Nothing, Chooses::Targets),
    ("exclude", Takes::Value, Chooses::Packages),
    ("features", Takes::Value, Chooses::Build),
    ("frozen", Takes::Nothing, Chooses::Build),
    ("jobs", Takes::Value, Chooses::Build),
    ("lib", Takes::Nothing, Chooses::Targets),
    ("locked", Takes::Nothing, Chooses::Build),
    ("no-default-features", Takes::Nothing, Chooses::Build),
    ("offline", Takes::Nothing, Chooses::Build),
    ("package", Takes::Value, Chooses::Packages),
    ("profile", Takes::Value, Chooses::Build),
    ("release", Takes::Nothing, Chooses::Build),
    ("target", Takes::Value, Chooses::Build),
    ("test", Takes::Value, Chooses::Targets),
    ("tests", Takes::Nothing, Chooses::Targets),
    ("workspace", Takes::Nothing, Chooses::Packages),
];

/// The option that says whether documentation tests are among the tests.
const DOC: &str = "doc";
/// The option with a text that names of tests must contain.
const FILTER: &str = "filter";

impl CargoReference {
    /// A command of cargo for this reference, to be typed in the project's directory.
    pub(crate) fn shown(&self, command: &str) -> String {
        let mut shown = format!("cargo {command}");
        if self.directory != "." {
            let _ = write!(shown, " --manifest-path {}/Cargo.toml", self.directory);
        }
        if command != "metadata" {
            let all = self
                .shared
                .iter()
                .chain(&self.packages)
                .chain(&self.targets);
            for option in all {
                shown.push(' ');
                shown.push_str(option);
            }
        }
        shown
    }

    /// Parses a reference.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix(SCHEME).unwrap_or(text);
        let (directory, options) = split(rest)?;
        let mut reference = Self {
            directory: match directory.trim_end_matches('/') {
                "" if directory.starts_with('/') => "/".to_owned(),
                "" => ".".to_owned(),
                directory => directory.to_owned(),
            },
            ..Self::default()
        };
        let mut doc = None;
        for (name, value) in options {
            match name {
                DOC => doc = Some(flag(name, value.as_deref())?),
                FILTER => reference.filters.push(needed(name, value)?),
                _ => reference.add(name, value)?,
            }
        }
        reference.has_doctests = doc.unwrap_or(reference.targets.is_empty());
        Ok(reference)
    }

    /// Adds an option of cargo.
    fn add(&mut self, name: &str, value: Option<String>) -> Result<(), String> {
        let known = OPTIONS.iter().find(|(known, _, _)| *known == name);
        let Some((_, takes, chooses)) = known else {
            return Err(unknown(name));
        };
        let options = match chooses {
            Chooses::Build => &mut self.shared,
            Chooses::Packages => &mut self.packages,
            Chooses::Targets => &mut self.targets,
        };
        match takes {
            Takes::Nothing if flag(name, value.as_deref())? => options.push(format!("--{name}")),
            Takes::Nothing => {}
            Takes::Value => {
                let value = needed(name, value)?;
                options.push(format!("--{name}={value}"));
                if name == "target" {
                    self.triple = Some(value);
                }
            }
        }
        Ok(())
    }

    /// The path of the manifest in the directory.
    pub(crate) fn manifest(&self) -> String {
        match self.directory.as_str() {
            "." => "Cargo.toml".to_owned(),
            "/" => "/Cargo.toml".to_owned(),
            directory => format!("{directory}/Cargo.toml"),
        }
    }
}

fn unknown(name: &str) -> String {
    let mut message = format!("unknown option `{name}`; there are {DOC}, {FILTER}");
    for (known, _, _) in OPTIONS {
        // Writing into a text cannot fail.
        let _ = write!(message, ", {known}");
    }
    message
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str) -> CargoReference {
        CargoReference::parse(text).unwrap()
    }

    #[test]
    fn directory_may_be_left_out_and_encoded() {
        for (text, directory, manifest) in [
            ("cargo:", ".", "Cargo.toml"),
            ("cargo:.", ".", "Cargo.toml"),
            ("cargo:a/b/", "a/b", "a/b/Cargo.toml"),
            ("cargo:/", "/", "/Cargo.toml"),
            ("cargo:a%3Fb%25", "a?b%", "a?b%/Cargo.toml"),
        ] {
            let reference = parse(text);
            assert_eq!(reference.directory, directory, "{text}");
            assert_eq!(reference.manifest(), manifest, "{text}");
            assert!(reference.has_doctests, "{text}");
        }
    }

    #[test]
    fn options_become_those_of_cargo() {
        let text = "cargo:.?features=a,b&package=x&exclude=y&release&locked=false&lib&target=t";
        let reference = parse(text);
        assert_eq!(
            reference.shared,
            ["--features=a,b", "--release", "--target=t"]
        );
        assert_eq!(reference.packages, ["--package=x", "--exclude=y"]);
        assert_eq!(reference.targets, ["--lib"]);
        assert_eq!(reference.triple.as_deref(), Some("t"));
    }

    #[test]
    fn documentation_tests_are_left_out_where_targets_are_chosen() {
        assert!(!parse("cargo:.?tests").has_doctests);
        assert!(parse("cargo:.?tests&doc").has_doctests);
        assert!(!parse("cargo:.?doc=false").has_doctests);
    }

    #[test]
    fn invalid_option_is_named() {
        for (text, words) in [
            (
                "cargo:.?colour=red",
                "unknown option `colour`; there are doc, filter, all-features",
            ),
            ("cargo:.?features", "option `features` needs a value"),
            (
                "cargo:.?release=1",
                "option `release` must be true or false, not 1",
            ),
            ("cargo:a%2", "`a%2` has a % without two digits"),
            ("cargo:%ff", "not UTF-8"),
        ] {
            let why = CargoReference::parse(text).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }
}
