//! Owns the walk through directories: which files are passed to the resolvers, and which are left
//! out and why. Does not know resolvers.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use persea_journal::{FILE_NAME, Warning, WarningCause};

use persea_model::names::TEST_RESULTS;

use crate::input::globs::{self, Globs};
use crate::input::kind_rules::KindRules;

/// A reference to be resolved.
#[derive(Debug)]
pub(crate) struct WalkedReference {
    pub(crate) reference: String,
    /// The directory in which the walk found it, as an index of [`WalkedReferences::directories`];
    /// none for a typed reference.
    pub(crate) directory: Option<usize>,
    /// Why a typed glob has no file.
    pub(crate) missing: Option<String>,
}

/// The references of a job, with directories replaced by their files.
#[derive(Debug, Default)]
pub(crate) struct WalkedReferences {
    pub(crate) wanted: Vec<WalkedReference>,
    /// The typed directories and globs that have files.
    pub(crate) directories: Vec<String>,
    /// Files and directories that cannot be read or named.
    pub(crate) warnings: Vec<Warning>,
    /// Directories of job results, which are not searched.
    pub(crate) results: Vec<String>,
    /// The files that `references.exclude` leaves out.
    pub(crate) excluded: HashSet<PathBuf>,
    /// The files of globs. A file that is also typed, or that another glob matches, is wanted once.
    of_globs: HashSet<PathBuf>,
    /// The typed files.
    typed: HashSet<PathBuf>,
}

/// Replaces directories and globs by their files, sorted, without names that begin with a dot,
/// without the results of jobs and without what the rules exclude. A typed directory of results is
/// searched.
pub(crate) fn walk(references: &[String], rules: &KindRules) -> WalkedReferences {
    let mut walk = WalkedReferences::default();
    for reference in references {
        let mut missing = None;
        let is_found = if globs::is_glob(reference) {
            match globs::search(reference) {
                Ok((directory, glob)) => {
                    let directory = directory.to_string_lossy();
                    missing = Some("the glob matches no file".to_owned());
                    walk.add_files(&directory, reference, Some(&glob), rules)
                }
                Err(error) => {
                    missing = Some(error.to_string());
                    false
                }
            }
        } else if Path::new(reference).is_dir() {
            walk.add_files(reference, reference, None, rules)
        } else {
            let path = rules.below(reference);
            let is_known = walk.of_globs.contains(&path);
            walk.typed.insert(path);
            is_known
        };
        if !is_found {
            walk.wanted.push(WalkedReference {
                reference: reference.clone(),
                directory: None,
                missing,
            });
        }
    }
    walk.results.sort_unstable();
    walk.results.dedup();
    walk
}

/// The globs of the rules as references: what runs where the user types none. The second list has
/// the globs that match no file.
pub fn references_of(rules: &KindRules) -> (Vec<String>, Vec<String>) {
    rules.references().partition(|glob| {
        if !globs::is_glob(glob) {
            return Path::new(glob).is_file();
        }
        let found = walk(std::slice::from_ref(glob), rules);
        found.wanted.iter().any(|it| it.missing.is_none())
    })
}

