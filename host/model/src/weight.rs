//! Owns the weight of open data: what a plugin's answer or a line of a journal would take in the
//! host's memory if all of it were read into a tree. The host keeps lists and objects as text and
//! reads only some, so it takes less: the weight is the worst case. Does not know about where data
//! comes from, or how much there may be.
//!
//! A byte of JSON can become 95 bytes in a tree: the object in `{"":0},` is seven bytes long, and a
//! map of one entry is a node with room for eleven. The sizes are those of serde_json's `Value` and
//! of the standard library's `BTreeMap` on 64-bit machines.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::{Attribute, Attributes, Requirement, Runnable};

/// A value where it stands in a list, whose room is doubled when it is full.
const ITEM: u64 = 2 * size_of::<Value>() as u64;

/// The first node of a map: eleven keys and values, and its head.
const MAP: u64 = 11 * (size_of::<String>() + size_of::<Value>()) as u64 + 24;

/// A further entry of a map, whose nodes are half full where names come in order.
const ENTRY: u64 = MAP / 5;

/// The least that an allocation takes, and what it takes beside its bytes.
const ALLOCATION: u64 = 16;

/// The bytes of a text, without the text itself.
fn text(text: &str) -> u64 {
    match text.len() as u64 {
        0 => 0,
        length => length + ALLOCATION,
    }
}

fn texts<'a>(all: impl IntoIterator<Item = &'a String>) -> u64 {
    let all = all.into_iter();
    all.map(|one| text(one) + size_of::<String>() as u64).sum()
}

fn optional(one: Option<&String>) -> u64 {
    one.map_or(0, |one| text(one))
}

/// What a value holds once it is read, without the value itself.
pub fn of_attribute(value: &Attribute) -> u64 {
    match value {
        Attribute::Null | Attribute::Boolean(_) | Attribute::Number(_) => 0,
        Attribute::Text(one) => text(one),
        Attribute::Json(json) => {
            let weight = of_json(json.as_str().as_bytes(), u64::MAX);
            weight.ok().flatten().unwrap_or_default()
        }
    }
}

/// What a text holds, without the text itself.
pub fn of_text(one: &str) -> u64 {
    text(one)
}

/// What open data holds.
pub fn of_attributes(attributes: &Attributes) -> u64 {
    let members = attributes.iter().enumerate();
    members
        .map(|(place, (name, value))| of_member(place == 0, name) + of_attribute(value))
        .sum()
}

/// Weight of a member of an object without its value. The first member also carries the weight of
/// the map.
pub fn of_member(is_first: bool, name: &str) -> u64 {
    let map = if is_first { MAP } else { 0 };
    map + ENTRY + text(name)
}

/// A requirement with what it holds, but for its open data.
fn of_bare_requirement(requirement: &Requirement) -> u64 {
    let named = text(&requirement.kind) + optional(requirement.uri.as_ref());
    size_of::<Requirement>() as u64 + named + texts(&requirement.args)
}

/// A requirement with all that it holds.
pub fn of_requirement(requirement: &Requirement) -> u64 {
    let open = of_attributes(&requirement.kwargs) + of_attributes(&requirement.more);
    of_bare_requirement(requirement) + open
}

/// A runnable with what it holds, but for its open data and that of its requirements.
pub fn of_bare_runnable(runnable: &Runnable) -> u64 {
    let Runnable {
        kind,
        uri,
        args,
        kwargs: _,
        env,
        tags,
        requirements,
        identifier,
        more: _,
    } = runnable;
    let pair = size_of::<(String, Vec<String>)>() as u64;
    let env = env.iter();
    let env = env.map(|(name, value)| text(name) + optional(value.as_ref()) + pair);
    let tags = tags.iter();
    let tags = tags.map(|(name, values)| text(name) + texts(values) + pair);
    let named = text(kind) + optional(uri.as_ref()) + optional(identifier.as_ref()) + texts(args);
    let listed = env.sum::<u64>() + tags.sum::<u64>();
    let required = requirements.iter().map(of_bare_requirement);
    size_of::<Runnable>() as u64 + named + listed + required.sum::<u64>()
}

