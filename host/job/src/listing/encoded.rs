//! Owns the binary form of kept runnables, in the format of `postcard`, which is read several times
//! faster than JSON. Does not know about files.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Number;

use persea_model::{Attribute, Attributes, DEEPEST, Requirement, Runnable};

/// Decodes a list of runnables, one by one, so that the binary forms of all are never in memory
/// together. None: the bytes are no such list.
pub(super) fn decode_all(bytes: &[u8]) -> Option<Vec<Arc<Runnable>>> {
    let (count, mut rest) = postcard::take_from_bytes::<usize>(bytes).ok()?;
    // A runnable has at least one byte, so a wrong count reserves no more than that.
    let mut all = Vec::with_capacity(count.min(rest.len()));
    for _ in 0..count {
        let (encoded, after) = postcard::take_from_bytes::<EncodedRunnable<'_>>(rest).ok()?;
        all.push(Arc::new(encoded.decode()?));
        rest = after;
    }
    Some(all)
}

/// An [`Attribute`]. `postcard` describes no types, so each case has its own.
#[derive(Serialize, Deserialize)]
enum EncodedAttribute<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Text(#[serde(borrow)] Cow<'a, str>),
    Json(#[serde(borrow)] Cow<'a, str>),
}

type EncodedAttributes<'a> = BTreeMap<Cow<'a, str>, EncodedAttribute<'a>>;

#[derive(Serialize, Deserialize)]
struct EncodedRequirement<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    uri: Option<Cow<'a, str>>,
    args: Vec<Cow<'a, str>>,
    kwargs: EncodedAttributes<'a>,
    more: EncodedAttributes<'a>,
}

/// A [`Runnable`].
#[derive(Serialize, Deserialize)]
pub(super) struct EncodedRunnable<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    uri: Option<Cow<'a, str>>,
    args: Vec<Cow<'a, str>>,
    kwargs: EncodedAttributes<'a>,
    env: Vec<(Cow<'a, str>, Option<Cow<'a, str>>)>,
    tags: Vec<(Cow<'a, str>, Vec<Cow<'a, str>>)>,
    requirements: Vec<EncodedRequirement<'a>>,
    identifier: Option<Cow<'a, str>>,
    more: EncodedAttributes<'a>,
}

fn encoded_attribute(attribute: &Attribute) -> EncodedAttribute<'_> {
    match attribute {
        Attribute::Null => EncodedAttribute::Null,
        Attribute::Boolean(value) => EncodedAttribute::Boolean(*value),
        Attribute::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(integer), _, _) => EncodedAttribute::Integer(integer),
            (None, Some(unsigned), _) => EncodedAttribute::Unsigned(unsigned),
            (None, None, Some(float)) => EncodedAttribute::Float(float),
            (None, None, None) => EncodedAttribute::Null,
        },
        Attribute::Text(text) => EncodedAttribute::Text(text.into()),
        Attribute::Json(json) => EncodedAttribute::Json(json.as_str().into()),
    }
}

/// Decodes an attribute. None: the text of a list or an object is no JSON.
fn attribute(encoded: EncodedAttribute<'_>) -> Option<Attribute> {
    Some(match encoded {
        EncodedAttribute::Null => Attribute::Null,
        EncodedAttribute::Boolean(value) => Attribute::Boolean(value),
        EncodedAttribute::Integer(value) => Attribute::Number(value.into()),
        EncodedAttribute::Unsigned(value) => Attribute::Number(value.into()),
        EncodedAttribute::Float(value) => Attribute::Number(Number::from_f64(value)?),
        EncodedAttribute::Text(text) => Attribute::Text(text.into_owned()),
        EncodedAttribute::Json(json) => Attribute::from_json(&json, DEEPEST)?,
    })
}

fn encoded_attributes(attributes: &Attributes) -> EncodedAttributes<'_> {
    let all = attributes.iter();
    all.map(|(name, value)| (name.into(), encoded_attribute(value)))
        .collect()
}

fn attributes(encoded: EncodedAttributes<'_>) -> Option<Attributes> {
    if encoded.is_empty() {
        return Some(Attributes::new());
    }
    let all = encoded.into_iter();
    all.map(|(name, value)| Some((name.into_owned(), attribute(value)?)))
        .collect()
}

