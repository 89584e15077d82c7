//! Owns Avocado's file of hints, `.avocado.hint`: its kinds by pattern, as rules. The format is
//! that of Python's configparser; Avocado's guide describes the sections ("Test Resolver",
//! "hints").

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use configparser::ini::Ini;
use persea_config::{Foreign, OpenError, SafeDirectories};
use persea_model::Attributes;
use persea_system::bounded_read::{self, MAX_SMALL_FILE};

use crate::input::conditions::TaskConditions;
use crate::input::kind_rules::written::{OneOrMore, PATH, WrittenRule};

/// The name of the file.
pub(crate) const FILE: &str = ".avocado.hint";

/// The section with a glob for each kind.
const KINDS: &str = "kinds";

/// What stands for the path of a test in Avocado's hints.
const TEST_PATH: &str = "$testpath";

/// Why the hints cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HintError {
    /// The file cannot be read.
    #[error("cannot read the hints {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file belongs to another user.
    #[error("{0}")]
    Foreign(Box<Foreign>),
    /// The file is wrong.
    #[error("{}: {why}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl HintError {
    /// The error of a rule that was made of the hints in this directory.
    pub(super) fn rule(start: &Path, why: String) -> Self {
        Self::Invalid {
            path: start.join(FILE),
            why,
        }
    }
}

/// Reads the hints of a directory; nothing where it has none.
pub(super) fn read(start: &Path, safe: &SafeDirectories) -> Result<Vec<WrittenRule>, HintError> {
    let path = start.join(FILE);
    let opened = match safe.open(&path) {
        Ok(file) => Ok(file),
        Err(OpenError::Io(error)) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(OpenError::Io(error)) => Err(error),
        Err(OpenError::Foreign(foreign)) => return Err(HintError::Foreign(foreign)),
    };
    let text = opened.and_then(|file| bounded_read::text_of(file, MAX_SMALL_FILE));
    match text {
        Ok(text) => parse(&text).map_err(|why| HintError::Invalid { path, why }),
        Err(source) => Err(HintError::Read { path, source }),
    }
}

fn parse(text: &str) -> Result<Vec<WrittenRule>, String> {
    let mut hints = Ini::new_cs();
    let sections = hints.read(text.to_owned())?;
    let Some(kinds) = sections.get(KINDS) else {
        return Err(format!("the section [{KINDS}] is missing"));
    };
    let unused = sections
        .keys()
        .find(|it| *it != KINDS && !kinds.contains_key(*it));
    if let Some(unused) = unused {
        return Err(format!(
            "the section [{unused}] is about a kind that [{KINDS}] does not have"
        ));
    }
    let mut rules = Vec::new();
    // In the order of their names: Avocado's order is that of the file, which matters only where
    // two globs match one file.
    let ordered: BTreeMap<_, _> = kinds.iter().collect();
    for (kind, glob) in ordered {
        let Some(glob) = glob.as_deref().map(str::trim).filter(|it| !it.is_empty()) else {
            return Err(format!("[{KINDS}]: `{kind}` has no glob"));
        };
        let section = sections.get(kind);
        let value = |name: &str| {
            let value = section.and_then(|section| section.get(name));
            value.and_then(Option::as_deref).unwrap_or_default()
        };
        let put_path = |text: &str| text.replace(TEST_PATH, PATH);
        let list = |name: &str| {
            let items = value(name).split(',').map(str::trim);
            items.filter(|it| !it.is_empty()).map(put_path).collect()
        };
        let args: Vec<String> = list("args");
        let uri = put_path(value("uri").trim());
        let mut kwargs = Attributes::new();
        for pair in list("kwargs") {
            let (name, text) = pair.split_once('=').ok_or_else(|| {
                format!("[{kind}]: `kwargs`: expected NAME=VALUE, found `{pair}`")
            })?;
            kwargs.insert(name.trim().into(), text.trim().into());
        }
        // Without these, the resolvers of the kind read the file.
        let has_program = section.is_some() && !(uri.is_empty() && args.is_empty());
        let program = match uri.is_empty() {
            true => PATH.to_owned(),
            false => uri,
        };
        let rooted = match Path::new(glob).is_absolute() || glob.starts_with("./") {
            true => glob.to_owned(),
            false => format!("./{glob}"),
        };
        rules.push(WrittenRule {
            files: OneOrMore::One(rooted),
            exclude: OneOrMore::default(),
            kind: kind.clone(),
            program: match has_program {
                true => std::iter::once(program).chain(args).collect(),
                false => Vec::new(),
            },
            is_exact: true,
            kwargs,
            env: BTreeMap::new(),
            tags: BTreeMap::new(),
            conditions: TaskConditions::default(),
        });
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rule(text: &str) -> WrittenRule {
        let mut rules = parse(text).unwrap();
        assert_eq!(rules.len(), 1, "{rules:?}");
        rules.remove(0)
    }

    #[test]
    fn hints_are_rules() {
        let hints = "# comment\n[kinds]\ntap = ./tests/*.t\n\n\
                     [tap]\nuri=/usr/bin/perl\nargs=-Ilib,$testpath\n\
                     kwargs=PERL5LIB=./lib,DEBUG=1\n";
        let tap = rule(hints);
        assert_eq!(tap.kind, "tap");
        assert_eq!(tap.files, OneOrMore::One("./tests/*.t".to_owned()));
        assert_eq!(tap.program, ["/usr/bin/perl", "-Ilib", "{path}"]);
        let kwargs = serde_json::to_string(&tap.kwargs).unwrap();
        assert_eq!(kwargs, r#"{"DEBUG":"1","PERL5LIB":"./lib"}"#);
    }

    #[test]
    fn kind_without_a_section_is_left_to_its_resolver() {
        let python = rule("[kinds]\npython-unittest = tests/*.py\n");
        assert_eq!(python.program, [""; 0]);
        assert_eq!(python.files, OneOrMore::One("./tests/*.py".to_owned()));
        let plain = rule("[kinds]\ntap = *.t\n[tap]\nuri = $testpath\n");
        assert_eq!(plain.program, ["{path}"]);
        assert_eq!(plain.files, OneOrMore::One("./*.t".to_owned()));
    }

    #[test]
    fn wrong_hints_are_refused() {
        for (text, expected) in [
            ("[tap]\nuri=a\n", "the section [kinds] is missing"),
            (
                "[kinds]\ntap = *.t\n[tpa]\nuri=a\n",
                "[tpa] is about a kind",
            ),
            ("[kinds]\ntap =\n", "`tap` has no glob"),
            (
                "[kinds]\ntap = *.t\n[tap]\nkwargs=A\n",
                "expected NAME=VALUE, found `A`",
            ),
            ("[kinds\n", "line"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
