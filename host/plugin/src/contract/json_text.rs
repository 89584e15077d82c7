//! JSON that is passed on as a text, without building what it says: what a journal holds goes to result formats so. A tree of it would take
//! up to 95 times its bytes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::contract::bindings::types;

/// Reads a value into the contract's form: lists and objects as a text.
pub(crate) struct ToContract;

impl<'de> DeserializeSeed<'de> for ToContract {
    type Value = types::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<types::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ToContract {
    type Value = types::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<types::Value, E> {
        Ok(types::Value::None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<types::Value, E> {
        Ok(types::Value::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<types::Value, E> {
        Ok(types::Value::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<types::Value, E> {
        Ok((&Value::from(value)).into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<types::Value, E> {
        Ok(types::Value::Number(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<types::Value, E> {
        Ok(types::Value::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<types::Value, E> {
        Ok(types::Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<types::Value, A::Error> {
        let mut text = String::new();
        Writer(&mut text).visit_seq(items)?;
        Ok(types::Value::Json(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<types::Value, A::Error> {
        let mut text = String::new();
        Writer(&mut text).visit_map(members)?;
        Ok(types::Value::Json(text))
    }
}

/// Writes what is read as JSON, without gaps.
struct Writer<'a>(&'a mut String);

impl Writer<'_> {
    /// A value that is not a list or an object.
    fn plain<E: Error>(self, value: impl Into<Value>) -> Result<(), E> {
        self.0.push_str(&value.into().to_string());
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Writer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Writer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.plain(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.plain(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.plain(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.plain(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.plain(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.plain(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let text = self.0;
        text.push('[');
        let mut gap = text.len();
        while items.next_element_seed(Writer(text))?.is_some() {
            text.push(',');
            gap = text.len() - 1;
        }
        // The last comma, if there is one.
        text.truncate(gap);
        text.push(']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let text = self.0;
        text.push('{');
        let mut gap = text.len();
        while members.next_key_seed(Writer(text))?.is_some() {
            text.push(':');
            members.next_value_seed(Writer(text))?;
            text.push(',');
            gap = text.len() - 1;
        }
        text.truncate(gap);
        text.push('}');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(json: &str) -> types::Value {
        let mut from = serde_json::Deserializer::from_str(json);
        ToContract.deserialize(&mut from).unwrap()
    }

    #[test]
    fn value_is_the_same_as_by_way_of_a_tree() {
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
            let tree: Value = serde_json::from_str(json).unwrap();
            let (direct, by_tree) = (read(json), types::Value::from(&tree));
            assert_eq!(format!("{direct:?}"), format!("{by_tree:?}"), "{json}");
        }
    }
}
