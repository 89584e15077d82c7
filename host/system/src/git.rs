//! Owns which commit of a git repository a directory has checked out. Reads git's files, and runs
//! neither git nor anything that the repository's configuration names. Does not know whether files
//! differ from the commit: that takes a walk through all of them.
//!
//! gitrepository-layout(5) and gitglossary(7) describe the files. A library such as gix would do
//! the same with some sixty crates.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Component, Path, PathBuf};

use crate::bounded_read;

/// The longest file with a reference or a path, in bytes.
const LONGEST_TEXT: u64 = 8 << 10;

/// The longest `packed-refs` that is read, in bytes: 64 MiB, some 800,000 references.
const LONGEST_PACKED: u64 = 64 << 20;

/// The most references that name each other until one names a commit. Git itself follows five.
const MOST_SYMBOLIC: usize = 5;

/// The longest name of a reference, in bytes. A longer one cannot be a path.
const LONGEST_NAME: usize = 4096;

/// What is checked out in a working directory of git.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// The commit's id: 40 or 64 hexadecimal digits.
    pub commit: String,
    /// The branch, without `refs/heads/`; none if no branch is checked out.
    pub branch: Option<String>,
}

/// Returns what is checked out in the repository that a directory belongs to. None outside of a
/// repository, on a branch without a commit, or if a file is not as git writes it. Repositories
/// with the reference format `reftable` have no such files. Environment variables such as `GIT_DIR`
/// are ignored.
pub fn checkout_of(directory: &Path) -> Option<Checkout> {
    let git = directory.ancestors().find_map(git_directory)?;
    Repository::open(git).checkout()
}

/// The git directory of a working directory: `.git`, or where a file of that name leads (worktrees
/// and submodules).
fn git_directory(work: &Path) -> Option<PathBuf> {
    let git = work.join(".git");
    let meta = std::fs::metadata(&git).ok()?;
    if meta.is_dir() {
        // Git takes a directory for one of its own only if this file is there.
        return git.join("HEAD").exists().then_some(git);
    }
    let text = bounded_read::text(&git, LONGEST_TEXT).ok()?;
    let path = text.strip_prefix("gitdir:")?.trim();
    (!path.is_empty()).then(|| work.join(path))
}

/// The files of a repository.
struct Repository {
    /// The directory with `HEAD`.
    own: PathBuf,
    /// The directory with the references that all worktrees share.
    common: PathBuf,
}

/// What a reference leads to.
enum Target {
    Commit(String),
    Name(String),
}

impl Repository {
    fn open(own: PathBuf) -> Self {
        let common = bounded_read::text(&own.join("commondir"), LONGEST_TEXT).ok();
        let common = match common {
            Some(path) => own.join(path.trim()),
            None => own.clone(),
        };
        Self { own, common }
    }

    fn checkout(&self) -> Option<Checkout> {
        let mut name = match read_reference(&self.own.join("HEAD"))? {
            Target::Commit(commit) => {
                return Some(Checkout {
                    commit,
                    branch: None,
                });
            }
            Target::Name(name) => name,
        };
        let branch = name.strip_prefix("refs/heads/").map(str::to_owned);
        for _ in 0..MOST_SYMBOLIC {
            match self.target_of(&name)? {
                Target::Commit(commit) => return Some(Checkout { commit, branch }),
                Target::Name(next) => name = next,
            }
        }
        None
    }

    fn target_of(&self, name: &str) -> Option<Target> {
        let loose = [&self.own, &self.common];
        let mut loose = loose.iter().map(|directory| directory.join(name));
        loose
            .find_map(|path| read_reference(&path))
            .or_else(|| self.packed(name).map(Target::Commit))
    }

    /// The commit of a reference in `packed-refs`, whose lines are `COMMIT NAME`.
    fn packed(&self, name: &str) -> Option<String> {
        let file = bounded_read::open(&self.common.join("packed-refs")).ok()?;
        let mut lines = BufReader::new(file.take(LONGEST_PACKED));
        let mut line = Vec::new();
        loop {
            line.clear();
            // A line that is cut off ends with the file.
            let room = LONGEST_NAME as u64;
            let read = (&mut lines).take(room).read_until(b'\n', &mut line).ok()?;
            if read == 0 {
                return None;
            }
            let Ok(text) = std::str::from_utf8(&line) else {
                continue;
            };
            if let Some((commit, found)) = text.trim_end().split_once(' ')
                && found == name
                && is_commit(commit)
            {
                return Some(commit.to_owned());
            }
        }
    }
}

/// Reads a file with a reference: a commit's id, or `ref: NAME`.
fn read_reference(path: &Path) -> Option<Target> {
    let text = bounded_read::text(path, LONGEST_TEXT).ok()?;
    parse_reference(&text)
}