impl WalkedReferences {
    /// Adds the files of a directory that match a glob, if there is one. Returns false where it has
    /// none. `reference` is the directory or the glob.
    fn add_files(
        &mut self,
        directory: &str,
        reference: &str,
        glob: Option<&Globs>,
        rules: &KindRules,
    ) -> bool {
        let Self {
            wanted,
            directories,
            warnings,
            results,
            excluded,
            of_globs,
            typed,
        } = self;
        let before = wanted.len();
        // Another glob has found one of the files.
        let mut is_known = false;
        let is_shown = |entry: &walkdir::DirEntry| {
            if entry.depth() == 0 {
                return true;
            }
            if entry.file_name().to_string_lossy().starts_with('.') {
                return false;
            }
            let is_result = !entry.file_type().is_file() && is_job(entry.path());
            if is_result && !entry.path_is_symlink() {
                results.push(entry.path().to_string_lossy().into_owned());
            }
            !is_result
        };
        let is_wanted = |path: &str| {
            glob.is_none_or(|glob| glob.match_file(Path::new(path.trim_start_matches("./"))))
        };
        let mut is_new = |path: PathBuf| !typed.contains(&path) && of_globs.insert(path);
        let entries = walkdir::WalkDir::new(directory).sort_by_file_name();
        for entry in entries.into_iter().filter_entry(is_shown) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {}
                Ok(entry) => match entry.path().to_str() {
                    Some(path) if !is_wanted(path) => {}
                    Some(path) if glob.is_some() && !is_new(rules.below(path)) => is_known = true,
                    Some(path) if rules.excludes(path) => {
                        excluded.insert(rules.below(path));
                    }
                    Some(path) => wanted.push(WalkedReference {
                        reference: path.to_owned(),
                        directory: Some(directories.len()),
                        missing: None,
                    }),
                    None => warnings.push(unreadable(
                        &entry.path().to_string_lossy(),
                        "its name is not UTF-8 text",
                    )),
                },
                Err(error) => {
                    let path = error.path().unwrap_or(Path::new(directory));
                    let why = match error.io_error() {
                        Some(error) => error.to_string(),
                        None => error.to_string(),
                    };
                    warnings.push(unreadable(&path.to_string_lossy(), &why));
                }
            }
        }
        let has_files = wanted.len() > before;
        if has_files {
            directories.push(reference.to_owned());
        }
        has_files || is_known
    }
}

/// A warning about a file or directory that may hold tests and cannot be used.
pub(crate) fn unreadable(reference: &str, why: &str) -> Warning {
    Warning {
        cause: WarningCause::Unreadable,
        reference: Some(reference.to_owned()),
        plugin: None,
        message: format!("left out: {why}"),
    }
}

/// Whether a path is the directory of a job, of Persea or of Avocado: both keep an `id` of 40
/// hexadecimal digits beside the results.
fn is_job(path: &Path) -> bool {
    /// Two more bytes than an id with its newline.
    const LONGEST: u64 = 43;
    let id = path.join("id");
    if !id
        .metadata()
        .is_ok_and(|meta| meta.is_file() && meta.len() < LONGEST)
    {
        return false;
    }
    let is_id = std::fs::read_to_string(id).is_ok_and(|text| {
        let text = text.trim_end();
        text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    is_id
        && [FILE_NAME, TEST_RESULTS]
            .iter()
            .any(|name| path.join(name).exists())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    fn references(walk: &WalkedReferences, root: &Path) -> Vec<String> {
        let root = format!("{}/", root.display());
        let all = walk.wanted.iter();
        all.map(|it| {
            it.reference
                .strip_prefix(&root)
                .unwrap_or(&it.reference)
                .to_owned()
        })
        .collect()
    }

    #[test]
    fn job_directories_are_left_out_and_listed() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for (directory, id, results) in [
            ("results/job-1", ID, "test-results"),
            ("not-an-id", "12", "test-results"),
            ("no-results", ID, "data"),
        ] {
            let directory = root.join(directory);
            std::fs::create_dir_all(directory.join(results)).unwrap();
            std::fs::write(directory.join("id"), format!("{id}\n")).unwrap();
            std::fs::write(directory.join(results).join("t.sh"), "").unwrap();
        }
        std::os::unix::fs::symlink("job-1", root.join("results/latest")).unwrap();
        let found = walk(&[root.to_str().unwrap().to_owned()], &KindRules::default());
        assert_eq!(
            references(&found, root),
            [
                "no-results/data/t.sh",
                "no-results/id",
                "not-an-id/id",
                "not-an-id/test-results/t.sh"
            ]
        );
        let job = root.join("results/job-1");
        assert_eq!(found.results, [job.to_str().unwrap()]);
        // A typed directory of results is searched.
        let found = walk(&[job.to_str().unwrap().to_owned()], &KindRules::default());
        assert_eq!(references(&found, &job), ["id", "test-results/t.sh"]);
        assert_eq!(found.results, [""; 0]);
    }
}