fn encoded_texts(texts: &[String]) -> Vec<Cow<'_, str>> {
    texts.iter().map(Cow::from).collect()
}

fn texts(encoded: Vec<Cow<'_, str>>) -> Vec<String> {
    encoded.into_iter().map(Cow::into_owned).collect()
}

impl<'a> From<&'a Requirement> for EncodedRequirement<'a> {
    fn from(requirement: &'a Requirement) -> Self {
        Self {
            kind: (&requirement.kind).into(),
            uri: requirement.uri.as_ref().map(Cow::from),
            args: encoded_texts(&requirement.args),
            kwargs: encoded_attributes(&requirement.kwargs),
            more: encoded_attributes(&requirement.more),
        }
    }
}

impl EncodedRequirement<'_> {
    fn decode(self) -> Option<Requirement> {
        Some(Requirement {
            kind: self.kind.into_owned(),
            uri: self.uri.map(Cow::into_owned),
            args: texts(self.args),
            kwargs: attributes(self.kwargs)?,
            more: attributes(self.more)?,
        })
    }
}

impl<'a> From<&'a Runnable> for EncodedRunnable<'a> {
    fn from(runnable: &'a Runnable) -> Self {
        let env = runnable.env.iter();
        let tags = runnable.tags.iter();
        Self {
            kind: (&runnable.kind).into(),
            uri: runnable.uri.as_ref().map(Cow::from),
            args: encoded_texts(&runnable.args),
            kwargs: encoded_attributes(&runnable.kwargs),
            env: env
                .map(|(name, value)| (name.into(), value.as_ref().map(Cow::from)))
                .collect(),
            tags: tags
                .map(|(name, values)| (name.into(), encoded_texts(values)))
                .collect(),
            requirements: runnable.requirements.iter().map(Into::into).collect(),
            identifier: runnable.identifier.as_ref().map(Cow::from),
            more: encoded_attributes(&runnable.more),
        }
    }
}

impl EncodedRunnable<'_> {
    /// Decodes the runnable. None: it was not written by [`EncodedRunnable::from`].
    pub(super) fn decode(self) -> Option<Runnable> {
        let requirements = self.requirements.into_iter();
        let env = self.env.into_iter();
        let tags = self.tags.into_iter();
        Some(Runnable {
            kind: self.kind.into_owned(),
            uri: self.uri.map(Cow::into_owned),
            args: texts(self.args),
            kwargs: attributes(self.kwargs)?,
            env: env
                .map(|(name, value)| (name.into_owned(), value.map(Cow::into_owned)))
                .collect(),
            tags: tags
                .map(|(name, values)| (name.into_owned(), texts(values)))
                .collect(),
            requirements: requirements
                .map(EncodedRequirement::decode)
                .collect::<Option<_>>()?,
            identifier: self.identifier.map(Cow::into_owned),
            more: attributes(self.more)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn runnable_survives_encoding() {
        let runnable: Runnable = serde_json::from_value(serde_json::json!({
            "kind": "k", "uri": "u", "args": ["a", ""], "identifier": "ü;1",
            "kwargs": {
                "null": null, "yes": true, "least": i64::MIN, "most": u64::MAX, "half": 0.5,
                "text": "ü\n", "list": [1, {"b": null}], "object": {},
            },
            "env": [["A", null], ["B", "b"]], "tags": [["slow", []], ["arch", ["x", "y"]]],
            "requirements": [{"kind": "file", "uri": "/x", "kwargs": {"a": 1}}],
            "more": {"timeout": 5},
        }))
        .unwrap();
        let encoded = vec![EncodedRunnable::from(&runnable), (&runnable).into()];
        let bytes = postcard::to_allocvec(&encoded).unwrap();
        let both = vec![Arc::new(runnable.clone()), Arc::new(runnable.clone())];
        assert_eq!(decode_all(&bytes), Some(both));
        let (_, cut) = bytes.split_last().unwrap();
        assert_eq!(decode_all(cut), None);
        assert_eq!(decode_all(&[u8::MAX; 9]), None);
    }
}
