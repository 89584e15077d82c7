//! Owns how grants are written, read, compared and checked, on the command line and in a lock. Does
//! not know about files, or how a power is held to its grant.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::instance::grants::{Grant, Grants};
use crate::powers;

fn names() -> String {
    let all = powers::grants().into_iter();
    let names: Vec<String> = all.map(|grant| format!("`{}`", grant.name)).collect();
    names.join(", ")
}

fn named(name: &str) -> Option<&'static Grant> {
    let mut all = powers::grants().into_iter();
    all.find(|grant| grant.name == name)
}

/// Checks that a value of a grant can exist. It would grant nothing otherwise, or something else
/// than it says.
fn check(grant: &Grant, value: &str) -> Result<(), String> {
    let checked = match value.is_empty() || value.contains(char::is_control) {
        true => Err("that is no name".to_owned()),
        false => (grant.check)(value),
    };
    checked.map_err(|why| format!("`{}={value}`: {why}", grant.name))
}

impl Grants {
    /// The grants of the host's own plugins.
    pub(crate) fn of_built_in() -> Self {
        let mut grants = Self::default();
        for grant in powers::grants() {
            if let Some(value) = grant.built_in {
                grants.set(grant, vec![value.to_owned()]);
            }
        }
        grants
    }

    /// Reads grants as they are written on the command line: `process`, `process=sandbox,process`,
    /// `fetch=*.example.org`.
    ///
    /// # Errors
    /// A grant or a value that does not exist, for a message.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, String> {
        let mut grants = Self::default();
        for text in texts {
            let text = text.as_ref();
            let (name, values) = match text.split_once('=') {
                Some((name, values)) => (name, Some(values)),
                None => (text, None),
            };
            let grant = named(name)
                .ok_or_else(|| format!("`{name}` cannot be granted: there are {}", names()))?;
            let values: Vec<String> = match values {
                Some(values) => values
                    .split(',')
                    .map(|value| value.trim().to_owned())
                    .collect(),
                None => grant.default.map(str::to_owned).into_iter().collect(),
            };
            if values.is_empty() || values.iter().any(String::is_empty) {
                return Err(format!(
                    "`{text}` names nothing: write it as `{}={}`",
                    grant.name, grant.parameter
                ));
            }
            let mut all = grants.of(grant).to_vec();
            all.extend(values);
            all.sort();
            all.dedup();
            grants.set(grant, all);
        }
        grants.check()?;
        Ok(grants)
    }

    /// Checks the values of all grants.
    ///
    /// # Errors
    /// What is wrong with one, for a message.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (grant, values) in &self.0 {
            if values.is_empty() {
                let Grant {
                    name, parameter, ..
                } = grant;
                return Err(format!("`{name}` names nothing: it takes {parameter}"));
            }
            values.iter().try_for_each(|value| check(grant, value))?;
        }
        Ok(())
    }

    /// Sets the values of a grant, and keeps the order of all grants.
    fn set(&mut self, grant: &'static Grant, values: Vec<String>) {
        self.0.retain(|(granted, _)| *granted != grant);
        self.0.push((grant, values));
        let order = powers::grants();
        self.0
            .sort_by_key(|(granted, _)| order.iter().position(|grant| grant == granted));
    }

    /// Returns these grants as options of a command, with other values of one grant:
    /// ` --grant process=sandbox,container,process`.
    pub(crate) fn options_with(&self, grant: &'static Grant, values: &[&str]) -> String {
        let mut all = self.clone();
        let values = values.iter().map(|value| (*value).to_owned());
        all.set(grant, values.collect());
        let options = all.0.iter();
        options
            .map(|(grant, values)| format!(" --grant {}={}", grant.name, values.join(",")))
            .collect()
    }

    /// Replaces these grants by other ones, grant by grant.
    pub fn replace(&mut self, other: &Self) {
        for (grant, values) in &other.0 {
            self.set(grant, values.clone());
        }
    }
}

impl Serialize for Grants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (grant, values) in &self.0 {
            map.serialize_entry(grant.name, values)?;
        }
        map.end()
    }
}

