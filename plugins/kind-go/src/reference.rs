//! Owns references `go:DIR?OPTION&OPTION`: a directory, and options for `go test`. Does not know
//! what Go makes of them.

use std::fmt::Write as _;

use persea_exec_command::options::{flag, needed, split};

/// The beginning of every reference.
pub(crate) const SCHEME: &str = "go:";

/// The end of a directory whose packages below it are meant too.
const BELOW: &str = "...";

/// The option that makes each test a task of its own.
const ISOLATE: &str = "isolate";

/// A parsed reference.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct GoReference {
    /// The directory: absolute, or relative to the project.
    pub(crate) directory: String,
    /// Whether the packages below the directory are meant too.
    pub(crate) is_recursive: bool,
    /// Options of `go test` that change what is built.
    pub(crate) build: Vec<String>,
    /// Options that test binaries have, without `-test.`: `short`, `count=2`.
    pub(crate) binary: Vec<String>,
    /// Which tests run: a regular expression for each level of subtests.
    pub(crate) run: Option<String>,
    /// Which tests do not run: an expression as that of `run`. Go 1.20 or later.
    pub(crate) skip: Option<String>,
    /// The time limit of Go for a process with tests, in Go's form.
    pub(crate) timeout: Option<String>,
    /// Whether each test is a task of its own; none where the setting decides.
    pub(crate) isolate: Option<bool>,
}

/// Where an option belongs.
#[derive(Clone, Copy, PartialEq)]
enum OptionPlace {
    /// A flag of the build.
    BuildFlag,
    /// An option of the build with a value.
    Build,
    /// A flag of a test binary.
    BinaryFlag,
    /// An option of a test binary with a value.
    Binary,
}

/// The options of `go test` that a reference may have, beside `run`, `skip`, `timeout` and
/// `isolate`.
const OPTIONS: [(&str, OptionPlace); 16] = [
    ("asan", OptionPlace::BuildFlag),
    ("count", OptionPlace::Binary),
    ("cpu", OptionPlace::Binary),
    ("failfast", OptionPlace::BinaryFlag),
    ("gcflags", OptionPlace::Build),
    ("ldflags", OptionPlace::Build),
    ("mod", OptionPlace::Build),
    ("modfile", OptionPlace::Build),
    ("msan", OptionPlace::BuildFlag),
    ("parallel", OptionPlace::Binary),
    ("race", OptionPlace::BuildFlag),
    ("short", OptionPlace::BinaryFlag),
    ("shuffle", OptionPlace::Binary),
    ("tags", OptionPlace::Build),
    ("trimpath", OptionPlace::BuildFlag),
    ("vet", OptionPlace::Build),
];

