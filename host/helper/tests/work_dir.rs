//! The work directory survives whatever a test replaces it by.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use common::{Helper, sh};
use persea_helper::protocol::Ending;

/// A directory that the helper must not change, with a mode that nothing would set by chance.
struct Outside(tempfile::TempDir);

impl Outside {
    fn new() -> Self {
        let outside = Self(tempfile::tempdir().unwrap());
        fs::write(outside.0.path().join("kept"), "x").unwrap();
        fs::set_permissions(outside.0.path(), fs::Permissions::from_mode(0o1751)).unwrap();
        outside
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    #[track_caller]
    fn assert_unchanged(&self, what: &str) {
        let mode = self.0.path().metadata().unwrap().mode() & 0o7777;
        assert_eq!(
            mode, 0o1751,
            "{what}: the mode of the target of a link changed"
        );
        assert_eq!(
            fs::read_to_string(self.0.path().join("kept")).unwrap(),
            "x",
            "{what}"
        );
    }
}

/// Scripts that replace the work directory (`$1`), with a directory outside of it as `$2`.
const REPLACEMENTS: [(&str, &str); 7] = [
    ("a link to a directory", "rmdir $1 && ln -s $2 $1"),
    ("a link to a file", "rmdir $1 && ln -s $2/kept $1"),
    ("a link to nothing", "rmdir $1 && ln -s /no/such $1"),
    ("a file", "rmdir $1 && echo x >$1"),
    ("a pipe", "rmdir $1 && mkfifo $1"),
    ("nothing", "rmdir $1"),
    (
        "another directory",
        "mv $1 $1.old && mkdir $1 && ln -s $2 $1/link && chmod 0 $1",
    ),
];

fn replace(helper: &mut Helper, script: &str, outside: &Outside) -> bool {
    let work = helper.work_dir();
    let mut command = sh(script);
    command
        .args
        .extend(["sh", work.to_str().unwrap(), outside.path()].map(str::to_owned));
    let exit = helper.run(command);
    assert_eq!(exit.ending, Ending::Code(0), "{script}");
    exit.clean
}

fn assert_new(work: &Path, what: &str) {
    let found = work.symlink_metadata().unwrap();
    assert!(found.is_dir(), "{what}");
    assert_eq!(found.mode() & 0o7777, 0o700, "{what}");
    assert_eq!(fs::read_dir(work).unwrap().count(), 0, "{what}");
}

#[test]
fn replaced_work_directory_is_not_clean_and_is_restored() {
    let outside = Outside::new();
    for (what, script) in REPLACEMENTS {
        let mut helper = Helper::new();
        assert!(!replace(&mut helper, script, &outside), "{what}");
        assert_eq!(helper.end_task(), 0, "{what}");
        assert_new(&helper.work_dir(), what);
        outside.assert_unchanged(what);
        // The restored directory is checked again after the next processes.
        assert!(helper.run(sh("exit 0")).clean, "{what}");
        let leaves = format!("touch {}/left", helper.work_dir().display());
        assert!(!helper.run(sh(&leaves)).clean, "{what}");
        helper.end_task();
        assert_new(&helper.work_dir(), what);
        helper.finish();
    }
}

/// The channel ends without a request, as when the host is killed.
#[test]
fn replacement_of_the_work_directory_is_removed_at_the_end_of_the_helper() {
    let outside = Outside::new();
    for (what, script) in REPLACEMENTS {
        let mut helper = Helper::new();
        replace(&mut helper, script, &outside);
        let work = helper.work_dir();
        helper.close();
        assert!(helper.wait().success(), "{what}: {}", helper.log());
        assert!(work.symlink_metadata().is_err(), "{what} stays");
        outside.assert_unchanged(what);
    }
}

#[test]
fn link_is_refused_as_work_directory() {
    let outside = Outside::new();
    let mut helper = Helper::silent();
    symlink(outside.path(), helper.work_dir()).unwrap();
    let work = helper.work_dir();
    helper.hello(Some(&work), None);
    assert_eq!(helper.wait().code(), Some(1));
    assert!(work.symlink_metadata().unwrap().is_symlink());
    outside.assert_unchanged("a link");
}