fn parse_reference(text: &str) -> Option<Target> {
    let text = text.trim_end();
    match text.strip_prefix("ref:") {
        Some(name) => {
            let name = name.trim();
            is_reference(name).then(|| Target::Name(name.to_owned()))
        }
        None => is_commit(text).then(|| Target::Commit(text.to_owned())),
    }
}

/// Whether a text is the id of an object, in SHA-1 or SHA-256.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a name is that of a reference and, as a path, stays below the git directory.
fn is_reference(name: &str) -> bool {
    let is_plain = |component| matches!(component, Component::Normal(_));
    name.starts_with("refs/")
        && name.len() <= LONGEST_NAME
        && !name.contains(|c: char| c.is_control() || c == ' ')
        && !name
            .split('/')
            .any(|part| part.is_empty() || part.starts_with('.'))
        && Path::new(name).components().all(is_plain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    /// Writes files below a directory.
    fn write(root: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    fn project(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), files);
        let inner = root.path().join("project/deep/below");
        std::fs::create_dir_all(&inner).unwrap();
        (root, inner)
    }

    fn checkout(commit: &str, branch: Option<&str>) -> Option<Checkout> {
        Some(Checkout {
            commit: commit.to_owned(),
            branch: branch.map(str::to_owned),
        })
    }

    #[test]
    fn branch_is_found_from_a_directory_below() {
        let (_root, inner) = project(&[
            ("project/.git/HEAD", "ref: refs/heads/feature/x\n"),
            ("project/.git/refs/heads/feature/x", &format!("{ONE}\n")),
        ]);
        assert_eq!(checkout_of(&inner), checkout(ONE, Some("feature/x")));
    }

    #[test]
    fn packed_reference_counts_if_there_is_no_loose_one() {
        let packed = format!(
            "# pack-refs with: peeled\n{TWO} refs/heads/main2\n{ONE} refs/heads/main\n^{TWO}\n"
        );
        let (root, inner) = project(&[
            ("project/.git/HEAD", "ref: refs/heads/main\n"),
            ("project/.git/packed-refs", &packed),
        ]);
        assert_eq!(checkout_of(&inner), checkout(ONE, Some("main")));
        write(root.path(), &[("project/.git/refs/heads/main", TWO)]);
        assert_eq!(checkout_of(&inner), checkout(TWO, Some("main")));
    }

    #[test]
    fn detached_head_has_no_branch() {
        let sha256 = "a".repeat(64);
        for commit in [ONE, &sha256] {
            let (_root, inner) = project(&[("project/.git/HEAD", commit)]);
            assert_eq!(checkout_of(&inner), checkout(commit, None));
        }
    }

    #[test]
    fn worktree_has_its_own_head_and_the_references_of_all() {
        let (_root, inner) = project(&[
            ("project/.git", "gitdir: ../main/.git/worktrees/one\n"),
            ("main/.git/HEAD", "ref: refs/heads/main\n"),
            ("main/.git/refs/heads/side", ONE),
            ("main/.git/worktrees/one/HEAD", "ref: refs/heads/side\n"),
            ("main/.git/worktrees/one/commondir", "../..\n"),
        ]);
        assert_eq!(checkout_of(&inner), checkout(ONE, Some("side")));
    }

    #[test]
    fn symbolic_references_are_followed_and_do_not_go_in_circles() {
        let (root, inner) = project(&[
            ("project/.git/HEAD", "ref: refs/heads/alias\n"),
            ("project/.git/refs/heads/alias", "ref: refs/heads/main\n"),
            ("project/.git/refs/heads/main", ONE),
        ]);
        assert_eq!(checkout_of(&inner), checkout(ONE, Some("alias")));
        let circle = [("project/.git/refs/heads/main", "ref: refs/heads/alias\n")];
        write(root.path(), &circle);
        assert_eq!(checkout_of(&inner), None);
    }

    #[test]
    fn what_git_does_not_write_is_no_checkout() {
        let (root, inner) = project(&[("project/.git/HEAD", "")]);
        write(
            root.path(),
            &[("secret", ONE), ("project/.git/config", ONE)],
        );
        let names = [
            "ref: ../../secret",
            "ref: refs/../config",
            "ref: refs/heads/../../config",
            "ref: /refs/heads/main",
            "ref: config",
            "ref: refs/heads/.invalid",
            "ref: refs//heads",
            "ref: refs/heads/none",
            "ref:",
            "11111111",
            "",
        ];
        for text in names {
            write(root.path(), &[("project/.git/HEAD", text)]);
            assert_eq!(checkout_of(&inner), None, "{text}");
        }
        let long = format!("{ONE}{}", " ".repeat(10_000));
        write(root.path(), &[("project/.git/HEAD", &long)]);
        assert_eq!(checkout_of(&inner), None);
        assert_eq!(checkout_of(root.path()), None);
    }
}
