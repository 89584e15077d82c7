//! Owns open data: attributes by name, whose lists and objects stay JSON text until somebody reads
//! them, because a tree of `serde_json::Value` takes up to 95 times the bytes of its text.
//!
//! Does not know about what an attribute means, or how much open data there may be.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Number, Value};

use crate::canonical::CanonicalJson;

/// Open data by name, as a JSON object.
pub type Attributes = BTreeMap<String, Attribute>;

/// The value of an attribute.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Attribute {
    /// JSON's null.
    #[default]
    Null,
    /// True or false.
    Boolean(bool),
    /// A number; integers of 64 bits are exact.
    Number(Number),
    /// A string, without quotes and escapes.
    Text(String),
    /// A list or an object.
    Json(JsonText),
}

/// A list or an object as canonical JSON text: without gaps, and with the members of each object in
/// the order of their names. Clones share the text. Two are equal where their texts are.
#[derive(Clone, Debug)]
pub struct JsonText(Arc<RawValue>);

impl JsonText {
    /// Takes a canonical text of a list or an object. A text that is no JSON is a bug of the
    /// caller, and becomes null.
    fn new(canonical: String) -> Self {
        let checked = RawValue::from_string(canonical);
        debug_assert!(checked.is_ok());
        Self(checked.unwrap_or_else(|_| RawValue::NULL.to_owned()).into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.as_str()).ok()
    }
}

impl PartialEq for JsonText {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Attribute {
    /// Reads JSON; none where the text is no JSON, or lists and objects are nested in more than
    /// `deepest` levels.
    pub fn from_json(json: &str, deepest: usize) -> Option<Self> {
        if !json.trim_ascii_start().starts_with(['[', '{']) {
            return serde_json::from_str(json).ok();
        }
        let mut canonical = CanonicalJson::with_capacity(json.len());
        let mut from = serde_json::Deserializer::from_str(json);
        canonical.deserialize(&mut from).ok()?;
        from.end().ok()?;
        let levels = canonical.levels();
        (levels <= deepest).then(|| Self::Json(JsonText::new(canonical.into_text())))
    }

    /// The string, where the value is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The string itself, where the value is one.
    pub fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// True or false, where the value is one of them.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, where the value is a whole one from 0.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// The number, where the value is a whole one.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    /// Whether the value is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The items, where the value is a list.
    pub fn items(&self) -> Option<Vec<Self>> {
        match self {
            Self::Json(json) => json.read(),
            _ => None,
        }
    }

    /// The members, where the value is an object.
    pub fn members(&self) -> Option<Attributes> {
        match self {
            Self::Json(json) => json.read(),
            _ => None,
        }
    }

    /// The member of that name, where the value is an object that has it. The others are not built.
    pub fn member(&self, name: &str) -> Option<Self> {
        let Self::Json(json) = self else {
            return None;
        };
        let mut from = serde_json::Deserializer::from_str(json.as_str());
        from.deserialize_map(Member(name)).ok().flatten()
    }

    /// The value as a tree, where it is neither a list nor an object.
    pub fn to_scalar(&self) -> Option<Value> {
        Some(match self {
            Self::Null => Value::Null,
            Self::Boolean(value) => Value::Bool(*value),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::String(text.clone()),
            Self::Json(_) => return None,
        })
    }

    fn built(value: &impl Serialize) -> Self {
        Self::Json(JsonText::new(
            serde_json::to_string(value).unwrap_or_default(),
        ))
    }
}

/// Finds the member of that name in an object.
struct Member<'a>(&'a str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<Attribute>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            if name == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// As JSON: strings have quotes.
impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(json) => f.write_str(json.as_str()),
            other => other.to_scalar().unwrap_or_default().fmt(f),
        }
    }
}

impl Serialize for Attribute {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Json(json) => json.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Attribute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AttributeVisitor)
    }
}

struct AttributeVisitor;

impl<'de> Visitor<'de> for AttributeVisitor {
    type Value = Attribute;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_unit<E>(self) -> Result<Attribute, E> {
        Ok(Attribute::Null)
    }

