//! Owns typed keys: which Rust type the value of a setting has, and how it is read from JSON.
//!
//! Does not know which settings there are.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::shape::Shape;
use persea_model::{Scope, SpawnerKind};

/// The name of a setting, with the kind of its value.
pub struct Key<K> {
    name: &'static str,
    kind: PhantomData<fn() -> K>,
}

impl<K> Key<K> {
    pub(super) const fn new(name: &'static str) -> Self {
        Self {
            name,
            kind: PhantomData,
        }
    }

    /// The name, as in `run.max_parallel_tasks`.
    pub const fn name(self) -> &'static str {
        self.name
    }
}

impl<K> Clone for Key<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Key<K> {}

impl<K> fmt::Display for Key<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A kind of value: its shape, and how it is read.
pub trait Kind {
    /// The value in Rust.
    type Value<'a>;

    /// The shape of a value.
    const SHAPE: Shape;

    /// Reads a value; none if it does not have the shape.
    fn read(value: &Value) -> Option<Self::Value<'_>>;

    /// The value of a setting that is not set.
    fn unset<'a>() -> Self::Value<'a>;
}

/// True or false.
pub enum Flag {}

impl Kind for Flag {
    type Value<'a> = bool;
    const SHAPE: Shape = Shape::Flag;

    fn read(value: &Value) -> Option<bool> {
        value.as_bool()
    }

    fn unset<'a>() -> Self::Value<'a> {
        false
    }
}

/// A whole number from 0.
pub enum Number {}

impl Kind for Number {
    type Value<'a> = u64;
    const SHAPE: Shape = Shape::Integer;

    fn read(value: &Value) -> Option<u64> {
        value.as_u64()
    }

    fn unset<'a>() -> Self::Value<'a> {
        0
    }
}

/// A text.
pub enum Text {}

impl Kind for Text {
    type Value<'a> = &'a str;
    const SHAPE: Shape = Shape::Text;

    fn read(value: &Value) -> Option<&str> {
        value.as_str()
    }

    fn unset<'a>() -> Self::Value<'a> {
        ""
    }
}

/// The format of task ids.
pub enum IdFormat {}

impl Kind for IdFormat {
    type Value<'a> = &'a str;
    const SHAPE: Shape = Shape::IdFormat;

    fn read(value: &Value) -> Option<&str> {
        value.as_str()
    }

    fn unset<'a>() -> Self::Value<'a> {
        ""
    }
}

/// A list of texts.
pub enum Texts {}

impl Kind for Texts {
    type Value<'a> = Vec<String>;
    const SHAPE: Shape = Shape::Texts;

    fn read(value: &Value) -> Option<Vec<String>> {
        Vec::deserialize(value).ok()
    }

    fn unset<'a>() -> Self::Value<'a> {
        Vec::new()
    }
}

/// A duration; none if it is 0, which means "no limit".
pub enum Time {}

impl Kind for Time {
    type Value<'a> = Option<Duration>;
    const SHAPE: Shape = Shape::Duration;

    fn read(value: &Value) -> Option<Option<Duration>> {
        Some(super::duration(value)?).map(|duration| Some(duration).filter(|it| !it.is_zero()))
    }

    fn unset<'a>() -> Self::Value<'a> {
        None
    }
}

/// A number of failures: `true` means one, `false` none.
pub enum Failures {}

impl Kind for Failures {
    type Value<'a> = Option<u64>;
    const SHAPE: Shape = Shape::Failures;

    fn read(value: &Value) -> Option<Option<u64>> {
        match value {
            Value::Bool(is_one) => Some(is_one.then_some(1)),
            number => number.as_u64().map(Some),
        }
    }

    fn unset<'a>() -> Self::Value<'a> {
        None
    }
}

/// A value that may be left unset.
pub struct Maybe<K>(PhantomData<K>);

impl<K: Kind> Kind for Maybe<K> {
    type Value<'a> = Option<K::Value<'a>>;
    const SHAPE: Shape = K::SHAPE;

    fn read(value: &Value) -> Option<Option<K::Value<'_>>> {
        match value {
            Value::Null => Some(None),
            value => K::read(value).map(Some),
        }
    }

    fn unset<'a>() -> Self::Value<'a> {
        None
    }
}

/// One of some names.
pub struct Choice<E>(PhantomData<E>);

/// An enum whose names are the values of a setting.
pub trait Choices: for<'de> Deserialize<'de> + Sized {
    /// The shape of the names.
    const SHAPE: Shape;

    /// The choice if the setting is not set.
    const UNSET: Self;
}

impl<E: Choices> Kind for Choice<E> {
    type Value<'a> = E;
    const SHAPE: Shape = E::SHAPE;

    fn read(value: &Value) -> Option<E> {
        E::deserialize(value).ok()
    }

    fn unset<'a>() -> Self::Value<'a> {
        E::UNSET
    }
}

/// Which tasks start first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The tasks as they were given.
    Given,
    /// The tasks that failed the last time.
    FailedFirst,
    /// The tasks that took the longest the last time.
    LongestFirst,
}

/// Whether something makes the job fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The job passes.
    Pass,
    /// The job fails.
    Fail,
}

impl Choices for Order {
    const SHAPE: Shape = Shape::Order;
    const UNSET: Self = Self::Given;
}

impl Choices for Verdict {
    const SHAPE: Shape = Shape::Verdict;
    const UNSET: Self = Self::Pass;
}

impl Choices for Scope {
    const SHAPE: Shape = Shape::Scope;
    const UNSET: Self = Self::Job;
}

impl Choices for SpawnerKind {
    const SHAPE: Shape = Shape::Spawner;
    const UNSET: Self = Self::Process;
}
