//! Owns the conversion between the generated types of the track 0.2 and the host's own. It moves
//! data and checks nothing.

use crate::contract::data;
use crate::tracks::v0_2::bindings::types;
use persea_model::Status;

impl From<types::Value> for data::Value {
    fn from(value: types::Value) -> Self {
        match value {
            types::Value::Null => Self::Null,
            types::Value::Boolean(value) => Self::Boolean(value),
            types::Value::Integer(value) => Self::Integer(value),
            types::Value::Number(value) => Self::Number(value),
            types::Value::Text(text) => Self::Text(text),
            types::Value::Json(text) => Self::Json(text),
        }
    }
}

impl From<data::Value> for types::Value {
    fn from(value: data::Value) -> Self {
        match value {
            data::Value::Null => Self::Null,
            data::Value::Boolean(value) => Self::Boolean(value),
            data::Value::Integer(value) => Self::Integer(value),
            data::Value::Number(value) => Self::Number(value),
            data::Value::Text(text) => Self::Text(text),
            data::Value::Json(text) => Self::Json(text),
        }
    }
}

/// Converts each item; of types of one size, in place.
pub(crate) fn all<T, U: From<T>>(items: Vec<T>) -> Vec<U> {
    items.into_iter().map(U::from).collect()
}

/// Takes a plugin's attributes.
pub(crate) fn attributes(attributes: types::Attributes) -> data::Attributes {
    let attributes = attributes.into_iter();
    attributes
        .map(|(name, value)| (name, value.into()))
        .collect()
}

/// Makes attributes for a plugin.
pub(crate) fn to_attributes(attributes: data::Attributes) -> types::Attributes {
    let attributes = attributes.into_iter();
    attributes
        .map(|(name, value)| (name, value.into()))
        .collect()
}

impl From<types::Error> for data::Error {
    fn from(error: types::Error) -> Self {
        Self {
            code: error.code,
            message: error.message,
            detail: attributes(error.detail),
        }
    }
}

impl From<data::Error> for types::Error {
    fn from(error: data::Error) -> Self {
        Self {
            code: error.code,
            message: error.message,
            detail: to_attributes(error.detail),
        }
    }
}

impl From<types::Done> for data::Done {
    fn from(done: types::Done) -> Self {
        Self {
            more: attributes(done.more),
        }
    }
}

impl From<types::Description> for data::Description {
    fn from(description: types::Description) -> Self {
        Self {
            name: description.name,
            version: description.version,
            summary: description.summary,
            roles: all(description.roles),
            settings: all(description.settings),
            more: attributes(description.more),
        }
    }
}

impl From<types::Role> for data::Role {
    fn from(role: types::Role) -> Self {
        Self {
            name: role.name,
            kinds: role.kinds,
            more: attributes(role.more),
        }
    }
}

impl From<types::Setting> for data::Setting {
    fn from(setting: types::Setting) -> Self {
        Self {
            key: setting.key,
            shape: setting.shape,
            default_value: setting.default_value.into(),
            summary: setting.summary,
            more: attributes(setting.more),
        }
    }
}

impl From<types::Requirement> for data::Requirement {
    fn from(requirement: types::Requirement) -> Self {
        Self {
            kind: requirement.kind,
            uri: requirement.uri,
            args: requirement.args,
            kwargs: attributes(requirement.kwargs),
            more: attributes(requirement.more),
        }
    }
}

impl From<data::Requirement> for types::Requirement {
    fn from(requirement: data::Requirement) -> Self {
        Self {
            kind: requirement.kind,
            uri: requirement.uri,
            args: requirement.args,
            kwargs: to_attributes(requirement.kwargs),
            more: to_attributes(requirement.more),
        }
    }
}

impl From<types::Runnable> for data::Runnable {
    fn from(runnable: types::Runnable) -> Self {
        Self {
            kind: runnable.kind,
            uri: runnable.uri,
            args: runnable.args,
            kwargs: attributes(runnable.kwargs),
            env: runnable.env,
            tags: runnable.tags,
            requirements: all(runnable.requirements),
            identifier: runnable.identifier,
            more: attributes(runnable.more),
        }
    }
}

impl From<data::Runnable> for types::Runnable {
    fn from(runnable: data::Runnable) -> Self {
        Self {
            kind: runnable.kind,
            uri: runnable.uri,
            args: runnable.args,
            kwargs: to_attributes(runnable.kwargs),
            env: runnable.env,
            tags: runnable.tags,
            requirements: all(runnable.requirements),
            identifier: runnable.identifier,
            more: to_attributes(runnable.more),
        }
    }
}

impl From<data::Task> for types::Task {
    fn from(task: data::Task) -> Self {
        Self {
            id: task.id,
            job_id: task.job_id,
            runnable: task.runnable.into(),
            settings: to_attributes(task.settings),
            more: to_attributes(task.more),
        }
    }
}

impl From<types::Outcome> for data::Outcome {
    fn from(outcome: types::Outcome) -> Self {
        Self {
            status: status(outcome.status),
            reason: outcome.reason,
            more: attributes(outcome.more),
        }
    }
}

impl From<types::Variation> for data::Variation {
    fn from(variation: types::Variation) -> Self {
        Self {
            parameters: attributes(variation.parameters),
            more: attributes(variation.more),
        }
    }
}

/// Takes a plugin's status.
pub(crate) fn status(status: types::Status) -> Status {
    match status {
        types::Status::Pass => Status::Pass,
        types::Status::Fail => Status::Fail,
        types::Status::Error => Status::Error,
        types::Status::Skip => Status::Skip,
        types::Status::Warn => Status::Warn,
        types::Status::Cancel => Status::Cancel,
        types::Status::Interrupted => Status::Interrupted,
    }
}

/// Makes a status for a plugin.
pub(crate) fn to_status(status: Status) -> types::Status {
    match status {
        Status::Pass => types::Status::Pass,
        Status::Fail => types::Status::Fail,
        Status::Error => types::Status::Error,
        Status::Skip => types::Status::Skip,
        Status::Warn => types::Status::Warn,
        Status::Cancel => types::Status::Cancel,
        Status::Interrupted => types::Status::Interrupted,
    }
}
