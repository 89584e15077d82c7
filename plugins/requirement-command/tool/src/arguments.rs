//! Reads what was declared of a requirement: keyword arguments by name, each of the type that it must have. What is unknown or of
//! another type is an error that says what would be right. It must not know what the arguments mean.

use persea_plugin_sdk::{Error, Requirement, Value};

/// The arguments of a requirement.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    requirement: &'a Requirement,
}

impl<'a> Arguments<'a> {
    /// Those of a requirement that has no others than the `known` ones.
    ///
    /// # Errors
    /// `invalid` where there are others.
    pub fn read(requirement: &'a Requirement, known: &[&str]) -> Result<Self, Error> {
        let arguments = Self { requirement };
        let mut names = requirement.kwargs.iter().map(|(name, _)| name);
        // That one is the host's.
        if let Some(name) = names.find(|name| *name != "scope" && !known.contains(name)) {
            let known = known.join(", ");
            let message = format!("`{name}` is not known; it can have {known} and scope");
            return Err(arguments.invalid(message));
        }
        if !requirement.args.is_empty() {
            let message = "it takes no `args`; give it keyword arguments";
            return Err(arguments.invalid(message));
        }
        Ok(arguments)
    }

    /// What is wrong with them.
    pub fn invalid(&self, message: impl std::fmt::Display) -> Error {
        let kind = &self.requirement.kind;
        Error::new(
            "invalid",
            format!("a requirement of kind {kind}: {message}"),
        )
    }

    /// What is wrong with one of them, and what it should be.
    pub fn wrong(&self, name: &str, wanted: &str) -> Error {
        self.invalid(format!("`{name}` must be {wanted}"))
    }

    /// The value of a name; none also where it is null.
    pub fn value(&self, name: &str) -> Option<&'a Value> {
        let value = self.requirement.kwargs.get(name);
        value.filter(|value| **value != Value::None)
    }

    /// A text that isn't empty.
    ///
    /// # Errors
    /// `invalid` where it is something else.
    pub fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Text(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a text that is not empty")),
        }
    }

    /// The thing itself: the uri, or the keyword argument `name` in its place.
    ///
    /// # Errors
    /// `invalid` where both are given and differ, or it is no text.
    pub fn thing(&self, name: &str) -> Result<Option<&'a str>, Error> {
        let uri = self.requirement.uri.as_deref();
        match (uri, self.text(name)?) {
            (Some(""), _) => Err(self.wrong("uri", "a text that is not empty")),
            (Some(uri), Some(text)) if uri != text => {
                let message =
                    format!("it has the uri `{uri}` and the {name} `{text}`; give it one of both");
                Err(self.invalid(message))
            }
            (uri, text) => Ok(uri.or(text)),
        }
    }

    /// Whether something is wanted; it isn't where nothing is said.
    ///
    /// # Errors
    /// `invalid` where it is neither true nor false.
    pub fn flag(&self, name: &str) -> Result<bool, Error> {
        match self.value(name) {
            None => Ok(false),
            Some(Value::Boolean(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(name, "true or false")),
        }
    }

    /// A list of texts; one text is a list of one.
    ///
    /// # Errors
    /// `invalid` where it is something else.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, Error> {
        let texts = match self.value(name) {
            None => Some(Vec::new()),
            Some(Value::Text(text)) => Some(vec![text.clone()]),
            Some(Value::Json(json)) => serde_json::from_str(json).ok(),
            Some(_) => None,
        };
        let texts = texts.filter(|texts: &Vec<String>| texts.iter().all(|text| !text.is_empty()));
        texts.ok_or_else(|| self.wrong(name, r#"a list of texts, as ["a", "b"]"#))
    }
}

/// Whether a text can be the name of an environment variable.
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
    fn what_is_not_known_is_named() {
        let wanted = Requirement::new("file").kwarg("scope", "job");
        assert!(Arguments::read(&wanted, &KNOWN).is_ok());
        let wanted = wanted.kwarg("colour", "red");
        assert_eq!(
            message(Arguments::read(&wanted, &KNOWN)),
            "a requirement of kind file: `colour` is not known; it can have name, list and scope"
        );
        let wanted = Requirement::new("file").args(["-v"]);
        assert!(message(Arguments::read(&wanted, &KNOWN)).contains("takes no `args`"));
    }

    #[test]
    fn a_value_is_of_its_type_or_an_error() {
        let wanted = Requirement::new("file")
            .kwarg("text", "a")
            .kwarg("empty", "")
            .kwarg("null", Value::None)
            .kwarg("yes", true)
            .kwarg("list", Value::json(r#"["a","b"]"#))
            .kwarg("numbers", Value::json("[1]"));
        let arguments = Arguments {
            requirement: &wanted,
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
    fn a_thing_has_one_name() {
        let thing = |wanted: Requirement| {
            let arguments = Arguments {
                requirement: &wanted,
            };
            arguments
                .thing("name")
                .map(|thing| thing.map(str::to_owned))
        };
        let plain = Requirement::new("command");
        assert_eq!(thing(plain.clone()), Ok(None));
        assert_eq!(thing(plain.clone().uri("a")), Ok(Some("a".into())));
        assert_eq!(
            thing(plain.clone().kwarg("name", "a")),
            Ok(Some("a".into()))
        );
        assert_eq!(
            thing(plain.clone().uri("a").kwarg("name", "a")),
            Ok(Some("a".into()))
        );
        assert!(thing(plain.clone().uri("a").kwarg("name", "b")).is_err());
        assert!(thing(plain.uri("")).is_err());
    }

    #[test]
    fn variables_have_names_that_a_shell_can_use() {
        assert!(is_variable("PERSEA_2") && is_variable("_x"));
        assert!(
            !is_variable("2_X") && !is_variable("") && !is_variable("A-B") && !is_variable("Ä")
        );
    }
}
