//! What a plugin says of itself, held to what its binary and its lock say. It must not know how it was asked.

use serde::{Deserialize, Serialize};

use crate::contract::bindings::types;
use crate::contract::convert::{self, Full, Room};
use crate::trust::lock::Entry;
use crate::trust::manifest::Manifest;
use persea_model::Attributes;

/// The contract's record of that name, which see.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) summary: String,
    pub(crate) kinds: Vec<String>,
    pub(crate) settings: Vec<String>,
    pub(crate) more: Attributes,
}

impl Description {
    pub(crate) fn new(said: types::Description, room: &mut Room) -> Result<Self, Full> {
        Ok(Self {
            name: said.name,
            version: said.version,
            summary: said.summary,
            kinds: said.kinds,
            settings: said.settings,
            more: convert::attributes(said.more, room)?,
        })
    }
}

/// Whether a description is one.
pub(crate) fn check(description: &Description, manifest: &Manifest) -> Result<(), String> {
    let name = &description.name;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(format!(
            "its name is {name:?}, and a name has at most 64 lower case letters, digits and hyphens"
        ));
    }
    if semver::Version::parse(&description.version).is_err() {
        return Err(format!(
            "its version is {:?}, which is no version such as 1.2.3",
            description.version
        ));
    }
    if manifest.world.is_chosen_by_kind() && description.kinds.is_empty() {
        return Err(format!(
            "a {} names the kinds that it serves, and it names none",
            manifest.world.name()
        ));
    }
    Ok(())
}

/// Whether a plugin calls itself as its lock does, and serves or makes no other kinds than that has. The same bytes need not always say the
/// same.
pub(crate) fn is_as_locked(description: &Description, entry: &Entry) -> Result<(), String> {
    if description.name != entry.name {
        return Err(format!("its name is `{}`", description.name));
    }
    let mut kinds = description.kinds.iter();
    match kinds.find(|kind| !entry.kinds.contains(kind)) {
        Some(kind) => Err(format!("it names the kind `{kind}`")),
        None => Ok(()),
    }
}
