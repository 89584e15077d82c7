//! Owns reading the arguments of a requirement: keyword arguments by name and type, with errors
//! for unknown names and wrong types. Does not know what the arguments mean.

use persea_plugin_sdk::{Error, Requirement, Value};

/// The arguments of a requirement.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    requirement: &'a Requirement,
}

impl<'a> Arguments<'a> {
    /// Reads the arguments of a requirement, whose keyword arguments must be among `known`.
    ///
    /// # Errors
    /// `invalid` where there is an unknown keyword argument, or any positional argument.
    pub fn read(requirement: &'a Requirement, known: &[&str]) -> Result<Self, Error> {
        let arguments = Self { requirement };
        let mut names = requirement.kwargs.iter().map(|(name, _)| name);
        if let Some(name) = names.find(|name| !known.contains(name)) {
            let known = known.join(", ");
            let message = format!("unknown argument `{name}`; use {known} or scope");
            return Err(arguments.invalid(message));
        }
        if !requirement.args.is_empty() {
            let message = "it takes no `args`; use keyword arguments";
            return Err(arguments.invalid(message));
        }
        Ok(arguments)
    }

    /// Builds an error about the arguments.
    pub fn invalid(&self, message: impl std::fmt::Display) -> Error {
        let kind = &self.requirement.kind;
        Error::new(
            "invalid",
            format!("a requirement of kind {kind}: {message}"),
        )
    }

    /// Builds an error about one argument, which must be as `expected` describes.
    pub fn wrong(&self, name: &str, expected: &str) -> Error {
        self.invalid(format!("`{name}` must be {expected}"))
    }

    /// The value of an argument; `None` where it is absent or null.
    pub fn value(&self, name: &str) -> Option<&'a Value> {
        let value = self.requirement.kwargs.get(name);
        value.filter(|value| **value != Value::Null)
    }

    /// A non-empty text.
    ///
    /// # Errors
    /// `invalid` where the value is empty or of another type.
    pub fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Text(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a text that is not empty")),
        }
    }

    /// The uri of the requirement, or the keyword argument `name` instead of it.
    ///
    /// # Errors
    /// `invalid` where both are given and differ, or where the value is not a non-empty text.
    pub fn uri_or(&self, name: &str) -> Result<Option<&'a str>, Error> {
        let uri = self.requirement.uri.as_deref();
        match (uri, self.text(name)?) {
            (Some(""), _) => Err(self.wrong("uri", "a text that is not empty")),
            (Some(uri), Some(text)) if uri != text => {
                let message =
                    format!("its uri is `{uri}` and its {name} is `{text}`; give only one of them");
                Err(self.invalid(message))
            }
            (uri, text) => Ok(uri.or(text)),
        }
    }

    /// A boolean; false where the argument is absent.
    ///
    /// # Errors
    /// `invalid` where the value is not a boolean.
    pub fn flag(&self, name: &str) -> Result<bool, Error> {
        match self.value(name) {
            None => Ok(false),
            Some(Value::Boolean(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(name, "true or false")),
        }
    }

    /// A list of non-empty texts; a single text is a list of one.
    ///
    /// # Errors
    /// `invalid` where the value is of another type.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, Error> {
        let texts = match self.value(name) {
            None => Some(Vec::new()),
            Some(Value::Text(text)) => Some(vec![text.clone()]),
            Some(Value::Json(json)) => serde_json::from_str(json).ok(),
            Some(_) => None,
        };
        let texts = texts.filter(|texts: &Vec<String>| texts.iter().all(|text| !text.is_empty()));
        texts.ok_or_else(|| self.wrong(name, r#"a list of texts, such as ["a", "b"]"#))
    }
}

/// Whether a shell accepts a text as the name of an environment variable.
pub fn is_variable(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(plain)
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const KNOWN: [&str; 2] = ["name", "list"];

    fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
        result.unwrap_err().message
    }

    #[test]
    fn unknown_arguments_are_named() {
        let requirement = Requirement::new("file").with("scope", "task");
        assert!(Arguments::read(&requirement, &KNOWN).is_ok());
        let requirement = requirement.kwarg("colour", "red");
        assert_eq!(
            message(Arguments::read(&requirement, &KNOWN)),
            "a requirement of kind file: unknown argument `colour`; use name, list or scope"
        );
        let requirement = Requirement::new("file").args(["-v"]);
        assert!(message(Arguments::read(&requirement, &KNOWN)).contains("takes no `args`"));
    }

    #[test]
    fn value_of_another_type_is_an_error() {
        let requirement = Requirement::new("file")
            .kwarg("text", "a")
            .kwarg("empty", "")
            .kwarg("null", Value::Null)
            .kwarg("yes", true)
            .kwarg("list", Value::json(r#"["a","b"]"#))
            .kwarg("numbers", Value::json("[1]"));
        let arguments = Arguments {
            requirement: &requirement,
        };
        assert_eq!(arguments.text("text"), Ok(Some("a")));
        assert_eq!(arguments.text("null"), Ok(None));
        assert_eq!(arguments.text("none"), Ok(None));
        let expected = "a requirement of kind file: `empty` must be a text that is not empty";
        assert_eq!(message(arguments.text("empty")), expected);
        assert!(arguments.text("yes").is_err());
        assert_eq!(arguments.flag("yes"), Ok(true));
        assert_eq!(arguments.flag("none"), Ok(false));
        assert!(arguments.flag("text").is_err());
        assert_eq!(arguments.texts("list").unwrap(), ["a", "b"]);
        assert_eq!(arguments.texts("text").unwrap(), ["a"]);
        assert!(arguments.texts("numbers").is_err());
        assert!(arguments.texts("empty").is_err());
    }

    #[test]
    fn uri_and_name_must_agree() {
        let uri_or_name = |requirement: Requirement| {
            let arguments = Arguments {
                requirement: &requirement,
            };
            arguments.uri_or("name").map(|text| text.map(str::to_owned))
        };
        let plain = Requirement::new("command");
        assert_eq!(uri_or_name(plain.clone()), Ok(None));
        assert_eq!(uri_or_name(plain.clone().uri("a")), Ok(Some("a".into())));
        assert_eq!(
            uri_or_name(plain.clone().kwarg("name", "a")),
            Ok(Some("a".into()))
        );
        assert_eq!(
            uri_or_name(plain.clone().uri("a").kwarg("name", "a")),
            Ok(Some("a".into()))
        );
        assert!(uri_or_name(plain.clone().uri("a").kwarg("name", "b")).is_err());
        assert!(uri_or_name(plain.uri("")).is_err());
    }

    #[test]
    fn variable_names_are_those_that_a_shell_accepts() {
        assert!(is_variable("PERSEA_2") && is_variable("_x"));
        assert!(
            !is_variable("2_X") && !is_variable("") && !is_variable("A-B") && !is_variable("Ä")
        );
    }
}