    fn visit_none<E>(self) -> Result<Attribute, E> {
        Ok(Attribute::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Attribute, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Attribute, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Attribute, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Attribute, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Attribute, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Attribute, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Attribute, E> {
        Ok(text.into())
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, items: A) -> Result<Attribute, A::Error> {
        let mut canonical = CanonicalJson::default();
        canonical.visit_seq(items)?;
        Ok(Attribute::Json(JsonText::new(canonical.into_text())))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Attribute, A::Error> {
        let mut canonical = CanonicalJson::default();
        canonical.visit_map(members)?;
        Ok(Attribute::Json(JsonText::new(canonical.into_text())))
    }
}

impl From<Value> for Attribute {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Boolean(value),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::Text(text),
            Value::Array(_) | Value::Object(_) => Self::built(&value),
        }
    }
}

impl From<bool> for Attribute {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i64> for Attribute {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}

impl From<u64> for Attribute {
    fn from(value: u64) -> Self {
        Self::Number(value.into())
    }
}

/// A number that is not finite becomes null, as JSON has no word for it.
impl From<f64> for Attribute {
    fn from(value: f64) -> Self {
        Number::from_f64(value).map_or(Self::Null, Self::Number)
    }
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Serialize> From<Vec<T>> for Attribute {
    fn from(items: Vec<T>) -> Self {
        Self::built(&items)
    }
}

impl From<Attributes> for Attribute {
    fn from(members: Attributes) -> Self {
        Self::built(&members)
    }
}

impl PartialEq<str> for Attribute {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<String> for Attribute {
    fn eq(&self, other: &String) -> bool {
        self == other.as_str()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::weight::tests::any_json;
    use proptest::prelude::*;
    use serde_json::json;

    /// Reads JSON directly, and compares with the way through a tree of serde_json's.
    fn read(json: &str) -> Attribute {
        let attribute: Attribute = serde_json::from_str(json).unwrap();
        let tree: Value = serde_json::from_str(json).unwrap();
        assert_eq!(attribute.to_string(), tree.to_string());
        assert_eq!(serde_json::to_string(&attribute).unwrap(), tree.to_string());
        assert_eq!(attribute, Attribute::from(tree));
        let again = Attribute::from_json(json, usize::MAX);
        assert_eq!(again.as_ref(), Some(&attribute));
        attribute
    }

    #[test]
    fn members_are_ordered_by_name_and_the_last_duplicate_counts() {
        for (json, canonical) in [
            (r#"{ "b" : 1, "a" : [ ] }"#, r#"{"a":[],"b":1}"#),
            (r#"{"a":1,"b":2,"a":{"c":3}}"#, r#"{"a":{"c":3},"b":2}"#),
            (
                r#"[{"b":{"z":1,"y":2},"a":0}]"#,
                r#"[{"a":0,"b":{"y":2,"z":1}}]"#,
            ),
            // U+000A comes before U+0020, although its escape does not.
            (r#"{"\n":1," ":2}"#, r#"{"\n":1," ":2}"#),
            (r#"{" ":2,"\n":1}"#, r#"{"\n":1," ":2}"#),
            (r#"{"\u0061":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{"a\"":1,"a":2}"#, r#"{"a":2,"a\"":1}"#),
            (r#"{"a,":1,"a":","}"#, r#"{"a":",","a,":1}"#),
        ] {
            assert_eq!(read(json).to_string(), canonical, "{json}");
        }
    }

    #[test]
    fn integers_of_64_bits_are_exact() {
        for json in [
            "[18446744073709551615]",
            "[-9223372036854775808]",
            "18446744073709551615",
        ] {
            assert_eq!(read(json).to_string(), json);
        }
        assert_eq!(read("1e2").to_string(), "100.0");
    }

    #[test]
    fn wrong_json_is_not_read() {
        for wrong in ["", "[", "[1] 2", "{1: 2}", "{\"a\":}", "[1,]", "tru", "\"a"] {
            assert_eq!(Attribute::from_json(wrong, usize::MAX), None, "{wrong}");
        }
    }

    #[test]
    fn json_is_read_to_the_level_that_is_asked_for() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Attribute::from_json(&nested(9), 9).is_some());
        assert!(Attribute::from_json(&nested(10), 9).is_none());
        assert!(Attribute::from_json("[{\"a\":[]},1]", 3).is_some());
        assert!(Attribute::from_json("[{\"a\":[]},1]", 2).is_none());
        assert!(Attribute::from_json("7", 0).is_some());
        // serde_json's own limit.
        assert!(Attribute::from_json(&nested(128), usize::MAX).is_none());
    }

    #[test]
    fn parts_of_a_value_are_read() {
        let value = read(r#"{"a":[1,"x"],"b":{"c":null},"d":"e"}"#);
        assert_eq!(value.member("d"), Some("e".into()));
        assert_eq!(value.member("b"), Some(json!({"c": null}).into()));
        assert_eq!(value.member("c"), None);
        let names: Vec<String> = value.members().unwrap().into_keys().collect();
        assert_eq!(names, ["a", "b", "d"]);
        let items = value.member("a").unwrap().items();
        assert_eq!(items, Some(vec![1_u64.into(), "x".into()]));
        assert_eq!(value.items(), None);
        assert_eq!(read("[]").members(), None);
        assert_eq!(read("[]").member("a"), None);
        assert_eq!(read("\"a\"").items(), None);
    }

    #[test]
    fn flattened_attributes_are_read_and_written() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Outer {
            own: bool,
            #[serde(flatten)]
            more: Attributes,
        }
        let json = r#"{"own":true,"a":[{"b":1.5}],"c":"d"}"#;
        let outer: Outer = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&outer).unwrap(), json);
        let tree = serde_json::to_value(&outer).unwrap();
        assert_eq!(tree, json!({"own": true, "a": [{"b": 1.5}], "c": "d"}));
        assert_eq!(serde_json::from_value::<Outer>(tree).unwrap(), outer);
    }

    proptest! {
        #[test]
        fn value_is_the_same_as_by_way_of_a_tree(value in any_json()) {
            read(&value.to_string());
            read(&serde_json::to_string_pretty(&value).unwrap());
        }

        #[test]
        fn objects_in_any_order_are_the_same_as_by_way_of_a_tree(
            members in prop::collection::vec(("[ab\n\"\\\\,é]{0,2}", any_json()), 0..8),
        ) {
            let members = members.iter();
            let members: Vec<String> = members
                .map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())))
                .collect();
            read(&format!("[{{{}}}]", members.join(" , ")));
        }
    }
}
