//! Owns the shapes of settings' values. Does not know which settings there are.

use serde_json::Value;

use super::key::{Choices as _, Order, RetryCause, Sharing, Verdict};
use persea_model::{Scope, SpawnerKind};

/// The shape of a setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// True or false.
    Flag,
    /// A whole number, 0 or more.
    Integer,
    /// Text.
    Text,
    /// A list of texts.
    Texts,
    /// A list of tables.
    Tables,
    /// True for one failure, false for none, or a number of failures.
    Failures,
    /// A time: a number of seconds, or a text such as `5m`.
    Duration,
    /// A size: a number of bytes, or a text such as `512 MiB`.
    Size,
    /// A number of processors, not necessarily a whole one.
    Processors,
    /// The capacity of a resource: a number, or the names of its instances.
    Amount,
    /// The name of an order.
    Order,
    /// A list of causes for another attempt.
    RetryCauses,
    /// The format of task ids.
    IdFormat,
    /// The scope of a requirement.
    Scope,
    /// Whether other hosts share the files of this one.
    Sharing,
    /// The name of a spawner.
    Spawner,
    /// Whether something counts as a failure.
    Verdict,
}

/// Whether a format has `{index}`, which makes ids unique, and has it so early that the index stays
/// when a long directory name is cut.
fn is_id_format(format: &str) -> bool {
    format.split_once("{index}").is_some_and(|(before, _)| {
        !before.contains("{name}") && !before.contains("{variant}") && before.len() < 100
    })
}

fn are_texts(value: &Value) -> bool {
    let items = value.as_array();
    items.is_some_and(|items| items.iter().all(Value::is_string))
}

impl Shape {
    /// Whether a value has this shape.
    pub fn fits(self, value: &Value) -> bool {
        match self {
            Self::Flag => value.is_boolean(),
            Self::Integer => value.is_u64(),
            Self::Text => value.is_string(),
            Self::Texts => are_texts(value),
            Self::Tables => value
                .as_array()
                .is_some_and(|items| items.iter().all(Value::is_object)),
            Self::Failures => value.is_boolean() || value.as_u64().is_some_and(|n| n > 0),
            Self::Duration => super::duration(value).is_some(),
            Self::Size => super::size(value).is_some(),
            Self::Processors => super::processors(value).is_some(),
            Self::Amount => value.is_u64() || are_texts(value),
            Self::IdFormat => value.as_str().is_some_and(is_id_format),
            Self::RetryCauses => {
                let names = self.names();
                let is_name = |item: &Value| item.as_str().is_some_and(|it| names.contains(&it));
                value
                    .as_array()
                    .is_some_and(|items| items.iter().all(is_name))
            }
            Self::Order | Self::Scope | Self::Sharing | Self::Spawner | Self::Verdict => value
                .as_str()
                .is_some_and(|name| self.names().contains(&name)),
        }
    }

    /// The names that a value may be; none for any other shape.
    pub(super) fn names(self) -> Vec<&'static str> {
        match self {
            Self::Order => Order::names(),
            Self::Scope => Scope::names(),
            Self::Sharing => Sharing::names(),
            Self::Spawner => SpawnerKind::names(),
            Self::Verdict => Verdict::names(),
            Self::RetryCauses => RetryCause::names(),
            Self::Flag
            | Self::Integer
            | Self::Text
            | Self::Texts
            | Self::Tables
            | Self::Failures
            | Self::Duration
            | Self::Size
            | Self::Processors
            | Self::Amount
            | Self::IdFormat => Vec::new(),
        }
    }

    /// The shape in words, for the message "expected …".
    pub const fn expected(self) -> &'static str {
        match self {
            Self::Flag => "true or false",
            Self::Integer => "a whole number",
            Self::Text => "a text",
            Self::Texts => "a list of texts",
            Self::Tables => "a list of tables",
            Self::Failures => "true, false or a whole number from 1",
            Self::Duration => "a number of seconds or a time such as `5m`",
            Self::Size => "a number of bytes or a size such as `512 MiB`",
            Self::Processors => "a number of processors such as 2 or 0.5",
            Self::Amount => "a whole number or a list of names",
            Self::Order => "`given`, `failed-first` or `longest-first`",
            Self::RetryCauses => {
                "a list of `fail`, `error`, `interrupted`, `cancel` and `infrastructure`"
            }
            Self::IdFormat => "a text in which `{index}` comes before `{name}` and `{variant}`",
            Self::Scope => "`task`, `suite`, `job` or `keep`",
            Self::Sharing => "`auto`, `shared` or `sent`",
            Self::Spawner => SpawnerKind::EXPECTED,
            Self::Verdict => "`pass` or `fail`",
        }
    }
}
