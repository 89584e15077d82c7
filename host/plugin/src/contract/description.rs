//! Owns what a plugin says about itself, and whether that is a valid description. Does not know
//! about how the plugin was asked.

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::contract::bindings::types;
use crate::contract::convert::{self, AnswerBudget, ConvertError};
use crate::contract::limits::PLUGIN_NAME;
use crate::contract::setting::Setting;
use crate::contract::track::PACKAGE;
use crate::contract::world::{Role, World};
use persea_model::{Attribute, Attributes};

/// The key of `more` with the least version of the contract that the plugin needs.
const CONTRACT_KEY: &str = "contract";

/// The record `description` of the contract, as the host keeps it.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) summary: String,
    pub(crate) roles: Vec<DescribedRole>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) more: Attributes,
}

/// The record `role` of the contract.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DescribedRole {
    pub(crate) name: String,
    pub(crate) kinds: Vec<String>,
    pub(crate) more: Attributes,
}

/// What a component is for the host in one world: the roles of that world in one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) world: World,
    pub(crate) kinds: Vec<String>,
    pub(crate) more: Attributes,
    /// Whether a runner names and judges programs that the host runs.
    pub(crate) is_program_runner: bool,
    /// The kinds of which a runner also runs many tasks on one instance.
    pub(crate) batch_kinds: Vec<String>,
}

impl Description {
    pub(crate) fn new(
        answer: types::Description,
        budget: &mut AnswerBudget,
    ) -> Result<Self, ConvertError> {
        let roles = answer.roles.into_iter();
        let roles = roles.map(|role| {
            let more = convert::attributes(role.more, budget);
            Ok(DescribedRole {
                name: role.name,
                kinds: role.kinds,
                more: more.map_err(|error| error.within("roles.more"))?,
            })
        });
        let roles = roles.collect::<Result<_, ConvertError>>()?;
        let settings = answer.settings.into_iter();
        let settings = settings.map(|setting| Setting::new(setting, budget));
        let settings = settings.collect::<Result<_, ConvertError>>()?;
        let more = convert::attributes(answer.more, budget);
        Ok(Self {
            name: answer.name,
            version: answer.version,
            summary: answer.summary,
            roles,
            settings,
            more: more.map_err(|error| error.within("more"))?,
        })
    }

    /// Checks the description, apart from its roles.
    ///
    /// # Errors
    /// What is wrong with it, for a message that names the plugin.
    pub(crate) fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > PLUGIN_NAME.most || !name.chars().all(is_plain) {
            return Err(format!(
                "its name is {name:?}, and a name has at most {} lower case letters, digits and \
                 hyphens",
                PLUGIN_NAME.most
            ));
        }
        if Version::parse(&self.version).is_err() {
            return Err(format!(
                "its version is {:?}, which is no version such as 1.2.3",
                self.version
            ));
        }
        if let Some(found) = self.more.get(CONTRACT_KEY)
            && self.least_contract().is_none()
        {
            return Err(format!(
                "`{CONTRACT_KEY}` in its `more` is {found}, which is no version such as 0.2.1"
            ));
        }
        self.settings.iter().try_for_each(Setting::check)
    }

    /// Returns the least version of the contract whose names in `more` the plugin relies on; none
    /// where it says none.
    pub(crate) fn least_contract(&self) -> Option<Version> {
        let text = self.more.get(CONTRACT_KEY).and_then(Attribute::as_str)?;
        Version::parse(text).ok()
    }

    /// Returns what the component is for the host, by the roles that the host knows, of a component
    /// with these exports.
    ///
    /// # Errors
    /// What is wrong with a role, for a message that names the plugin.
    pub(crate) fn parts(&self, exported: &[Role]) -> Result<Vec<Part>, String> {
        let mut parts: Vec<Part> = Vec::new();
        let mut seen = Vec::new();
        let known = |role: &DescribedRole| Role::parse(&role.name);
        // The role `batch-runner` adds to the role `runner`, so it comes after that.
        let mut roles: Vec<(Role, &DescribedRole)> = self
            .roles
            .iter()
            .filter_map(|role| Some((known(role)?, role)))
            .collect();
        roles.sort_by_key(|(role, _)| *role);
        for (role, described) in roles {
            let name = role.name();
            if seen.contains(&role) {
                return Err(format!("it names the role `{name}` twice"));
            }
            seen.push(role);
            if !exported.contains(&role) {
                return Err(format!(
                    "it has the role `{name}` and does not export `{PACKAGE}{}`",
                    role.interface()
                ));
            }
            let world = role.world();
            if world.is_chosen_by_kind() && described.kinds.is_empty() {
                return Err(format!(
                    "the role `{name}` names the kinds that it serves, and its role names none"
                ));
            }
            let part = parts.iter_mut().find(|part| part.world == world);
            match (role, part) {
                (Role::BatchRunner, Some(runner)) if !runner.is_program_runner => {
                    let mut kinds = described.kinds.iter();
                    if let Some(kind) = kinds.find(|kind| !runner.kinds.contains(kind)) {
                        return Err(format!(
                            "its role `{name}` names the kind `{kind}`, which its role `runner` \
                             does not name"
                        ));
                    }
                    runner.batch_kinds.clone_from(&described.kinds);
                }
                (Role::BatchRunner, _) => {
                    return Err(format!(
                        "it has the role `{name}` without the role `runner`, which that adds to"
                    ));
                }
                (_, Some(_)) => {
                    return Err(
                        "it has both roles `runner` and `program-runner`; a plugin has one of them"
                            .to_owned(),
                    );
                }
                (_, None) => parts.push(Part {
                    world,
                    kinds: described.kinds.clone(),
                    more: described.more.clone(),
                    is_program_runner: role == Role::ProgramRunner,
                    batch_kinds: Vec::new(),
                }),
            }
        }
        if parts.is_empty() {
            let named: Vec<&str> = self.roles.iter().map(|role| role.name.as_str()).collect();
            return Err(match named.is_empty() {
                true => "it names no role".to_owned(),
                false => format!(
                    "it names no role that this host knows: {}",
                    named.join(", ")
                ),
            });
        }
        parts.sort_by_key(|part| part.world);
        Ok(parts)
    }
}
