//! Owns typed keys: which Rust type the value of a setting has, and how it is read from JSON.
//!
//! Does not know which settings there are.

mod choices;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::shape::Shape;

pub use choices::{Order, RetryCause, Sharing, Verdict};

/// The name of a setting, with the kind of its value and the default.
pub struct Key<K: Kind> {
    name: &'static str,
    default: K::Default,
}

impl<K: Kind> Key<K> {
    pub(super) const fn new(name: &'static str, default: K::Default) -> Self {
        Self { name, default }
    }

    /// The name, as in `run.max_parallel_tasks`.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// The value of the setting where no layer sets it.
    pub(super) fn default<'a>(self) -> K::Value<'a> {
        K::default(self.default)
    }

    /// The default as JSON; `null` if there is none.
    pub(super) fn json_default(self) -> Value {
        K::json(self.default)
    }
}

impl<K: Kind> Clone for Key<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Kind> Copy for Key<K> {}

impl<K: Kind> fmt::Display for Key<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A kind of value: its shape, how it is read, and how the table of settings writes a default.
pub trait Kind {
    /// The value in Rust.
    type Value<'a>;

    /// A default in the table of settings.
    type Default: Copy + 'static;

    /// The shape of a value.
    const SHAPE: Shape;

    /// Reads a value; none if it does not have the shape.
    fn read(value: &Value) -> Option<Self::Value<'_>>;

    /// Converts a default of the table into the setting's Rust type.
    fn default<'a>(default: Self::Default) -> Self::Value<'a>;

    /// A default as JSON, which [`Kind::read`] reads; `null` if there is none.
    fn json(default: Self::Default) -> Value;
}

/// True or false.
pub enum Flag {}

impl Kind for Flag {
    type Value<'a> = bool;
    type Default = bool;
    const SHAPE: Shape = Shape::Flag;

    fn read(value: &Value) -> Option<bool> {
        value.as_bool()
    }

    fn default<'a>(default: bool) -> Self::Value<'a> {
        default
    }

    fn json(default: bool) -> Value {
        default.into()
    }
}

/// A whole number from 0.
pub enum Number {}

impl Kind for Number {
    type Value<'a> = u64;
    type Default = u64;
    const SHAPE: Shape = Shape::Integer;

    fn read(value: &Value) -> Option<u64> {
        value.as_u64()
    }

    fn default<'a>(default: u64) -> Self::Value<'a> {
        default
    }

    fn json(default: u64) -> Value {
        default.into()
    }
}

/// A text.
pub enum Text {}

impl Kind for Text {
    type Value<'a> = &'a str;
    type Default = &'static str;
    const SHAPE: Shape = Shape::Text;

    fn read(value: &Value) -> Option<&str> {
        value.as_str()
    }

    fn default<'a>(default: &'static str) -> Self::Value<'a> {
        default
    }

    fn json(default: &'static str) -> Value {
        default.into()
    }
}

/// The format of task ids.
pub enum IdFormat {}

impl Kind for IdFormat {
    type Value<'a> = &'a str;
    type Default = &'static str;
    const SHAPE: Shape = Shape::IdFormat;

    fn read(value: &Value) -> Option<&str> {
        value.as_str()
    }

    fn default<'a>(default: &'static str) -> Self::Value<'a> {
        default
    }

    fn json(default: &'static str) -> Value {
        default.into()
    }
}

/// A list of texts.
pub enum Texts {}

impl Kind for Texts {
    type Value<'a> = Vec<String>;
    type Default = &'static [&'static str];
    const SHAPE: Shape = Shape::Texts;

    fn read(value: &Value) -> Option<Vec<String>> {
        Vec::deserialize(value).ok()
    }

    fn default<'a>(default: Self::Default) -> Self::Value<'a> {
        default.iter().map(|text| (*text).to_owned()).collect()
    }

    fn json(default: Self::Default) -> Value {
        default.into()
    }
}

/// A list of tables, which their user reads.
pub enum Tables {}

impl Kind for Tables {
    type Value<'a> = &'a [Value];
    type Default = ();
    const SHAPE: Shape = Shape::Tables;

    fn read(value: &Value) -> Option<&[Value]> {
        value.as_array().map(Vec::as_slice)
    }

    fn default<'a>((): ()) -> Self::Value<'a> {
        &[]
    }

    fn json((): ()) -> Value {
        Value::Array(Vec::new())
    }
}

/// A time limit; none if it is 0, which means "no limit". The default is in seconds.
pub enum Time {}

impl Kind for Time {
    type Value<'a> = Option<Duration>;
    type Default = u64;
    const SHAPE: Shape = Shape::Duration;

    fn read(value: &Value) -> Option<Option<Duration>> {
        Delay::read(value).map(|duration| Some(duration).filter(|it| !it.is_zero()))
    }

