//! Owns the canonical form of JSON text: without gaps, the members of each object in the order of
//! their names, the last of several with one name, numbers and strings as serde_json writes them.
//! That is what a tree of `serde_json::Value` would be written as, but no tree is built.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Canonical JSON text that grows while a value is read.
#[derive(Debug, Default)]
pub struct CanonicalJson {
    text: Vec<u8>,
    /// Where the members of the open objects begin.
    starts: Vec<usize>,
    open: usize,
    levels: usize,
}

impl CanonicalJson {
    /// An empty text with room for that many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// How many lists and objects are within each other.
    pub fn levels(&self) -> usize {
        self.levels
    }

    /// The text.
    pub fn into_text(self) -> String {
        // serde_json writes UTF-8.
        String::from_utf8(self.text).unwrap_or_default()
    }

    fn scalar<E: Error>(&mut self, value: impl Serialize) -> Result<(), E> {
        serde_json::to_writer(&mut self.text, &value).map_err(E::custom)
    }

    fn begin(&mut self, bracket: u8) {
        self.open += 1;
        self.levels = self.levels.max(self.open);
        self.text.push(bracket);
    }

    fn end(&mut self, bracket: u8) {
        self.open -= 1;
        // An opening bracket is never `,`.
        self.text.pop_if(|last| *last == b',');
        self.text.push(bracket);
    }

    /// The name of the member that begins there.
    fn name(&self, start: usize) -> Cow<'_, [u8]> {
        let quoted = self.text.get(start..).unwrap_or_default();
        let mut is_escaped = false;
        let mut has_escapes = false;
        let inner = quoted.iter().skip(1).take_while(|byte| {
            let is_end = **byte == b'"' && !is_escaped;
            is_escaped = **byte == b'\\' && !is_escaped;
            has_escapes |= is_escaped;
            !is_end
        });
        let length = inner.count();
        let inner = quoted.get(1..=length).unwrap_or_default();
        let decoded = || {
            let name = serde_json::from_slice::<String>(quoted.get(..length + 2)?).ok()?;
            Some(name.into_bytes().into())
        };
        match has_escapes {
            true => decoded().unwrap_or(inner.into()),
            false => inner.into(),
        }
    }

    /// Orders the members of the innermost object, the first of which is `starts[first]`. Each ends
    /// with a comma.
    fn order_members(&mut self, first: usize) {
        let starts = self.starts.get(first..).unwrap_or_default();
        let in_order = starts.is_sorted_by(|one, other| self.name(*one) < self.name(*other));
        if !in_order {
            let ends = starts.iter().skip(1).copied().chain([self.text.len()]);
            let mut members: Vec<(usize, usize)> = starts.iter().copied().zip(ends).collect();
            members.sort_by(|(one, _), (other, _)| self.name(*one).cmp(&self.name(*other)));
            let begin = starts.first().copied().unwrap_or_default();
            let mut ordered = Vec::with_capacity(self.text.len() - begin);
            let mut members = members.into_iter().peekable();
            while let Some((start, end)) = members.next() {
                let is_replaced = |(next, _): &(usize, usize)| self.name(*next) == self.name(start);
                if !members.peek().is_some_and(is_replaced) {
                    ordered.extend_from_slice(self.text.get(start..end).unwrap_or_default());
                }
            }
            self.text.truncate(begin);
            self.text.append(&mut ordered);
        }
        self.starts.truncate(first);
    }
}

impl<'de> DeserializeSeed<'de> for &mut CanonicalJson {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

/// The name of a member.
struct Name<'a>(&'a mut CanonicalJson);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_str(self.0)
    }
}

impl<'de> Visitor<'de> for &mut CanonicalJson {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.scalar(())
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.scalar(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.begin(b'[');
        while items.next_element_seed(&mut *self)?.is_some() {
            self.text.push(b',');
        }
        self.end(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.begin(b'{');
        let first = self.starts.len();
        let mut start = self.text.len();
        while members.next_key_seed(Name(self))?.is_some() {
            self.starts.push(start);
            self.text.push(b':');
            members.next_value_seed(&mut *self)?;
            self.text.push(b',');
            start = self.text.len();
        }
        self.order_members(first);
        self.end(b'}');
        Ok(())
    }
}
