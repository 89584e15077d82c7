//! Owns what a plugin says about itself, and whether that is a valid description. Does not know
//! about how the plugin was asked.

use serde::{Deserialize, Serialize};

use crate::contract::bindings::types;
use crate::contract::convert::{self, AnswerBudget, OverBudget};
use crate::contract::world::World;
use persea_model::Attributes;

/// The longest name of a plugin, in bytes.
const LONGEST_NAME: usize = 64;

/// The record `description` of the contract, as the host keeps it.
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
    pub(crate) fn new(
        answer: types::Description,
        budget: &mut AnswerBudget,
    ) -> Result<Self, OverBudget> {
        Ok(Self {
            name: answer.name,
            version: answer.version,
            summary: answer.summary,
            kinds: answer.kinds,
            settings: answer.settings,
            more: convert::attributes(answer.more, budget)?,
        })
    }

    /// Checks the description of a plugin of this world.
    ///
    /// # Errors
    /// What is wrong with it, for a message that names the plugin.
    pub(crate) fn check(&self, world: World) -> Result<(), String> {
        let name = &self.name;
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_plain) {
            return Err(format!(
                "its name is {name:?}, and a name has at most {LONGEST_NAME} lower case letters, \
                 digits and hyphens"
            ));
        }
        if semver::Version::parse(&self.version).is_err() {
            return Err(format!(
                "its version is {:?}, which is no version such as 1.2.3",
                self.version
            ));
        }
        if world.is_chosen_by_kind() && self.kinds.is_empty() {
            return Err(format!(
                "a {} names the kinds that it serves, and it names none",
                world.name()
            ));
        }
        Ok(())
    }
}