    fn default<'a>(default: u64) -> Self::Value<'a> {
        Some(Delay::default(default)).filter(|it| !it.is_zero())
    }

    fn json(default: u64) -> Value {
        default.into()
    }
}

/// A duration for which something waits; 0 is no wait. The default is in seconds.
pub enum Delay {}

impl Kind for Delay {
    type Value<'a> = Duration;
    type Default = u64;
    const SHAPE: Shape = Shape::Duration;

    fn read(value: &Value) -> Option<Duration> {
        super::duration(value)
    }

    fn default<'a>(default: u64) -> Self::Value<'a> {
        Duration::from_secs(default)
    }

    fn json(default: u64) -> Value {
        default.into()
    }
}

/// A limit of a size in bytes; none if it is 0, which means "no limit".
pub enum Size {}

impl Kind for Size {
    type Value<'a> = Option<u64>;
    type Default = u64;
    const SHAPE: Shape = Shape::Size;

    fn read(value: &Value) -> Option<Option<u64>> {
        super::size(value).map(|size| Some(size).filter(|it| *it > 0))
    }

    fn default<'a>(default: u64) -> Self::Value<'a> {
        Some(default).filter(|it| *it > 0)
    }

    fn json(default: u64) -> Value {
        default.into()
    }
}

/// A limit of processors, in thousandths of one; none if it is 0, which means "no limit".
pub enum Processors {}

impl Kind for Processors {
    type Value<'a> = Option<u64>;
    type Default = u64;
    const SHAPE: Shape = Shape::Processors;

    fn read(value: &Value) -> Option<Option<u64>> {
        super::processors(value).map(|number| Some(number).filter(|it| *it > 0))
    }

    fn default<'a>(default: u64) -> Self::Value<'a> {
        Some(default * 1000).filter(|it| *it > 0)
    }

    fn json(default: u64) -> Value {
        default.into()
    }
}

/// A number of failures: `true` means one, `false` none.
pub enum Failures {}

impl Kind for Failures {
    type Value<'a> = Option<u64>;
    type Default = Option<u64>;
    const SHAPE: Shape = Shape::Failures;

    fn read(value: &Value) -> Option<Option<u64>> {
        match value {
            Value::Bool(is_one) => Some(is_one.then_some(1)),
            number => number.as_u64().map(Some),
        }
    }

    fn default<'a>(default: Option<u64>) -> Self::Value<'a> {
        default
    }

    fn json(default: Option<u64>) -> Value {
        default.map_or(Value::Bool(false), Value::from)
    }
}

/// A value that may be left unset, and has no default.
pub struct Maybe<K>(PhantomData<K>);

impl<K: Kind> Kind for Maybe<K> {
    type Value<'a> = Option<K::Value<'a>>;
    type Default = ();
    const SHAPE: Shape = K::SHAPE;

    fn read(value: &Value) -> Option<Option<K::Value<'_>>> {
        match value {
            Value::Null => Some(None),
            value => K::read(value).map(Some),
        }
    }

    fn default<'a>((): ()) -> Self::Value<'a> {
        None
    }

    fn json((): ()) -> Value {
        Value::Null
    }
}

/// One of some names.
pub struct Choice<E>(PhantomData<E>);

/// An enum whose names are the values of a setting.
pub trait Choices: Copy + 'static {
    /// The shape of the names.
    const SHAPE: Shape;

    /// All choices.
    const ALL: &'static [Self];

    /// The name of a choice.
    fn name(self) -> &'static str;

    /// The choice with this name.
    fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|choice| choice.name() == name)
    }

    /// All names.
    fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|choice| choice.name()).collect()
    }
}

impl<E: Choices> Kind for Choice<E> {
    type Value<'a> = E;
    type Default = E;
    const SHAPE: Shape = E::SHAPE;

    fn read(value: &Value) -> Option<E> {
        E::parse(value.as_str()?)
    }

    fn default<'a>(default: E) -> Self::Value<'a> {
        default
    }

    fn json(default: E) -> Value {
        default.name().into()
    }
}

/// A list of choices, in which each counts once.
pub struct Several<E>(PhantomData<E>);

impl<E: Choices> Kind for Several<E> {
    type Value<'a> = Vec<E>;
    type Default = &'static [E];
    const SHAPE: Shape = E::SHAPE;

    fn read(value: &Value) -> Option<Vec<E>> {
        let items = value.as_array()?.iter();
        items.map(Choice::<E>::read).collect()
    }

    fn default<'a>(default: Self::Default) -> Self::Value<'a> {
        default.to_vec()
    }

    fn json(default: Self::Default) -> Value {
        default.iter().map(|choice| choice.name()).collect()
    }
}
