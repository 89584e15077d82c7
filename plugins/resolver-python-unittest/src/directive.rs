//! Owns Avocado's directives in docstrings: `:avocado: tags=fast,arch:x86_64`,
//! `:avocado: dependency={"type": …}`, `:avocado: enable`.
//!
//! Does not know about Python syntax: a docstring is a text with lines.

use persea_plugin_sdk::log::{Level, log};
use persea_plugin_sdk::prelude::*;

/// Tags with their values, in the order of the source. A flat tag has no values.
pub(crate) type Tags = Vec<(String, Vec<String>)>;

/// The directives of one docstring.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Directives {
    /// The merged tags of all `tags=` directives.
    pub(crate) tags: Tags,
    /// A requirement for each `dependency=` directive with a JSON object. Avocado ignores the
    /// others, too.
    pub(crate) requirements: Vec<Requirement>,
    /// `enable`: the class is a test whatever its bases are, with its own methods only.
    pub(crate) enable: bool,
    /// `disable`: the class is not a test, but its subclasses may be.
    pub(crate) disable: bool,
    /// `recursive`: the class is a test whatever its bases are, with inherited methods.
    pub(crate) recursive: bool,
}

impl Directives {
    /// Parses a docstring. Logs a warning for each ignored dependency.
    pub(crate) fn read(docstring: &str) -> Self {
        let mut found = Self::default();
        for directive in docstring.lines().filter_map(directive) {
            if let Some(tags) = directive.strip_prefix("tags=") {
                tags.split(',')
                    .filter(|tag| !tag.is_empty())
                    .for_each(|tag| add_tag(&mut found.tags, tag));
            } else if let Some(text) = directive.strip_prefix("dependency=") {
                match requirement(text) {
                    Some(requirement) => found.requirements.push(requirement),
                    None => log(
                        Level::Warn,
                        &format!(
                            "ignored a dependency: expected a JSON object with a `type`, \
                             found {text}"
                        ),
                    ),
                }
            } else {
                match directive {
                    "enable" => found.enable = true,
                    "disable" => found.disable = true,
                    "recursive" => found.recursive = true,
                    _ => {}
                }
            }
        }
        found
    }
}

/// The directive in a line, by Avocado's pattern
/// `\s*:avocado:[ \t]+([a-zA-Z0-9]+?[a-zA-Z0-9_:,\=\-\.]*|dependency={.*})\s*$`.
fn directive(line: &str) -> Option<&str> {
    let rest = line.trim().strip_prefix(":avocado:")?;
    let directive = rest.trim_start_matches([' ', '\t']);
    if directive.len() == rest.len() {
        return None;
    }
    let plain = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text
                .chars()
                .all(|each| each.is_ascii_alphanumeric() || "_:,=-.".contains(each))
    };
    let dependency = directive.starts_with("dependency={") && directive.ends_with('}');
    (plain(directive) || dependency).then_some(directive)
}

/// Merges a tag `name` or `name:value` into the tags. A flat tag clears the values before it.
fn add_tag(tags: &mut Tags, tag: &str) {
    let (name, value) = match tag.split_once(':') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (tag, None),
    };
    match (tags.iter_mut().find(|(known, _)| known == name), value) {
        (None, value) => tags.push((name.to_owned(), value.into_iter().collect())),
        (Some((_, values)), None) => values.clear(),
        (Some((_, values)), Some(value)) if !values.contains(&value) => values.push(value),
        _ => {}
    }
}

/// The requirement of a dependency's JSON object. Its members are keyword arguments, except `type`,
/// `uri` and `args`, and `scope` and `label`, which the host reads. None where the text is not such
/// an object.
fn requirement(text: &str) -> Option<Requirement> {
    let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    let mut requirement = Requirement::new(object.remove("type")?.as_str()?);
    requirement.uri = object
        .remove("uri")
        .and_then(|uri| uri.as_str().map(str::to_owned));
    if let Some(serde_json::Value::Array(args)) = object.remove("args") {
        requirement = requirement.args(args.iter().filter_map(|arg| arg.as_str()));
    }
    for (name, value) in object {
        let data = match name.as_str() {
            "scope" | "label" => &mut requirement.more,
            _ => &mut requirement.kwargs,
        };
        data.insert(name, attribute(value));
    }
    Some(requirement)
}

