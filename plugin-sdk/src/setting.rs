//! Owns typed settings: a key, its shape, its default and its purpose, written once. Does not know
//! where values come from.

use crate::attributes::{Attributes, Value};
use crate::description::SettingDescription;
use crate::error::Error;
use crate::json;
use std::marker::PhantomData;
use std::time::Duration;

/// A setting that a plugin understands. As a constant it is both a part of the description and the
/// way to read the value:
///
/// ```
/// use persea_plugin_sdk::prelude::*;
///
/// const FLAGS: Setting<Text> = Setting::text("runner.compiles.flags")
///     .default("-Wall")
///     .summary("Options of the compiler");
/// const LIMIT: OptionalSetting<Integer> = Setting::integer("runner.compiles.limit")
///     .at_least(1.0)
///     .summary("Most errors that the compiler reports");
///
/// let description = Description::new("compiles", "passes when a C file compiles")
///     .role(Role::runner(["compiles"]))
///     .setting(&FLAGS)
///     .setting(&LIMIT);
///
/// let settings = Attributes::new().with("runner.compiles.limit", 3);
/// assert_eq!(FLAGS.get(&settings), "-Wall");
/// assert_eq!(LIMIT.get(&settings), Some(3));
/// # assert_eq!(description.settings[0].default_value, "-Wall".into());
/// ```
///
/// `S` is the shape of the value: [`Text`], [`Integer`], [`Number`], [`Boolean`], [`Time`],
/// [`List`], [`IntegerList`] or [`Table`]. A setting with a default always has a value; one without
/// is an [`OptionalSetting`].
///
/// The host checks a configured value before anything runs. So [`get`](Setting::get) takes a value
/// of another shape for one that is not set; [`checked`](Setting::checked) reports it.
#[derive(Clone, Copy, Debug)]
pub struct Setting<S: Shape, D = WithDefault<S>> {
    key: &'static str,
    summary: &'static str,
    default: D,
    choices: &'static [&'static str],
    least: Option<f64>,
    most: Option<f64>,
    secret: bool,
    shape: PhantomData<S>,
}

/// A setting without a default.
pub type OptionalSetting<S> = Setting<S, NoDefault>;

/// The state of a [`Setting`] without a default.
#[derive(Clone, Copy, Debug)]
pub struct NoDefault(());

/// The state of a [`Setting`] with a default.
#[derive(Clone, Copy, Debug)]
pub struct WithDefault<S: Shape>(S::Default);

/// The shape of a setting's value. Implemented by the shapes of this crate only.
pub trait Shape: Copy + sealed::Sealed {
    /// The shape's name in the contract.
    const NAME: &'static str;
    /// What a value must be, for messages: `a text`.
    const EXPECTED: &'static str;
    /// The type of a default.
    type Default: Copy;
    /// The type of a value.
    type Value<'a>;

    /// Reads a value; none if it has another shape.
    fn read(value: &Value) -> Option<Self::Value<'_>>;

    /// Converts a default to a value.
    fn from_default<'a>(default: Self::Default) -> Self::Value<'a>;

    /// Converts a default to what the host shows.
    fn describe(default: Self::Default) -> Value;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! shapes {
    ($(
        $(#[$documentation:meta])*
        $shape:ident, $constructor:ident, $name:literal, $expected:literal, $default:ty, $value:ty,
        $read:expr, $from_default:expr, $describe:expr;
    )*) => {
        $(
            $(#[$documentation])*
            #[derive(Clone, Copy, Debug)]
            pub struct $shape(());

            impl sealed::Sealed for $shape {}

            impl Shape for $shape {
                const NAME: &'static str = $name;
                const EXPECTED: &'static str = $expected;
                type Default = $default;
                type Value<'a> = $value;

                fn read(value: &Value) -> Option<Self::Value<'_>> {
                    let read: for<'a> fn(&'a Value) -> Option<Self::Value<'a>> = $read;
                    read(value)
                }

                fn from_default<'a>(default: Self::Default) -> Self::Value<'a> {
                    $from_default(default)
                }

                fn describe(default: Self::Default) -> Value {
                    $describe(default)
                }
            }

            impl OptionalSetting<$shape> {
                #[doc = concat!("Creates a setting of shape `", $name, "`, without a default.")]
                pub const fn $constructor(key: &'static str) -> Self {
                    Self::new(key)
                }
            }
        )*
    };
}

shapes! {
    /// A text.
    Text, text, "text", "a text", &'static str, &'a str,
    |value| match value {
        Value::Text(text) => Some(text),
        _ => None,
    },
    std::convert::identity, Value::from;

    /// A whole number.
    Integer, integer, "integer", "a whole number", i64, i64,
    |value| match value {
        Value::Integer(number) => Some(*number),
        _ => None,
    },
    std::convert::identity, Value::from;

    /// A number, whole or not.
    Number, number, "number", "a number", f64, f64,
    |value| match value {
        Value::Number(number) => Some(*number),
        Value::Integer(number) => Some(*number as f64),
        _ => None,
    },
    std::convert::identity, Value::from;

    /// `true` or `false`.
    Boolean, boolean, "boolean", "true or false", bool, bool,
    |value| match value {
        Value::Boolean(truth) => Some(*truth),
        _ => None,
    },
    std::convert::identity, Value::from;

    /// A duration: in the configuration a text such as `5m`, or a number of seconds.
    Time, duration, "duration", "a time", Duration, Duration,
    |value| match value {
        Value::Integer(nanoseconds) => u64::try_from(*nanoseconds).ok().map(Duration::from_nanos),
        _ => None,
    },
    std::convert::identity,
    |default: Duration| match (default.subsec_nanos(), i64::try_from(default.as_secs())) {
        (0, Ok(seconds)) => Value::Integer(seconds),
        _ => Value::Number(default.as_secs_f64()),
    };

    /// A list of texts.
    List, list, "list", "a list of texts", &'static [&'static str], Vec<String>,
    |value| match value {
        Value::Json(text) => json::texts(text),
        _ => None,
    },
    |default: &[&str]| default.iter().map(|text| (*text).to_owned()).collect(),
    |default: &[&str]| Value::list(default);