/// The name of a grant in a lock file.
struct GrantName(&'static Grant);

impl<'de> Deserialize<'de> for GrantName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let unknown = || D::Error::custom(format!("unknown grant `{name}`, there are {}", names()));
        named(&name).map(Self).ok_or_else(unknown)
    }
}

impl<'de> Deserialize<'de> for Grants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = Grants;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of grants")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Grants, A::Error> {
                let mut grants = Grants::default();
                while let Some((GrantName(grant), values)) = table.next_entry()? {
                    grants.set(grant, values);
                }
                Ok(grants)
            }
        }
        deserializer.deserialize_map(Table)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use persea_model::SpawnerKind;

    use super::*;
    use crate::instance::environment::VARIABLES;
    use crate::powers::fetch::HOSTS;
    use crate::powers::process::SPAWNERS;

    fn grants(texts: &[&str]) -> Grants {
        Grants::parse(texts).unwrap()
    }

    #[test]
    fn grant_without_a_value_has_its_default_or_is_refused() {
        assert_eq!(grants(&["process"]).of(&SPAWNERS), ["sandbox"]);
        let several = grants(&["fetch=b.example.org, a.example.org", "workspace"]);
        assert_eq!(
            several.to_string(),
            "workspace=. fetch=a.example.org,b.example.org"
        );
        assert_eq!(
            Grants::parse(&["fetch"]).unwrap_err(),
            "`fetch` names nothing: write it as `fetch=HOST`"
        );
        assert!(Grants::parse(&["fetch=a,,b"]).is_err());
        assert!(
            Grants::parse(&["root"])
                .unwrap_err()
                .contains("`root` cannot be granted: there are `process`, ")
        );
    }

    #[test]
    fn star_allows_any_value() {
        let grants = grants(&["process", "environment=*"]);
        assert!(grants.allows(&SPAWNERS, "sandbox"));
        assert!(!grants.allows(&SPAWNERS, "process"));
        assert!(grants.allows(&VARIABLES, "HOME"));
        assert!(!grants.allows(&HOSTS, "example.org"));
    }

    #[test]
    fn value_that_grants_nothing_is_refused() {
        let wrong = |text: &str| Grants::parse(&[text]).unwrap_err();
        assert_eq!(
            wrong("process=nonsense"),
            format!(
                "`process=nonsense`: expected `*`, {}",
                SpawnerKind::EXPECTED
            )
        );
        for (text, words) in [
            ("workspace=../x", "no directory of the project"),
            ("workspace=/etc", "no directory of the project"),
            ("workspace=*", "no directory of the project"),
            ("environment=A=B", "no variable's name"),
            ("environment=A*", "no variable's name"),
            ("fetch=https://example.org", "no host's name"),
            ("fetch=example.org:80", "no host's name"),
            ("fetch=[nonsense]", "no host's name"),
            ("programs=a\nb", "no name"),
            ("directories=:write", "no directory"),
        ] {
            assert!(wrong(text).contains(words), "{text}: {}", wrong(text));
        }
        for right in [
            "process=*",
            "workspace=a/./b",
            "environment=*",
            "fetch=*,*.example.org,10.0.0.1,[::1],file,.",
            "directories=/a b:write",
        ] {
            Grants::parse(&[right]).unwrap();
        }
        let empty: Grants = serde_json::from_str(r#"{"process": []}"#).unwrap();
        assert_eq!(
            empty.check().unwrap_err(),
            "`process` names nothing: it takes SPAWNER"
        );
    }

    #[test]
    fn project_grants_reading_its_own_directories_only() {
        let within = grants(&["directories=in,./a/b,.", "fetch=*"]);
        assert_eq!(within.beyond_project(), None);
        for beyond in ["in:write", "/etc", "../x", "in/../../x", "/:write"] {
            let grants = grants(&["directories=in", &format!("directories={beyond}")]);
            assert_eq!(grants.beyond_project(), Some(beyond));
        }
    }
}
