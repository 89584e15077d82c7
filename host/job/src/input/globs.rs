//! Owns globs: how the globs of settings and references are compiled, and what a path is matched
//! as. Does not know what a match means.

use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

/// A glob that cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[error("the glob `{glob}` is not valid: {why}")]
pub struct GlobError {
    glob: String,
    why: String,
}

/// Compiles a glob. `*` and `?` match no `/`, `**` matches directories. A glob without `/` matches
/// the name of a file in any directory: `./*.t` only in that in which `persea` was started.
fn glob(text: &str) -> Result<Glob, GlobError> {
    // As in a .gitignore file, a directory may end with a slash.
    let text = text.strip_suffix('/').unwrap_or(text);
    let anywhere = match text.strip_prefix("./") {
        Some(rooted) => rooted.to_owned(),
        None if text.contains('/') => text.to_owned(),
        None => format!("**/{text}"),
    };
    let built = GlobBuilder::new(&anywhere)
        .literal_separator(true)
        .backslash_escape(true)
        .build();
    built.map_err(|error| GlobError {
        glob: text.to_owned(),
        why: error.kind().to_string(),
    })
}

/// Globs of which one has to match.
#[derive(Clone, Debug, Default)]
pub(crate) struct Globs(GlobSet);

impl Globs {
    /// Compiles globs.
    ///
    /// # Errors
    /// One of them is not valid.
    pub(crate) fn new(texts: &[String]) -> Result<Self, GlobError> {
        let mut set = GlobSetBuilder::new();
        for text in texts {
            set.add(glob(text)?);
        }
        let built = set.build().map_err(|error| GlobError {
            glob: texts.join(", "),
            why: error.kind().to_string(),
        })?;
        Ok(Self(built))
    }

    /// Whether there are no globs.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the globs matches a file, whose path is as [`below`] returns it.
    pub(crate) fn match_file(&self, path: &Path) -> bool {
        self.0.is_match(path)
    }

    /// Whether one of the globs matches a file or a directory above it.
    pub(crate) fn match_any_part(&self, path: &Path) -> bool {
        let mut parts = path.ancestors().filter(|it| !it.as_os_str().is_empty());
        parts.any(|part| self.0.is_match(part))
    }
}

/// The path of a reference as globs see it: relative to the directory in which `persea` was
/// started, without `.`. A path elsewhere stays absolute, and one that leads upwards as it is.
pub(crate) fn below(reference: &str, start: &Path) -> PathBuf {
    let path = Path::new(reference);
    let path = path.strip_prefix(start).unwrap_or(path);
    let parts = path.components();
    parts.filter(|it| *it != Component::CurDir).collect()
}

/// Whether a reference is a glob rather than a path: it has a special character, no file has this
/// name, and no resolver's prefix or selection of tests (`FILE:REGEX`) is in it.
pub(crate) fn is_glob(reference: &str) -> bool {
    let has_special = reference.contains(['*', '?', '[', '{']);
    has_special && !reference.contains(':') && !Path::new(reference).exists()
}

/// The directory in which the files of a glob are searched, and the globs that they must match.
///
/// # Errors
/// The glob is not valid.
pub(crate) fn search(reference: &str) -> Result<(PathBuf, Globs), GlobError> {
    let is_literal = |part: &Component<'_>| {
        let part = part.as_os_str().to_string_lossy();
        !part.contains(['*', '?', '[', '{', '\\'])
    };
    let directory: PathBuf = Path::new(reference)
        .components()
        .take_while(is_literal)
        .collect();
    // A reference is a path: `*.t` names files of the directory, and not of those below it.
    let text = reference.strip_prefix("./").unwrap_or(reference);
    let built = GlobBuilder::new(text).literal_separator(true).build();
    let failed = |error: globset::Error| GlobError {
        glob: reference.to_owned(),
        why: error.kind().to_string(),
    };
    let set = GlobSet::builder().add(built.map_err(failed)?).build();
    let directory = match directory.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => directory,
    };
    Ok((directory, Globs(set.map_err(failed)?)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn globs(texts: &[&str]) -> Globs {
        let texts: Vec<String> = texts.iter().map(|it| (*it).to_owned()).collect();
        Globs::new(&texts).unwrap()
    }

    #[test]
    fn glob_without_a_slash_matches_names_in_any_directory() {
        let all = globs(&["*.t"]);
        assert!(all.match_file(Path::new("a.t")));
        assert!(all.match_file(Path::new("x/y/a.t")));
        assert!(!all.match_file(Path::new("a.t/b")));
        let rooted = globs(&["./t/*.t"]);
        assert!(rooted.match_file(Path::new("t/a.t")));
        assert!(!rooted.match_file(Path::new("t/u/a.t")));
        assert!(!rooted.match_file(Path::new("x/t/a.t")));
        let top = globs(&["./*.t"]);
        assert!(top.match_file(Path::new("a.t")));
        assert!(!top.match_file(Path::new("t/a.t")));
        assert!(globs(&["t/**/*.t"]).match_file(Path::new("t/u/v/a.t")));
    }

    #[test]
    fn directory_of_a_file_is_matched_too() {
        let build = globs(&["build", "target/**"]);
        for path in ["build/a", "x/build/y/a", "target/a"] {
            assert!(build.match_any_part(Path::new(path)), "{path}");
        }
        for path in ["builder/a", "a/target"] {
            assert!(!build.match_any_part(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn path_is_relative_to_the_start() {
        let start = Path::new("/p");
        for (reference, expected) in [
            ("./t/./a.t", "t/a.t"),
            ("/p/t/a.t", "t/a.t"),
            ("/q/a.t", "/q/a.t"),
            ("../a.t", "../a.t"),
        ] {
            assert_eq!(below(reference, start), Path::new(expected), "{reference}");
        }
    }

    #[test]
    fn globs_are_told_from_paths_and_selections() {
        for (reference, expected) in [
            ("t/*.t", true),
            ("t/[ab].t", true),
            ("t/?.t", true),
            ("t/{a,b}.t", true),
            ("t/a.t", false),
            ("a.py:Test.*", false),
            ("cargo:.?features=*", false),
        ] {
            assert_eq!(is_glob(reference), expected, "{reference}");
        }
    }

    #[test]
    fn search_begins_at_the_last_literal_directory() {
        for (reference, directory) in [
            ("t/u/*.t", "t/u"),
            ("*.t", "."),
            ("./t/**/a.t", "./t"),
            ("/x/y[12]/*.t", "/x"),
        ] {
            let (found, _) = search(reference).unwrap();
            assert_eq!(found, Path::new(directory), "{reference}");
        }
        let (_, only_here) = search("*.t").unwrap();
        assert!(!only_here.match_file(Path::new("t/a.t")));
    }

    #[test]
    fn invalid_glob_is_named() {
        let error = Globs::new(&["a[".to_owned()]).unwrap_err().to_string();
        assert!(error.starts_with("the glob `a[` is not valid: "), "{error}");
        assert!(search("t/[").unwrap_err().to_string().contains("`t/[`"));
    }
}
