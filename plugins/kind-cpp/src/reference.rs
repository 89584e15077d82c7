//! Owns references such as `googletest:PROGRAM?filter=TEXT&isolate`. Does not know whether the
//! program exists.

use persea_exec_command::options;
use persea_plugin_sdk::prelude::*;

use crate::framework::Framework;
use crate::program::{FILTER, ISOLATE};

/// A parsed reference.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reference {
    framework: Framework,
    /// The path of the program: absolute, or relative to the project.
    pub(crate) program: String,
    /// Which tests run, in the language of the framework; none for those that the program runs by
    /// itself.
    filter: Option<String>,
    /// Whether each test is a task of its own; none where the setting decides.
    isolate: Option<bool>,
}

impl Reference {
    /// Parses what follows the scheme of a framework.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(crate) fn parse(framework: Framework, text: &str) -> Result<Self, String> {
        let (program, options) = options::split(text)?;
        let mut reference = Self {
            framework,
            program,
            filter: None,
            isolate: None,
        };
        if reference.program.is_empty() {
            let kind = framework.kind();
            return Err(format!("write {kind}: and the path of a test program"));
        }
        for (name, value) in options {
            match name {
                FILTER => {
                    let value = value.filter(|value| !value.is_empty());
                    reference.filter = Some(options::needed(name, value)?);
                }
                ISOLATE => reference.isolate = Some(options::flag(name, value.as_deref())?),
                other => {
                    let known = format!("there are {FILTER} and {ISOLATE}");
                    return Err(format!("unknown option `{other}`; {known}"));
                }
            }
        }
        Ok(reference)
    }

    /// The runnable that stands for the tests of the program.
    pub(crate) fn runnable(&self) -> Runnable {
        let mut runnable = Runnable::new(self.framework.kind()).uri(&self.program);
        if let Some(filter) = &self.filter {
            runnable = runnable.kwarg(FILTER, filter.as_str());
        }
        if let Some(isolate) = self.isolate {
            runnable = runnable.kwarg(ISOLATE, isolate);
        }
        runnable
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn options_become_keyword_arguments() {
        let parse = |text| {
            Reference::parse(Framework::Catch2, text)
                .unwrap()
                .runnable()
        };
        assert_eq!(parse("b/t"), Runnable::new("catch2").uri("b/t"));
        let expected = Runnable::new("catch2")
            .uri("a?b%")
            .kwarg(FILTER, "[fast] a&b")
            .kwarg(ISOLATE, true);
        assert_eq!(parse("a%3Fb%25?filter=[fast] a%26b&isolate"), expected);
        let expected = Runnable::new("catch2").uri("t").kwarg(ISOLATE, false);
        assert_eq!(parse("t?isolate=false&"), expected);
    }

    #[test]
    fn invalid_reference_is_an_error_with_a_reason() {
        for (text, words) in [
            ("", "write googletest: and the path"),
            ("t?filter", "needs a value"),
            ("t?filter=", "needs a value"),
            ("t?isolate=yes", "must be true or false, not yes"),
            (
                "t?colour=red",
                "unknown option `colour`; there are filter and isolate",
            ),
            ("t%2", "% without two digits"),
            ("%ff", "not UTF-8"),
        ] {
            let error = Reference::parse(Framework::GoogleTest, text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