/// Converts a JSON value to an attribute.
fn attribute(value: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Boolean(truth),
        Json::String(text) => Value::Text(text),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Integer(integer),
            (None, Some(number)) => Value::Number(number),
            (None, None) => Value::Text(number.to_string()),
        },
        list_or_object => Value::Json(list_or_object.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn tags(docstring: &str) -> Tags {
        Directives::read(docstring).tags
    }

    fn owned(tags: &[(&str, &[&str])]) -> Tags {
        let owned = |values: &[&str]| values.iter().map(ToString::to_string).collect();
        tags.iter()
            .map(|(name, values)| (name.to_string(), owned(values)))
            .collect()
    }

    #[test]
    fn tags_of_all_lines_are_collected() {
        let found = tags(
            "Does it.\n\n    :avocado: tags=fast,arch:x86_64\n  :avocado:\ttags=arch:arm64,net  \n",
        );
        assert_eq!(
            found,
            owned(&[("fast", &[]), ("arch", &["x86_64", "arm64"]), ("net", &[])])
        );
    }

    /// The rules are Avocado's: a flat tag clears earlier values, and equal values count once.
    #[test]
    fn repeated_tags_are_merged() {
        for (written, merged) in [
            ("a:1,a:2", owned(&[("a", &["1", "2"])])),
            ("a:2,a:1,a:2", owned(&[("a", &["2", "1"])])),
            ("a:1,b,a", owned(&[("a", &[]), ("b", &[])])),
            ("a,a:1", owned(&[("a", &["1"])])),
            ("a,a", owned(&[("a", &[])])),
            ("a:1:2", owned(&[("a", &["1:2"])])),
        ] {
            assert_eq!(
                tags(&format!(":avocado: tags={written}")),
                merged,
                "{written}"
            );
            // One directive for each tag gives the same result.
            let lines: String = written
                .split(',')
                .map(|tag| format!(":avocado: tags={tag}\n"))
                .collect();
            assert_eq!(tags(&lines), merged, "{lines}");
        }
    }

    #[test]
    fn malformed_directive_is_ignored() {
        for none in [
            ":avocado:tags=a",
            "see :avocado: tags=a",
            ":avocado: tags=a b",
            ":avocado: -x",
            ":avocado: tags=é",
            "",
        ] {
            assert_eq!(Directives::read(none), Directives::default(), "{none:?}");
        }
        assert_eq!(tags(":avocado: tags="), owned(&[]));
    }

    #[test]
    fn enable_disable_and_recursive_are_read() {
        assert!(Directives::read(":avocado: enable").enable);
        assert!(Directives::read("x\n:avocado: disable").disable);
        assert!(Directives::read(":avocado: recursive").recursive);
    }

    #[test]
    fn dependency_becomes_a_requirement() {
        let found = Directives::read(
            ":avocado: dependency={\"type\": \"package\", \"name\": \"hello\", \
             \"n\": 3, \"when\": [1]}\n\
             :avocado: dependency={\"type\": \"podman-image\", \"uri\": \"fedora:40\", \
             \"args\": [\"-q\"], \"scope\": \"task\"}",
        );
        let package = Requirement::new("package")
            .kwarg("n", 3)
            .kwarg("name", "hello")
            .kwarg("when", Value::Json("[1]".into()));
        let image = Requirement::new("podman-image")
            .uri("fedora:40")
            .args(["-q"])
            .with("scope", "task");
        assert_eq!(found.requirements, [package, image]);
    }

    #[test]
    fn invalid_dependency_is_ignored() {
        let found = Directives::read(
            ":avocado: dependency={type: package}\n:avocado: dependency={\"name\": \"x\"}",
        );
        assert_eq!(found.requirements, []);
    }

    proptest! {
        #[test]
        fn no_docstring_panics(text in "(?s)(:avocado: (tags=|dependency=\\{)?)?.{0,40}") {
            Directives::read(&text);
        }

        #[test]
        fn tags_keep_their_names_and_order(
            names in prop::collection::vec("[a-z0-9][a-z0-9_.-]{0,8}", 1..5),
        ) {
            let mut unique = names.clone();
            unique.dedup();
            let distinct: std::collections::HashSet<&String> = unique.iter().collect();
            prop_assume!(distinct.len() == unique.len());
            let found = tags(&format!("  :avocado: tags={}", unique.join(",")));
            let expected: Tags = unique.into_iter().map(|name| (name, Vec::new())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
