//! Owns what one plugin is granted, as data. Does not know which grants there are (each power names
//! its own), nor how they are written in a lock (`trust`).

use std::fmt;
use std::path::{Component, Path};

use crate::contract::world::World;

/// A kind of grant: what a lock entry or the command line names for a power.
pub struct Grant {
    /// Name in lock files and on the command line.
    pub name: &'static str,
    /// Placeholder of one value in messages: `HOST`.
    pub parameter: &'static str,
    /// The value of a grant that is written without one; none if a value is required.
    pub default: Option<&'static str>,
    /// The value that built-in plugins have; none where they are not granted this.
    pub(crate) built_in: Option<&'static str>,
    /// Checks one value.
    ///
    /// Returns why a value would grant nothing, or something else than it says.
    pub(crate) check: fn(&str) -> Result<(), String>,
    /// The worlds whose plugins may have the grant without importing the power, because it limits
    /// what others do for them (provenance).
    pub(crate) provenance: &'static [World],
    /// The values to propose to a user whose jobs use a spawner; none for the default, or else the
    /// placeholder.
    pub(crate) propose: Option<fn(spawner: &str) -> String>,
    /// What the grant allows, as docs/trust.md says it.
    pub summary: &'static str,
}

impl Grant {
    /// Returns the grant to propose to a user who has to write one: `fetch=HOST`. With `spawner`,
    /// the configured one, the proposed command works as it stands.
    pub fn proposal(&self, spawner: &str) -> String {
        let values = match self.propose {
            Some(propose) => propose(spawner),
            None => self.default.unwrap_or(self.parameter).to_owned(),
        };
        format!("{}={values}", self.name)
    }
}

impl PartialEq for Grant {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Grant {}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What one plugin is granted: the values of each grant, in the order in which grants are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(pub(crate) Vec<(&'static Grant, Vec<String>)>);

/// The value that grants everything of its kind.
const ANY: &str = "*";

impl Grants {
    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the values of a grant; none where it is not granted.
    pub fn of(&self, grant: &Grant) -> &[String] {
        self.get(grant).unwrap_or(&[])
    }

    /// Returns the values of a grant, if it is granted at all.
    pub(crate) fn get(&self, grant: &Grant) -> Option<&[String]> {
        let mut all = self.0.iter();
        let (_, values) = all.find(|(granted, _)| *granted == grant)?;
        Some(values)
    }

    /// Whether a grant has this value, or any (`*`).
    pub(crate) fn allows(&self, grant: &Grant, value: &str) -> bool {
        let mut values = self.of(grant).iter();
        values.any(|listed| listed == ANY || listed == value)
    }
}

impl fmt::Display for Grants {
    /// Formats grants as on the command line, separated by spaces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (index, (grant, values)) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{}={}", grant.name, values.join(","))?;
        }
        Ok(())
    }
}

/// Whether a path, by its words alone, stays in the working directory.
pub(crate) fn is_below_working_directory(path: &Path) -> bool {
    let is_inner = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    path.components().all(is_inner)
}
