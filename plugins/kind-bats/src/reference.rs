//! Owns references: `FILE.bats`, and `bats:PATH?OPTION&OPTION` with a file or a directory. Does not
//! know what is in a file.

use persea_exec_command::options::{ReferenceOption, flag, needed, split};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::workspace::{self, FileKind};

use crate::{END, KIND};

/// The beginning of references with options or with a directory.
const SCHEME: &str = "bats:";

/// Keyword argument and option: a regular expression for the names of the tests that run.
pub(crate) const FILTER: &str = "filter";
/// Keyword argument and option: an expression for the tags of the tests that run.
pub(crate) const TAGS: &str = "tags";
/// Option: whether the files in directories below are meant too.
const RECURSIVE: &str = "recursive";

/// Which tests of the files run.
#[derive(Debug, Default)]
struct Options {
    filter: Option<String>,
    tags: Option<String>,
    is_recursive: bool,
}

/// Resolves a reference.
pub(crate) fn resolve(text: &str) -> Resolution {
    let Some(rest) = text.strip_prefix(SCHEME) else {
        return match workspace::stat(text) {
            _ if !text.ends_with(END) => {
                Resolution::not_found(format!("{text} is neither FILE{END} nor bats:PATH"))
            }
            Ok(stat) if stat.kind == FileKind::File => {
                Resolution::found([Options::default().runnable(text)])
            }
            Ok(_) => Resolution::not_found(format!("{text} is not a file")),
            Err(error) => Resolution::not_found(error.message),
        };
    };
    let parsed = split(rest).and_then(|(path, options)| Ok((path, Options::read(options)?)));
    let (path, options) = match parsed {
        Ok(parsed) => parsed,
        Err(why) => return Resolution::corrupt(why),
    };
    let path = match path.trim_end_matches('/') {
        "" if path.starts_with('/') => "/",
        "" => ".",
        path => path,
    };
    match workspace::stat(path) {
        Ok(stat) if stat.kind == FileKind::Directory => {
            let mut files = Vec::new();
            if let Err(error) = options.find(path, &mut files) {
                return Resolution::corrupt(error.message);
            }
            if files.is_empty() {
                let below = match options.is_recursive {
                    true => "",
                    false => "; `?recursive` looks in the directories below it too",
                };
                return Resolution::corrupt(format!("there is no *{END} in {path}{below}"));
            }
            let runnables: Vec<Runnable> = files.iter().map(|it| options.runnable(it)).collect();
            Resolution::found(runnables)
        }
        Err(error) if error.code == "not-found" => Resolution::corrupt(format!(
            "there is no {path}; write {SCHEME} and the path of a file or directory of tests"
        )),
        // A file outside of the project cannot be looked at; bats says what is wrong with it.
        Ok(_) | Err(_) => Resolution::found([options.runnable(path)]),
    }
}

impl Options {
    fn read(options: Vec<ReferenceOption<'_>>) -> Result<Self, String> {
        let mut read = Self::default();
        for (name, value) in options {
            match name {
                FILTER => read.filter = Some(needed(name, value)?),
                TAGS => read.tags = Some(needed(name, value)?),
                RECURSIVE => read.is_recursive = flag(name, value.as_deref())?,
                other => {
                    let known = format!("there are {FILTER}, {TAGS} and {RECURSIVE}");
                    return Err(format!("unknown option `{other}`; {known}"));
                }
            }
        }
        Ok(read)
    }

    /// Adds the test files in a directory, sorted, as `bats DIR` finds them.
    fn find(&self, directory: &str, files: &mut Vec<String>) -> Result<(), Error> {
        for (name, kind) in workspace::list_directory(directory)? {
            let path = match directory {
                "." => name.clone(),
                directory => format!("{directory}/{name}"),
            };
            match kind {
                FileKind::File if name.ends_with(END) => files.push(path),
                FileKind::Directory if self.is_recursive && !name.starts_with('.') => {
                    self.find(&path, files)?;
                }
                FileKind::File | FileKind::Directory | FileKind::Other => {}
            }
        }
        Ok(())
    }

    fn runnable(&self, path: &str) -> Runnable {
        let mut runnable = Runnable::new(KIND).uri(path);
        for (name, value) in [(FILTER, &self.filter), (TAGS, &self.tags)] {
            if let Some(value) = value {
                runnable = runnable.kwarg(name, value.as_str());
            }
        }
        runnable
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unreachable)]
    use super::*;
    use persea_plugin_sdk::testing::{Files, Host};

    fn finding(reference: &str) -> Finding {
        let files = Files::new()
            .executable("t/a.bats", "")
            .file("t/b.bats", "")
            .file("t/helper.bash", "")
            .file("t/below/c.bats", "")
            .file("t/.hidden/d.bats", "")
            .file("e/x", "")
            .directory("d.bats");
        let _host = Host::new().files(files).install();
        resolve(reference).finding
    }

    fn uris(reference: &str) -> Vec<String> {
        match finding(reference) {
            Finding::Found(runnables) => {
                let uris = runnables.into_iter().filter_map(|runnable| runnable.uri);
                uris.collect()
            }
            other => vec![format!("{other:?}")],
        }
    }

    #[test]
    fn file_is_one_runnable() {
        for reference in ["t/a.bats", "bats:t/a.bats"] {
            let expected = [Runnable::new(KIND).uri("t/a.bats")];
            assert_eq!(finding(reference), Finding::Found(expected.into()));
        }
    }

    #[test]
    fn directory_stands_for_its_files() {
        assert_eq!(uris("bats:t"), ["t/a.bats", "t/b.bats"]);
        let all = ["t/a.bats", "t/b.bats", "t/below/c.bats"];
        let mut found = uris("bats:t/?recursive");
        found.sort();
        assert_eq!(found, all);
    }

    #[test]
    fn options_become_keyword_arguments() {
        let expected = Runnable::new(KIND)
            .uri("t/b.bats")
            .kwarg(FILTER, "a&b")
            .kwarg(TAGS, "slow");
        let reference = "bats:t/b.bats?filter=a%26b&tags=slow";
        assert_eq!(finding(reference), Finding::Found([expected].into()));
    }

    #[test]
    fn others_are_left_to_other_resolvers() {
        for reference in ["t", "t/helper.bash", "none.bats", "d.bats", "bat:t"] {
            assert!(
                matches!(finding(reference), Finding::NotFound(_)),
                "{reference}"
            );
        }
    }

    #[test]
    fn invalid_reference_is_corrupt_with_a_reason() {
        for (reference, words) in [
            ("bats:none", "there is no none; write bats: and the path"),
            ("bats:e", "there is no *.bats in e; `?recursive` looks"),
            ("bats:e?recursive", "there is no *.bats in e"),
            (
                "bats:t?colour=red",
                "unknown option `colour`; there are filter, tags and recursive",
            ),
            ("bats:t?filter", "option `filter` needs a value"),
        ] {
            match finding(reference) {
                Finding::Corrupt(why) => assert!(why.contains(words), "{reference}: {why}"),
                other => unreachable!("{reference}: {other:?}"),
            }
        }
    }
}