    /// A list of whole numbers.
    IntegerList, integer_list, "integer-list", "a list of whole numbers", &'static [i64], Vec<i64>,
    |value| match value {
        Value::Json(text) => json::integers(text),
        _ => None,
    },
    |default: &[i64]| default.to_vec(),
    |default: &[i64]| Value::Json(json::integer_list(default));

    /// A table, as a JSON text.
    Table, table, "table", "a table", &'static str, &'a str,
    |value| match value {
        Value::Json(text) => Some(text),
        _ => None,
    },
    std::convert::identity, Value::json;
}

impl<S: Shape> OptionalSetting<S> {
    const fn new(key: &'static str) -> Self {
        Self {
            key,
            summary: "",
            default: NoDefault(()),
            choices: &[],
            least: None,
            most: None,
            secret: false,
            shape: PhantomData,
        }
    }

    /// Sets the value where the configuration has none.
    pub const fn default(self, default: S::Default) -> Setting<S> {
        Setting {
            key: self.key,
            summary: self.summary,
            default: WithDefault(default),
            choices: self.choices,
            least: self.least,
            most: self.most,
            secret: self.secret,
            shape: PhantomData,
        }
    }

    /// Returns the setting's value; none where the configuration has none.
    pub fn get<'a>(&self, settings: &'a Attributes) -> Option<S::Value<'a>> {
        settings.get(self.key).and_then(S::read)
    }

    /// Returns the setting's value; none where the configuration has none.
    ///
    /// # Errors
    /// `invalid` for a value of another shape.
    pub fn checked<'a>(&self, settings: &'a Attributes) -> Result<Option<S::Value<'a>>, Error> {
        read_checked::<S>(self.key, settings)
    }
}

impl<S: Shape> Setting<S> {
    /// Returns the setting's value, or its default.
    pub fn get<'a>(&self, settings: &'a Attributes) -> S::Value<'a> {
        let value = settings.get(self.key).and_then(S::read);
        value.unwrap_or_else(|| S::from_default(self.default.0))
    }

    /// Returns the setting's value, or its default.
    ///
    /// # Errors
    /// `invalid` for a value of another shape.
    pub fn checked<'a>(&self, settings: &'a Attributes) -> Result<S::Value<'a>, Error> {
        let value = read_checked::<S>(self.key, settings)?;
        Ok(value.unwrap_or_else(|| S::from_default(self.default.0)))
    }
}

impl<S: Shape, D: Copy> Setting<S, D> {
    /// Sets the setting's purpose: one line, for people.
    pub const fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// Sets the only texts that are valid.
    pub const fn choices(mut self, choices: &'static [&'static str]) -> Self {
        self.choices = choices;
        self
    }

    /// Sets the least valid number; of a duration, in seconds.
    pub const fn at_least(mut self, least: f64) -> Self {
        self.least = Some(least);
        self
    }

    /// Sets the largest valid number; of a duration, in seconds.
    pub const fn at_most(mut self, most: f64) -> Self {
        self.most = Some(most);
        self
    }

    /// Keeps the value out of the journal and of what the host shows.
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The setting's name in the configuration.
    pub const fn key(&self) -> &'static str {
        self.key
    }
}

