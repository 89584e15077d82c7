//! Taking a JSON value for what it should be, with a message that names its place (`[3].args[0]`) when it isn't. Knows
//! nothing of recipes. A value is looked at in the file's text, and made into Rust's own only once.

use persea_plugin_sdk::Value;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Where a value stands.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// The whole file.
    Top,
    /// A list's item, from 0.
    Item(&'a Place<'a>, usize),
    /// An object's member.
    Member(&'a Place<'a>, &'a str),
}

impl Place<'_> {
    /// A message about the value here.
    pub(crate) fn say(&self, what: impl fmt::Display) -> String {
        match self {
            Place::Top => what.to_string(),
            _ => format!("{self}: {what}"),
        }
    }

    fn expected(&self, what: &str, found: &RawValue) -> String {
        self.say(format_args!("expected {what}, found {}", kind(found)))
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Top => Ok(()),
            Place::Item(list, index) => write!(formatter, "{list}[{index}]"),
            Place::Member(Place::Top, name) => formatter.write_str(name),
            Place::Member(object, name) => write!(formatter, "{object}.{name}"),
        }
    }
}

/// What a value is, in words.
fn kind(value: &RawValue) -> &'static str {
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
    kind(value) == "an object"
}

pub(crate) fn is_list(value: &RawValue) -> bool {
    kind(value) == "a list"
}

pub(crate) fn is_null(value: &RawValue) -> bool {
    kind(value) == "null"
}

/// An object's members, in order.
#[derive(Default)]
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// A member; the last one where a name comes twice.
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

/// A member's name, out of the file's text where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Takes an object.
pub(crate) fn object<'a>(value: &'a RawValue, place: &Place<'_>) -> Result<Members<'a>, String> {
    take(value, place, "an object", is_object(value))
}

/// Takes a list.
pub(crate) fn list<'a>(
    value: &'a RawValue,
    place: &Place<'_>,
) -> Result<Vec<&'a RawValue>, String> {
    take(value, place, "a list", is_list(value))
}

/// Takes a string.
pub(crate) fn text(value: &RawValue, place: &Place<'_>) -> Result<String, String> {
    take(value, place, "a string", kind(value) == "a string")
}

/// Takes a whole number from 0.
pub(crate) fn amount(value: &RawValue, place: &Place<'_>) -> Result<u64, String> {
    serde_json::from_str(value.get()).map_err(|_| place.expected("a whole number from 0", value))
}

/// Takes a list of strings.
pub(crate) fn texts(value: &RawValue, place: &Place<'_>) -> Result<Vec<String>, String> {
    let items = list(value, place)?;
    items
        .into_iter()
        .enumerate()
        .map(|(index, item)| text(item, &Place::Item(place, index)))
        .collect()
}

/// Takes anything as open data: lists and objects stay JSON.
pub(crate) fn open(value: &RawValue, place: &Place<'_>) -> Result<Value, String> {
    let json = value.get();
    Ok(match json.as_bytes().first() {
        Some(b'"') => Value::Text(text(value, place)?),
        Some(b'{' | b'[') => self::json(value, place)?,
        Some(b't') => Value::Boolean(true),
        Some(b'f') => Value::Boolean(false),
        Some(b'n') => Value::None,
        // A number that neither holds is kept as it was written.
        _ => match (json.parse(), json.parse::<f64>()) {
            (Ok(integer), _) => Value::Integer(integer),
            (_, Ok(number)) if number.is_finite() && json.contains(['.', 'e', 'E']) => {
                Value::Number(number)
            }
            _ => Value::Text(json.to_owned()),
        },
    })
}

/// How deep the host takes lists and objects that are within each other.
const DEEPEST: usize = 100;

/// Takes anything as JSON, if the host can read it: text within JSON's grammar may still be nested too deeply, or hold half a surrogate pair
/// or a number beyond all bounds.
pub(crate) fn json(value: &RawValue, place: &Place<'_>) -> Result<Value, String> {
    let json = value.get();
    Readable(DEEPEST)
        .deserialize(&mut serde_json::Deserializer::from_str(json))
        .map_err(|error| place.say(error))?;
    Ok(Value::Json(json.to_owned()))
}

/// Any value that is no deeper than this, read and not kept.
struct Readable(usize);

impl Readable {
    fn inner<E: Error>(&self) -> Result<Self, E> {
        let deeper = self.0.checked_sub(1).map(Self);
        deeper.ok_or_else(|| E::custom(format_args!("nested more than {DEEPEST} levels deep")))
    }
}

impl<'de> DeserializeSeed<'de> for Readable {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Readable {
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

fn take<'a, T: Deserialize<'a>>(
    value: &'a RawValue,
    place: &Place<'_>,
    what: &str,
    is: bool,
) -> Result<T, String> {
    if !is {
        return Err(place.expected(what, value));
    }
    // What is left to be wrong is a string's escapes: half a surrogate pair.
    serde_json::from_str(value.get()).map_err(|error| place.say(error))
}
