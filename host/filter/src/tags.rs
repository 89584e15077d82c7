//! Owns Avocado's syntax of tags: `fast,-net,arch:x86_64`.
//!
//! A comma joins what must all hold. A `-` before a tag means that the test does not have it. A tag
//! with a value is written `name:value`.

/// A list of tags in Avocado's syntax.
#[derive(Clone, Debug)]
pub(crate) struct TagList(Vec<TagRule>);

#[derive(Clone, Debug)]
struct TagRule {
    name: String,
    value: Option<String>,
    is_wanted: bool,
}

impl TagList {
    /// Parses a list; none if a tag has no name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rules = text.split(',').map(|rule| {
            let rule = rule.trim();
            let (rule, is_wanted) = match rule.strip_prefix('-') {
                Some(rule) => (rule, false),
                None => (rule, true),
            };
            let (name, value) = match rule.split_once(':') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (rule, None),
            };
            (!name.is_empty()).then(|| TagRule {
                name: name.to_owned(),
                value,
                is_wanted,
            })
        });
        rules.collect::<Option<Vec<TagRule>>>().map(Self)
    }

    /// Whether each rule holds for a test's tags.
    pub(crate) fn matches(&self, tags: &[(String, Vec<String>)]) -> bool {
        self.0.iter().all(|rule| {
            let has = tags.iter().any(|(name, values)| {
                *name == rule.name && rule.value.as_ref().is_none_or(|it| values.contains(it))
            });
            has == rule.is_wanted
        })
    }
}