fn read_checked<'a, S: Shape>(
    key: &str,
    settings: &'a Attributes,
) -> Result<Option<S::Value<'a>>, Error> {
    match settings.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match S::read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(Error::new(
                "invalid",
                format!("{key} must be {}", S::EXPECTED),
            )),
        },
    }
}

/// What a state says about the default.
trait DescribeDefault {
    fn value(&self) -> Value;
}

impl DescribeDefault for NoDefault {
    fn value(&self) -> Value {
        Value::Null
    }
}

impl<S: Shape> DescribeDefault for WithDefault<S> {
    fn value(&self) -> Value {
        S::describe(self.0)
    }
}

macro_rules! describes {
    ($($default:ty),*) => {
        $(impl<S: Shape> From<&Setting<S, $default>> for SettingDescription {
            fn from(setting: &Setting<S, $default>) -> Self {
                let mut more = Attributes::new();
                if !setting.choices.is_empty() {
                    more.insert("choices", Value::list(setting.choices));
                }
                if let Some(least) = setting.least {
                    more.insert("least", least);
                }
                if let Some(most) = setting.most {
                    more.insert("most", most);
                }
                if setting.secret {
                    more.insert("secret", true);
                }
                Self {
                    key: setting.key.to_owned(),
                    shape: S::NAME.to_owned(),
                    default_value: setting.default.value(),
                    summary: setting.summary.to_owned(),
                    more,
                }
            }
        })*
    };
}

describes!(NoDefault, WithDefault<S>);

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: Setting<List> = Setting::list("a.list").default(&["x", "y"]);
    const TIME: Setting<Time> = Setting::duration("a.time")
        .default(Duration::from_millis(1500))
        .at_most(10.0)
        .summary("A time");
    const TABLE: OptionalSetting<Table> = Setting::table("a.table").secret();
    const CODES: Setting<IntegerList> = Setting::integer_list("a.codes").default(&[77]);
    const WORD: Setting<Text> = Setting::text("a.word").choices(&["x", "y"]).default("y");

    #[test]
    fn unset_setting_has_its_default() {
        let none = Attributes::new()
            .with("a.word", 3)
            .with("a.list", Value::Null);
        assert_eq!(LIST.get(&none), ["x", "y"]);
        assert_eq!(CODES.get(&none), [77]);
        assert_eq!(TIME.get(&none), Duration::from_millis(1500));
        assert_eq!(TABLE.get(&none), None);
        assert_eq!(
            WORD.get(&none),
            "y",
            "a value of another shape counts as not set"
        );
    }

    #[test]
    fn configured_value_is_read() {
        let settings = Attributes::new()
            .with("a.list", Value::list(["z"]))
            .with("a.time", 2_000_000_000_i64)
            .with("a.table", Value::json("{}"))
            .with("a.codes", Value::json("[1, -2]"))
            .with("a.word", "x");
        assert_eq!(LIST.get(&settings), ["z"]);
        assert_eq!(TIME.get(&settings), Duration::from_secs(2));
        assert_eq!(TABLE.get(&settings), Some("{}"));
        assert_eq!(CODES.get(&settings), [1, -2]);
        assert_eq!(WORD.get(&settings), "x");
    }

    #[test]
    fn checked_value_of_another_shape_is_an_error() {
        let settings = Attributes::new()
            .with("a.codes", Value::json("[1.5]"))
            .with("a.table", 3);
        let message = CODES.checked(&settings).map_err(|error| error.message);
        assert_eq!(
            message,
            Err("a.codes must be a list of whole numbers".to_owned())
        );
        let message = TABLE.checked(&settings).map_err(|error| error.message);
        assert_eq!(message, Err("a.table must be a table".to_owned()));
        assert_eq!(WORD.checked(&settings), Ok("y"));
        assert_eq!(TABLE.checked(&Attributes::new()), Ok(None));
    }

    #[test]
    fn description_has_shape_default_and_rules() {
        let time = SettingDescription::from(&TIME);
        assert_eq!(
            (time.key.as_str(), time.shape.as_str()),
            ("a.time", "duration")
        );
        assert_eq!(
            time.default_value,
            Value::Number(1.5),
            "in seconds, as people write it"
        );
        assert_eq!(
            (time.summary.as_str(), time.more.number("most")),
            ("A time", Some(10.0))
        );
        let list = SettingDescription::from(&LIST);
        assert_eq!(list.default_value, Value::json(r#"["x","y"]"#));
        let codes = SettingDescription::from(&CODES);
        assert_eq!(codes.default_value, Value::json("[77]"));
        let table = SettingDescription::from(&TABLE);
        assert_eq!(
            (table.default_value, table.more.boolean("secret")),
            (Value::Null, Some(true))
        );
        let word = SettingDescription::from(&WORD);
        assert_eq!(word.more.json("choices"), Some(r#"["x","y"]"#));
    }
}
