//! Owns open data: values by name. Does not know what the names mean.

use crate::json;
use std::time::Duration;

#[doc(inline)]
pub use crate::bindings::types::Value;

/// Open data: values by name, in the order in which they were added.
///
/// Names are unique as a rule; where a name comes twice, the last value counts. A plugin ignores
/// the names that it does not know, so that later hosts can add some.
///
/// ```
/// use persea_plugin_sdk::Attributes;
///
/// let data = Attributes::new().with("factor", 1.5).with("user", "ann");
/// assert_eq!(data.number("factor"), Some(1.5));
/// assert_eq!(data.text("factor"), None, "a number is not a text");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(pub Vec<(String, Value)>);

impl Attributes {
    /// Creates an empty set.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns the value of a name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    /// Returns the value of a name if it is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns the value of a name if it is a whole number.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    /// Returns the value of a name if it is a number, whole or not. Whole numbers beyond 2^53 are
    /// rounded.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.get(name) {
            Some(Value::Number(number)) => Some(*number),
            Some(Value::Integer(number)) => Some(*number as f64),
            _ => None,
        }
    }

    /// Returns the value of a name if it is a boolean.
    pub fn boolean(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            Some(Value::Boolean(truth)) => Some(*truth),
            _ => None,
        }
    }

    /// Returns the value of a name if it is a list or an object, as a JSON text.
    pub fn json(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Json(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns the value of a name if it is a list of texts.
    pub fn list(&self, name: &str) -> Option<Vec<String>> {
        self.json(name).and_then(json::texts)
    }

    /// Returns the value of a name if it is a whole number of nanoseconds.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        let nanoseconds = u64::try_from(self.integer(name)?).ok()?;
        Some(Duration::from_nanos(nanoseconds))
    }

    /// Sets the value of a name. A known name keeps its position; a new one is added at the end.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().rev().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// Sets the value of a name, as [`insert`](Self::insert) does, and returns the set.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.insert(name, value);
        self
    }

    /// Iterates over all names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<N: Into<String>, V: Into<Value>> FromIterator<(N, V)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(items: I) -> Self {
        let items = items.into_iter();
        Self(
            items
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl IntoIterator for Attributes {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Value {
    /// A list or an object, as a JSON text (RFC 8259). The text is not checked here: the host
    /// refuses the call with `invalid` for a text that is not JSON, is no list or object, or is
    /// nested more than 100 levels deep.
    pub fn json(text: impl Into<String>) -> Self {
        Self::Json(text.into())
    }

    /// A list of texts, as JSON.
    ///
    /// ```
    /// use persea_plugin_sdk::Value;
    ///
    /// assert_eq!(Value::list(["a", "\"b\""]), Value::json(r#"["a","\"b\""]"#));
    /// ```
    pub fn list<I: IntoIterator<Item: AsRef<str>>>(texts: I) -> Self {
        Self::Json(json::list(texts))
    }

    /// An object of texts, as JSON.
    ///
    /// ```
    /// use persea_plugin_sdk::Value;
    ///
    /// assert_eq!(Value::object([("HOME", "/root")]), Value::json(r#"{"HOME":"/root"}"#));
    /// ```
    pub fn object<I, N, T>(members: I) -> Self
    where
        I: IntoIterator<Item = (N, T)>,
        N: AsRef<str>,
        T: AsRef<str>,
    {
        Self::Json(json::object(members))
    }
}

macro_rules! from {
    ($($source:ty => $case:ident),* $(,)?) => {
        $(impl From<$source> for Value {
            fn from(value: $source) -> Self {
                Self::$case(value.into())
            }
        })*
    };
}

from! {
    &str => Text,
    String => Text,
    bool => Boolean,
    i32 => Integer,
    u32 => Integer,
    i64 => Integer,
    f64 => Number,
}

/// In nanoseconds, as all durations of the contract. More than 292 years count as that.
impl From<Duration> for Value {
    fn from(duration: Duration) -> Self {
        Self::Integer(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn value_is_returned_only_as_its_own_type() {
        let data = Attributes::new()
            .with("text", "a")
            .with("whole", 3)
            .with("broken", 1.5)
            .with("truth", true)
            .with("list", Value::json("[1]"));
        assert_eq!(data.text("text"), Some("a"));
        assert_eq!(data.text("whole"), None);
        assert_eq!(data.text("list"), None, "JSON is not a text");
        assert_eq!(data.integer("whole"), Some(3));
        assert_eq!(data.integer("broken"), None);
        assert_eq!(data.number("whole"), Some(3.0));
        assert_eq!(data.number("broken"), Some(1.5));
        assert_eq!(data.boolean("truth"), Some(true));
        assert_eq!(data.json("list"), Some("[1]"));
        assert_eq!(data.get("nothing"), None);
        assert_eq!(
            data.list("list"),
            None,
            "a list of numbers is no list of texts"
        );
        assert_eq!(data.duration("whole"), Some(Duration::from_nanos(3)));
        assert_eq!(data.duration("broken"), None);
    }

    #[test]
    fn duration_becomes_nanoseconds() {
        assert_eq!(
            Value::from(Duration::from_millis(1)),
            Value::Integer(1_000_000)
        );
        assert_eq!(Value::from(Duration::MAX), Value::Integer(i64::MAX));
    }

    #[test]
    fn last_value_of_a_repeated_name_counts() {
        let mut data: Attributes = [("a", 1), ("b", 2), ("a", 3)].into_iter().collect();
        assert_eq!(data.integer("a"), Some(3));
        data.insert("a", 4);
        assert_eq!(data.integer("a"), Some(4));
        assert_eq!(data.len(), 3, "a known name is replaced, not added");
    }
}
