//! Owns the events of requirements. Does not know when a requirement is fulfilled or released.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use persea_model::{Attribute, Attributes, Requirement, Scope};

/// A requirement resolver begins to check and fulfil a requirement.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequirementStarted<'a> {
    /// The requirement's id, unique in its job: `2-package-jq`.
    pub id: Cow<'a, str>,
    /// The name that people know the requirement by.
    pub name: Cow<'a, str>,
    /// The requirement.
    pub requirement: Cow<'a, Requirement>,
    /// How long the requirement is kept fulfilled.
    pub scope: Scope,
    /// The name of the requirement resolver.
    pub resolver: Cow<'a, str>,
    /// The version of the requirement resolver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolver_version: Option<Cow<'a, str>>,
    /// For a requirement of one task: the leases that the task holds, by the resource's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leases: BTreeMap<Cow<'a, str>, Vec<Cow<'a, str>>>,
    /// For a requirement of one task: the task's variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Cow<'a, Attribute>>,
    /// The spawner in whose environment the requirement is fulfilled; none for this machine itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spawner: Option<Cow<'a, str>>,
}

/// A requirement is absent and is about to be fulfilled: from now on there may be something to
/// release.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequirementAbsent<'a> {
    /// The requirement's id.
    pub id: Cow<'a, str>,
}

/// How a requirement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequirementState {
    /// The requirement was there already.
    Present,
    /// The requirement resolver has fulfilled it.
    Fulfilled,
    /// The requirement is not met, and nothing was changed.
    Failed,
    /// The requirement is not met, and how much was changed is not known.
    Unknown,
}

/// A requirement resolver has ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequirementFinished {
    /// The requirement's id.
    pub id: String,
    /// How the requirement stands.
    pub state: RequirementState,
    /// Why the requirement is not met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long the resolver took, in nanoseconds.
    pub elapsed: u64,
    /// What the resolver needs to release the requirement; none where it has not answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fulfilled: Option<Attributes>,
    /// The name of the snapshot of the environment that has the requirement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
}

/// An attempt to fulfil a requirement has failed because of its environment, and another attempt
/// follows. Nothing is to release: the resolver has undone what it changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequirementRetried {
    /// The requirement's id.
    pub id: String,
    /// Why the requirement is not met.
    pub reason: String,
    /// How long the attempt took, in nanoseconds.
    pub elapsed: u64,
    /// The number of attempts so far.
    pub attempts: usize,
}

/// A requirement was released, or could not be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequirementReleased {
    /// The requirement's id.
    pub id: String,
    /// Why it could not be released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long the release took, in nanoseconds.
    pub elapsed: u64,
}
