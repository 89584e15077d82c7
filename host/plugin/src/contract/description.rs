//! Owns what a plugin says about itself, and whether that is a valid description. Does not know
//! about how the plugin was asked.

use std::collections::BTreeSet;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::contract::convert::{self, AnswerBudget, ConvertError};
use crate::contract::data;
use crate::contract::interface_name::PACKAGE;
use crate::contract::known_keys::{self, nearest};
use crate::contract::limits::PLUGIN_NAME;
use crate::contract::setting::Setting;
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
        answer: data::Description,
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
        let mut keys = BTreeSet::new();
        for setting in &self.settings {
            setting.check()?;
            if !keys.insert(&setting.key) {
                return Err(format!("it declares the setting `{}` twice", setting.key));
            }
        }
        Ok(())
    }

    /// Returns the least version of the contract whose names in `more` the plugin relies on; none
    /// where it says none.
    pub(crate) fn least_contract(&self) -> Option<Version> {
        let text = self.more.get(CONTRACT_KEY).and_then(Attribute::as_str)?;
        Version::parse(text).ok()
    }

    /// Returns what the author of the plugin should look at, a line each: what the host ignores.
    pub(crate) fn remarks(&self, exported: &[Role]) -> Vec<String> {
        let mut remarks = Vec::new();
        let mut keys = |what: &str, more: &Attributes, known: &[&str]| {
            for name in more.keys().filter(|name| !known.contains(&name.as_str())) {
                let perhaps = match nearest(name, known) {
                    Some(known) => format!("; perhaps it is `{known}`"),
                    None => String::new(),
                };
                remarks.push(format!("the name `{name}` in {what} is unknown{perhaps}"));
            }
        };
        keys("`description.more`", &self.more, known_keys::OF_DESCRIPTION);
        for setting in &self.settings {
            let what = format!("the `more` of the setting `{}`", setting.key);
            keys(&what, &setting.more, known_keys::OF_SETTING);
        }
        for described in &self.roles {
            if let Some(role) = Role::parse(&described.name) {
                let what = format!("the `more` of the role `{}`", described.name);
                keys(&what, &described.more, known_keys::of_role(role));
            }
        }
        for described in &self.roles {
            if Role::parse(&described.name).is_none() {
                let all = Role::ALL.map(Role::name);
                let perhaps = match nearest(&described.name, &all) {
                    Some(known) => format!("; perhaps it is `{known}`"),
                    None => String::new(),
                };
                remarks.push(format!("the role `{}` is unknown{perhaps}", described.name));
            }
        }
        let is_named = |role: &&Role| self.roles.iter().any(|it| it.name == role.name());
        for role in exported.iter().filter(|role| !is_named(role)) {
            remarks.push(format!(
                "the export `{PACKAGE}{}` is not used: the plugin does not name the role `{}`",
                role.interface(),
                role.name()
            ));
        }
        remarks
    }

    /// Returns the parts of a component with these exports: one for each world in which the host
    /// calls it.
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
                    "its role `{name}` names no kinds, and the host chooses such a plugin by kind"
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn description(roles: &str, more: &str) -> Description {
        let text = format!(
            r#"{{"name": "x", "version": "1.0.0", "summary": "", "roles": {roles},
                "settings": [], "more": {more}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn role(name: &str, kinds: &[&str]) -> String {
        serde_json::json!({"name": name, "kinds": kinds, "more": {}}).to_string()
    }

    fn parts(roles: &[String], exported: &[Role]) -> Result<Vec<Part>, String> {
        description(&format!("[{}]", roles.join(",")), "{}").parts(exported)
    }

    #[test]
    fn batch_runner_adds_kinds_to_the_runner() {
        let exported = [Role::Runner, Role::BatchRunner, Role::Resolver];
        let roles = [
            role("batch-runner", &["a"]),
            role("resolver", &["*"]),
            role("teleport", &[]),
            role("runner", &["a", "b"]),
        ];
        let parts = parts(&roles, &exported).unwrap();
        let [resolver, runner] = parts.as_slice() else {
            panic!("{parts:?}");
        };
        assert_eq!(
            (resolver.world, runner.world),
            (World::Resolver, World::Runner)
        );
        assert_eq!(runner.kinds, ["a", "b"]);
        assert_eq!(runner.batch_kinds, ["a"]);
    }

    #[test]
    fn role_of_a_wrong_shape_is_refused_by_name() {
        let all = || Role::ALL.to_vec();
        for (roles, exported, words) in [
            (
                vec![role("lister", &["a"])],
                vec![Role::Runner],
                "`persea:plugin/list-tests`",
            ),
            (
                vec![role("runner", &[])],
                all(),
                "its role `runner` names no kinds",
            ),
            (
                vec![role("runner", &["a"]), role("runner", &["b"])],
                all(),
                "the role `runner` twice",
            ),
            (
                vec![role("runner", &["a"]), role("program-runner", &["b"])],
                all(),
                "both roles `runner` and `program-runner`",
            ),
            (
                vec![role("batch-runner", &["a"])],
                all(),
                "without the role `runner`",
            ),
            (
                vec![role("runner", &["a"]), role("batch-runner", &["b"])],
                all(),
                "the kind `b`, which its role `runner`",
            ),
            (vec![], all(), "it names no role"),
            (
                vec![role("teleport", &[])],
                all(),
                "no role that this host knows: teleport",
            ),
        ] {
            let refused = parts(&roles, &exported).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn least_contract_is_a_version() {
        let least = |more: &str| {
            let description = description("[]", more);
            description.check().map(|()| description.least_contract())
        };
        assert_eq!(least("{}"), Ok(None));
        let newer = Version::new(0, 2, 1);
        assert_eq!(least(r#"{"contract": "0.2.1"}"#), Ok(Some(newer)));
        for wrong in [r#"{"contract": "0.2"}"#, r#"{"contract": 2}"#] {
            assert!(
                least(wrong)
                    .unwrap_err()
                    .contains("which is no version such as")
            );
        }
    }

    #[test]
    fn setting_is_declared_once() {
        let setting = |key: &str, shape: &str| {
            serde_json::json!({
                "key": key, "shape": shape, "default-value": null, "summary": "", "more": {}
            })
        };
        let check = |settings: serde_json::Value| {
            let mut description = description("[]", "{}");
            description.settings = serde_json::from_value(settings).unwrap();
            description.check()
        };
        let two = [setting("x.a", "text"), setting("x.b", "text")];
        assert_eq!(check(two.into_iter().collect()), Ok(()));
        let twice = [setting("x.a", "text"), setting("x.a", "integer")];
        let refused = check(twice.into_iter().collect()).unwrap_err();
        assert_eq!(refused, "it declares the setting `x.a` twice");
    }

    #[test]
    fn what_the_host_ignores_is_named() {
        let roles = r#"[{"name": "result-format", "kinds": [], "more": {"event": [], "x": 1}},
                        {"name": "listr", "kinds": [], "more": {}}]"#;
        let description = description(roles, r#"{"contrct": "0.2.0"}"#);
        assert_eq!(
            description.remarks(&[Role::ResultFormat, Role::Varianter]),
            [
                "the name `contrct` in `description.more` is unknown; perhaps it is `contract`",
                "the name `event` in the `more` of the role `result-format` is unknown; perhaps it \
                 is `events`",
                "the name `x` in the `more` of the role `result-format` is unknown",
                "the role `listr` is unknown; perhaps it is `lister`",
                "the export `persea:plugin/vary` is not used: the plugin does not name the role \
                 `varianter`",
            ]
        );
    }
}
