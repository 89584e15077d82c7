//! Owns the conversion of a journal's JSON for result formats. Lists and objects become canonical
//! text directly: a tree would take up to 95 times the bytes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::contract::data;
use persea_model::Attribute;
use persea_model::canonical::CanonicalJson;

/// Reads a value into the contract's form: lists and objects as a text.
pub(crate) struct ToContract;

impl<'de> DeserializeSeed<'de> for ToContract {
    type Value = data::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<data::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ToContract {
    type Value = data::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<data::Value, E> {
        Ok(data::Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<data::Value, E> {
        Ok(data::Value::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<data::Value, E> {
        Ok(data::Value::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<data::Value, E> {
        Ok((&Attribute::from(value)).into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<data::Value, E> {
        Ok(data::Value::Number(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<data::Value, E> {
        Ok(data::Value::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<data::Value, E> {
        Ok(data::Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<data::Value, A::Error> {
        let mut text = CanonicalJson::default();
        text.visit_seq(items)?;
        Ok(data::Value::Json(text.into_text()))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<data::Value, A::Error> {
        let mut text = CanonicalJson::default();
        text.visit_map(members)?;
        Ok(data::Value::Json(text.into_text()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(json: &str) -> data::Value {
        let mut from = serde_json::Deserializer::from_str(json);
        ToContract.deserialize(&mut from).unwrap()
    }

    #[test]
    fn direct_value_equals_the_value_of_a_tree() {
        for json in [
            "null",
            "true",
            "-3",
            "1.5",
            "18446744073709551615",
            r#""a\u001b\"\n\u00fc""#,
            "[]",
            "{}",
            "[[],{}]",
            r#"{"a":[1,-2,3.5,null,true,"x\n"],"b":{"\"":[{"d":"\u0000"}],"c":{}}}"#,
        ] {
            let tree: serde_json::Value = serde_json::from_str(json).unwrap();
            let (direct, by_tree) = (read(json), data::Value::from(&tree.into()));
            assert_eq!(format!("{direct:?}"), format!("{by_tree:?}"), "{json}");
        }
    }
}
