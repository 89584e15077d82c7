//! Owns reading JSON values of an expected type, with errors that name the value's path, such as
//! `[3].args[0]`. Does not know about recipes.
//!
//! Types are checked on the raw text, so that each value is deserialized only once.

use persea_plugin_sdk::Value;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Path of a value in a document.
#[derive(Clone, Copy)]
pub(crate) enum JsonPath<'a> {
    /// The whole document.
    Top,
    /// An item of a list, from 0.
    Item(&'a JsonPath<'a>, usize),
    /// A member of an object.
    Member(&'a JsonPath<'a>, &'a str),
}

impl JsonPath<'_> {
    /// Builds a message about the value at this path.
    pub(crate) fn message(&self, what: impl fmt::Display) -> String {
        match self {
            JsonPath::Top => what.to_string(),
            _ => format!("{self}: {what}"),
        }
    }

    fn expected(&self, what: &str, found: &RawValue) -> String {
        self.message(format_args!("expected {what}, found {}", type_name(found)))
    }
}

impl fmt::Display for JsonPath<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonPath::Top => Ok(()),
            JsonPath::Item(list, index) => write!(formatter, "{list}[{index}]"),
            JsonPath::Member(JsonPath::Top, name) => formatter.write_str(name),
            JsonPath::Member(object, name) => write!(formatter, "{object}.{name}"),
        }
    }
}

/// Names the type of a value.
fn type_name(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

pub(crate) fn is_object(value: &RawValue) -> bool {
    type_name(value) == "an object"
}

pub(crate) fn is_list(value: &RawValue) -> bool {
    type_name(value) == "a list"
}

pub(crate) fn is_null(value: &RawValue) -> bool {
    type_name(value) == "null"
}

/// Members of an object, in order.
#[derive(Default)]
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Returns a member; the last one where the name occurs more than once.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| *value)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Name of a member, borrowed from the text unless it has escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads an object.
pub(crate) fn object<'a>(value: &'a RawValue, path: &JsonPath<'_>) -> Result<Members<'a>, String> {
    deserialize(value, path, "an object", is_object(value))
}

/// Reads a list.
pub(crate) fn list<'a>(
    value: &'a RawValue,
    path: &JsonPath<'_>,
) -> Result<Vec<&'a RawValue>, String> {
    deserialize(value, path, "a list", is_list(value))
}

/// Why a walk through a list ended early.
pub(crate) enum Stop<E> {
    /// The list cannot be read.
    Unreadable(String),
    /// The function that gets the items failed.
    Failed(E),
}

/// Calls a function for each item of a list, with its index, without keeping the items.
pub(crate) fn each<'a, E>(
    list: &'a RawValue,
    path: &JsonPath<'_>,
    work: impl FnMut(usize, &'a RawValue) -> Result<(), E>,
) -> Result<(), Stop<E>> {
    if !is_list(list) {
        return Err(Stop::Unreadable(path.expected("a list", list)));
    }
    let mut failed = None;
    let walk = ItemWalk {
        work,
        failed: &mut failed,
    };
    let walked = serde_json::Deserializer::from_str(list.get()).deserialize_seq(walk);
    match (failed, walked) {
        (Some(error), _) => Err(Stop::Failed(error)),
        (None, Err(error)) => Err(Stop::Unreadable(path.message(error))),
        (None, Ok(())) => Ok(()),
    }
}

/// Visitor that passes each item of a list to a function, and keeps the function's error.
struct ItemWalk<'w, W, E> {
    work: W,
    failed: &'w mut Option<E>,
}

impl<'de, E, W: FnMut(usize, &'de RawValue) -> Result<(), E>> Visitor<'de> for ItemWalk<'_, W, E> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(item) = list.next_element::<&'de RawValue>()? {
            if let Err(error) = (self.work)(index, item) {
                *self.failed = Some(error);
                return Err(A::Error::custom("stopped"));
            }
            index += 1;
        }
        Ok(())
    }
}

/// Reads a time in nanoseconds: a number of seconds, or a text such as `90`, `1.5s`, `5m` or
/// `1h 30m`.
pub(crate) fn nanoseconds(value: &RawValue, path: &JsonPath<'_>) -> Result<i64, String> {
    let parsed = match type_name(value) {
        "a number" => value.get().parse().ok(),
        "a string" => seconds(text(value, path)?.trim()),
        _ => None,
    };
    let nanoseconds = parsed.map(|seconds: f64| seconds * 1e9);
    match nanoseconds {
        // A double holds each whole number up to 2^53, and `as` would saturate above i64::MAX.
        Some(time) if (0.0..9e18).contains(&time) => Ok(time.round() as i64),
        _ => Err(path.expected("a number of seconds or a text such as 5m", value)),
    }
}