impl GoReference {
    /// Parses a reference.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix(SCHEME).unwrap_or(text);
        let (path, options) = split(rest)?;
        let below = match path.strip_suffix(BELOW) {
            Some("") => Some("."),
            Some(directory) => directory
                .strip_suffix('/')
                .map(|directory| match directory {
                    "" => "/",
                    directory => directory,
                }),
            None => None,
        };
        let directory = below.unwrap_or(&path);
        if directory.contains(BELOW) {
            let message = format!("`{BELOW}` may only be at the end of {path}, after a slash");
            return Err(message);
        }
        let mut reference = Self {
            is_recursive: below.is_some(),
            directory: match directory.trim_end_matches('/') {
                "" if directory.starts_with('/') => "/".to_owned(),
                "" => ".".to_owned(),
                directory => directory.to_owned(),
            },
            ..Self::default()
        };
        for (name, value) in options {
            match name {
                "run" => reference.run = Some(needed(name, value)?),
                "skip" => reference.skip = Some(needed(name, value)?),
                "timeout" => reference.timeout = Some(needed(name, value)?),
                ISOLATE => reference.isolate = Some(flag(name, value.as_deref())?),
                _ => reference.add(name, value)?,
            }
        }
        Ok(reference)
    }

    fn add(&mut self, name: &str, value: Option<String>) -> Result<(), String> {
        let known = OPTIONS.iter().find(|(known, _)| *known == name);
        let Some((_, place)) = known else {
            return Err(unknown(name));
        };
        match place {
            OptionPlace::BuildFlag if flag(name, value.as_deref())? => {
                self.build.push(format!("-{name}"));
            }
            OptionPlace::BinaryFlag if flag(name, value.as_deref())? => {
                self.binary.push(name.to_owned());
            }
            OptionPlace::BuildFlag | OptionPlace::BinaryFlag => {}
            OptionPlace::Build => self.build.push(format!("-{name}={}", needed(name, value)?)),
            OptionPlace::Binary => self.binary.push(format!("{name}={}", needed(name, value)?)),
        }
        Ok(())
    }

    /// The packages of the reference, as Go has them, in the directory of the reference.
    pub(crate) fn pattern(&self) -> &'static str {
        match self.is_recursive {
            true => "./...",
            false => ".",
        }
    }

    /// The options of `go list`: those that choose files and modules.
    pub(crate) fn listing_options(&self) -> impl Iterator<Item = &String> {
        let chooses = |option: &&String| {
            let mut names = ["-race", "-msan", "-asan", "-tags=", "-mod=", "-modfile="].iter();
            names.any(|name| option.starts_with(name))
        };
        self.build.iter().filter(chooses)
    }
}

fn unknown(name: &str) -> String {
    let mut message = format!("unknown option `{name}`; there are {ISOLATE}, run, skip, timeout");
    for (known, _) in OPTIONS {
        // Writing into a text cannot fail.
        let _ = write!(message, ", {known}");
    }
    message
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str) -> GoReference {
        GoReference::parse(text).unwrap()
    }

    #[test]
    fn directory_may_stand_for_all_below_it() {
        for (text, directory, is_recursive) in [
            ("go:", ".", false),
            ("go:.", ".", false),
            ("go:...", ".", true),
            ("go:./...", ".", true),
            ("go:a/b/", "a/b", false),
            ("go:a/b/...", "a/b", true),
            ("go:/...", "/", true),
            ("go:/", "/", false),
            ("go:a%3Fb", "a?b", false),
        ] {
            let reference = parse(text);
            assert_eq!(reference.directory, directory, "{text}");
            assert_eq!(reference.is_recursive, is_recursive, "{text}");
        }
    }

    #[test]
    fn options_belong_to_the_build_or_to_the_binary() {
        let reference =
            parse("go:.?race&tags=a,b&short&count=2&run=A/b%26c&timeout=5s&isolate&failfast=false");
        assert_eq!(reference.build, ["-race", "-tags=a,b"]);
        assert_eq!(reference.binary, ["short", "count=2"]);
        assert_eq!(reference.run.as_deref(), Some("A/b&c"));
        assert_eq!(reference.timeout.as_deref(), Some("5s"));
        assert_eq!(reference.isolate, Some(true));
        let of_list: Vec<&String> = reference.listing_options().collect();
        assert_eq!(of_list, ["-race", "-tags=a,b"]);
        let other = parse("go:.?ldflags=-s&vet=off");
        assert_eq!(other.listing_options().count(), 0);
    }

    #[test]
    fn invalid_reference_is_an_error_with_a_reason() {
        for (text, words) in [
            (
                "go:.?colour=red",
                "unknown option `colour`; there are isolate, run, skip, timeout, asan",
            ),
            ("go:.?run", "option `run` needs a value"),
            ("go:.?race=1", "option `race` must be true or false, not 1"),
            ("go:a%2", "`a%2` has a % without two digits"),
            ("go:a/.../b", "`...` may only be at the end of a/.../b"),
            ("go:a...", "after a slash"),
        ] {
            let why = GoReference::parse(text).unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }
}