/// A runnable with all that it holds.
pub fn of_runnable(runnable: &Runnable) -> u64 {
    let required = runnable.requirements.iter();
    let required = required.map(|it| of_attributes(&it.kwargs) + of_attributes(&it.more));
    let open = of_attributes(&runnable.kwargs) + of_attributes(&runnable.more);
    of_bare_runnable(runnable) + open + required.sum::<u64>()
}

/// The weight of JSON, found without building a tree; none where that is more than `most`.
///
/// # Errors
/// The text is no JSON.
pub fn of_json(json: &[u8], most: u64) -> serde_json::Result<Option<u64>> {
    let mut scale = Scale {
        left: most,
        over: false,
    };
    let mut read = serde_json::Deserializer::from_slice(json);
    let weighed = (&mut scale)
        .deserialize(&mut read)
        .and_then(|()| read.end());
    match weighed {
        _ if scale.over => Ok(None),
        Ok(()) => Ok(Some(most - scale.left)),
        Err(error) => Err(error),
    }
}

/// Adds up what values become, up to a limit.
struct Scale {
    left: u64,
    over: bool,
}

impl Scale {
    fn add<E: Error>(&mut self, bytes: u64) -> Result<(), E> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.over = true;
                Err(E::custom("it is too heavy"))
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Scale {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

/// A name in an object.
struct Name<'a>(&'a mut Scale);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_str(self.0)
    }
}

impl<'de> Visitor<'de> for &mut Scale {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, one: &str) -> Result<(), E> {
        self.add(text(one))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.add(ALLOCATION)?;
        while items.next_element_seed(&mut *self)?.is_some() {
            self.add(ITEM)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut first = true;
        while members.next_key_seed(Name(self))?.is_some() {
            self.add(if first { MAP + ENTRY } else { ENTRY })?;
            first = false;
            members.next_value_seed(&mut *self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_objects_weigh_what_they_take() {
        let count = 1000;
        let json = format!("[{}]", vec![r#"{"":0}"#; count].join(","));
        let weight = of_json(json.as_bytes(), u64::MAX).unwrap().unwrap();
        // Measured on x86-64 with serde_json 1.0.154: 664 bytes each.
        let each = weight / count as u64;
        assert!((664..900).contains(&each), "{each}");
    }

    #[test]
    fn json_is_weighed_up_to_a_limit() {
        let json = br#"{"a": [1, "two", {"b": null}]}"#;
        let weight = of_json(json, u64::MAX).unwrap().unwrap();
        assert_eq!(of_json(json, weight).unwrap(), Some(weight));
        assert_eq!(of_json(json, weight - 1).unwrap(), None);
        // What is over the limit is not read to its end.
        let endless = [b"[0,".repeat(20), b"x".to_vec()].concat();
        assert_eq!(of_json(&endless, 100).unwrap(), None);
        for wrong in ["", "{", "[1] 2", "{1: 2}"] {
            assert!(of_json(wrong.as_bytes(), u64::MAX).is_err(), "{wrong}");
        }
    }

    /// What a tree holds, without its root.
    fn of_value(value: &Value) -> u64 {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(one) => text(one),
            Value::Array(items) => {
                let held = items.iter().map(|item| of_value(item) + ITEM);
                held.sum::<u64>() + ALLOCATION
            }
            Value::Object(members) => {
                let held = members.iter().enumerate();
                held.map(|(place, (name, value))| of_member(place == 0, name) + of_value(value))
                    .sum()
            }
        }
    }

    pub(crate) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "\\PC{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 50, 8, |inner| {
            let items = prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from);
            let members = prop::collection::btree_map("[a-z]{0,3}", inner, 0..8);
            let members = members.prop_map(|all| Value::Object(all.into_iter().collect()));
            prop_oneof![items, members]
        })
    }

    proptest! {
        #[test]
        fn json_weighs_what_its_value_does(value in any_json()) {
            let weight = of_json(value.to_string().as_bytes(), u64::MAX).unwrap();
            prop_assert_eq!(weight, Some(of_value(&value)));
            prop_assert_eq!(weight, Some(of_attribute(&value.into())));
        }
    }
}