/// Reads a text as seconds: `90`, `1.5s`, `5m`, `1h 30m`.
fn seconds(text: &str) -> Option<f64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|char: char| !char.is_ascii_alphabetic());
        let (unit, after) = after.split_at(end.unwrap_or(after.len()));
        let factor = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = after.trim_start();
    }
    (!text.is_empty()).then_some(total)
}

/// Reads a string.
pub(crate) fn text(value: &RawValue, path: &JsonPath<'_>) -> Result<String, String> {
    deserialize(value, path, "a string", type_name(value) == "a string")
}

/// Checks what a runnable takes of a resource: a whole number from 0, or a list of instances.
pub(crate) fn claim(value: &RawValue, path: &JsonPath<'_>) -> Result<(), String> {
    if is_list(value) {
        return texts(value, path).map(|_| ());
    }
    let amount: Result<u64, _> = serde_json::from_str(value.get());
    let what = "a whole number from 0 or a list of instances";
    amount.map(|_| ()).map_err(|_| path.expected(what, value))
}

/// Reads a whole number from 0.
pub(crate) fn whole(value: &RawValue, path: &JsonPath<'_>) -> Result<i64, String> {
    let number: Option<i64> = value.get().parse().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| path.expected("a whole number from 0", value))
}

/// Reads a list of strings.
pub(crate) fn texts(value: &RawValue, path: &JsonPath<'_>) -> Result<Vec<String>, String> {
    let items = list(value, path)?;
    items
        .into_iter()
        .enumerate()
        .map(|(index, item)| text(item, &JsonPath::Item(path, index)))
        .collect()
}

/// Reads any value as an attribute; lists and objects stay JSON.
pub(crate) fn open(value: &RawValue, path: &JsonPath<'_>) -> Result<Value, String> {
    let json = value.get();
    Ok(match json.as_bytes().first() {
        Some(b'"') => Value::Text(text(value, path)?),
        Some(b'{' | b'[') => self::json(value, path)?,
        Some(b't') => Value::Boolean(true),
        Some(b'f') => Value::Boolean(false),
        Some(b'n') => Value::Null,
        // A number that fits neither type stays a text, so that no digit is lost.
        _ => match (json.parse(), json.parse::<f64>()) {
            (Ok(integer), _) => Value::Integer(integer),
            (_, Ok(number)) if number.is_finite() && json.contains(['.', 'e', 'E']) => {
                Value::Number(number)
            }
            _ => Value::Text(json.to_owned()),
        },
    })
}

/// Limit of the nesting of lists and objects in the host.
const MAX_DEPTH: usize = 100;

/// Reads any value as JSON that the host can read. Valid JSON may still be nested too deeply, or
/// have half a surrogate pair or a number that is too large for a double.
pub(crate) fn json(value: &RawValue, path: &JsonPath<'_>) -> Result<Value, String> {
    let json = value.get();
    NestingCheck(MAX_DEPTH)
        .deserialize(&mut serde_json::Deserializer::from_str(json))
        .map_err(|error| path.message(error))?;
    Ok(Value::Json(json.to_owned()))
}

/// Visitor that checks a value with at most this nesting, and keeps nothing.
struct NestingCheck(usize);

impl NestingCheck {
    fn inner<E: Error>(&self) -> Result<Self, E> {
        let deeper = self.0.checked_sub(1).map(Self);
        deeper.ok_or_else(|| E::custom(format_args!("nested more than {MAX_DEPTH} levels deep")))
    }
}

impl<'de> DeserializeSeed<'de> for NestingCheck {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NestingCheck {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self.inner()?)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while object
            .next_entry_seed(self.inner()?, self.inner()?)?
            .is_some()
        {}
        Ok(())
    }
}

/// Deserializes a value, or reports that it has not the expected type.
fn deserialize<'a, T: Deserialize<'a>>(
    value: &'a RawValue,
    path: &JsonPath<'_>,
    expected: &str,
    is_expected: bool,
) -> Result<T, String> {
    if !is_expected {
        return Err(path.expected(expected, value));
    }
    // Only the escapes of a string can still be wrong: half a surrogate pair.
    serde_json::from_str(value.get()).map_err(|error| path.message(error))
}
