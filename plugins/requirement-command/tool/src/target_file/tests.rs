#![allow(clippy::unwrap_used)]
use super::*;
use crate::testing::{real_processes, run_with_input};
use persea_plugin_sdk::Requirement;
use persea_plugin_sdk::testing::{Host, Installed};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

/// Runs a test with a host that runs commands as real processes in a directory.
fn within<T>(directory: &Path, work: impl FnOnce(&Environment<'_>) -> T) -> T {
    let host = Host::new().processes(real_processes(directory)).install();
    let request = RequirementRequest::new(Requirement::new("file"));
    let project = directory.to_str().unwrap().to_owned();
    work(&Environment {
        host,
        request: request.with("project-dir", project),
        directory,
    })
}

struct Environment<'a> {
    host: Installed,
    request: RequirementRequest,
    directory: &'a Path,
}

impl Environment<'_> {
    fn target(&self, path: &str) -> TargetFile {
        TargetFile::new(&self.request, path).unwrap()
    }

    fn write(&self, path: &str, text: &str, size: usize) -> Result<WriteRecord, Error> {
        let content = FileContent {
            size: size as u64,
            mode: "0640".to_owned(),
            chunks: [Ok(text.as_bytes().to_vec())],
        };
        self.target(path).write(content, true)
    }

    fn run_writes(&self) -> Option<i32> {
        run_with_input(&self.host, self.directory)
            .unwrap()
            .pop()
            .unwrap()
    }
}

/// Sorted names of the entries of a directory.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn file_is_removed_with_its_created_directories() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a", "-rf", "a b/$(c)/new\nline\n", "-x/-y\n/*"] {
        within(root.path(), |environment| {
            let record = environment.write(name, "text", 4).unwrap();
            assert_eq!(environment.run_writes(), Some(0));
            let file = root.path().join(name);
            assert_eq!(fs::read_to_string(&file).unwrap(), "text");
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
            let topmost = name
                .split_once('/')
                .map(|(topmost, _)| environment.target(topmost).path);
            assert_eq!(
                record,
                WriteRecord {
                    created_directory: topmost,
                    has_backup: false
                }
            );
            let target = environment.target(name);
            assert_eq!(target.kind(), Ok(FileKind::File));
            target.undo_write(&record).unwrap();
            assert!(names(root.path()).is_empty(), "after {name:?}");
            target.undo_write(&record).unwrap();
        });
    }
}

#[test]
fn directories_with_other_files_stay() {
    let root = tempfile::tempdir().unwrap();
    within(root.path(), |environment| {
        fs::create_dir_all(root.path().join("a/b/c")).unwrap();
        fs::write(root.path().join("a/b/c/.d.persea-new"), "cut o").unwrap();
        environment.write("a/b/c/d", "", 0).unwrap();
        assert_eq!(
            environment.run_writes(),
            Some(0),
            "the temporary file of another attempt does not hinder"
        );
        fs::remove_dir_all(root.path().join("a")).unwrap();
    });
    within(root.path(), |environment| {
        let record = environment.write("a/b/c/d", "", 0).unwrap();
        assert_eq!(environment.run_writes(), Some(0));
        fs::write(root.path().join("a/mine"), "").unwrap();
        environment.target("a/b/c/d").undo_write(&record).unwrap();
        assert_eq!(names(&root.path().join("a")), ["mine"]);
        // Directories that are already gone are skipped.
        let record = environment.write("x/b/c/d", "", 0).unwrap();
        fs::create_dir_all(root.path().join("x/b")).unwrap();
        environment.target("x/b/c/d").undo_write(&record).unwrap();
        assert_eq!(names(root.path()), ["a"]);
    });
}

#[test]
fn earlier_file_is_restored() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("real"), "old").unwrap();
    symlink("real", root.path().join("link")).unwrap();
    for name in ["real", "link"] {
        within(root.path(), |environment| {
            let record = environment.write(name, "new", 3).unwrap();
            assert_eq!(
                record,
                WriteRecord {
                    created_directory: None,
                    has_backup: true
                }
            );
            assert_eq!(environment.run_writes(), Some(0));
            assert_eq!(fs::read_to_string(root.path().join(name)).unwrap(), "new");
            assert_eq!(names(root.path()).len(), 3, "the backup is beside it");
            let again = environment.write(name, "newer", 5).unwrap_err();
            assert!(again.message.contains(&format!(
                ".{name}.persea-before is a backup that an earlier"
            )));
            environment.target(name).undo_write(&record).unwrap();
            assert_eq!(fs::read_to_string(root.path().join("real")).unwrap(), "old");
            assert_eq!(names(root.path()), ["link", "real"]);
        });
    }
    assert!(root.path().join("link").is_symlink());
}

#[test]
fn backup_that_is_a_hard_link_to_the_file_is_removed() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a"), "old").unwrap();
    fs::hard_link(root.path().join("a"), root.path().join(".a.persea-before")).unwrap();
    within(root.path(), |environment| {
        let record = WriteRecord {
            created_directory: None,
            has_backup: true,
        };
        environment.target("a").undo_write(&record).unwrap();
    });
    assert_eq!(names(root.path()), ["a"]);
}

#[test]
fn truncated_input_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a"), "old").unwrap();
    for name in ["a", "b/c"] {
        within(root.path(), |environment| {
            environment.write(name, "text", 5).unwrap();
            assert_eq!(environment.run_writes(), Some(1));
        });
    }
    assert_eq!(names(root.path()), ["a"]);
    assert_eq!(fs::read_to_string(root.path().join("a")).unwrap(), "old");
}

#[test]
fn failed_input_leaves_no_file() {
    let root = tempfile::tempdir().unwrap();
    within(root.path(), |environment| {
        fs::create_dir_all(root.path().join("b")).unwrap();
        fs::write(root.path().join("b/.c.persea-new"), "te").unwrap();
        let content = FileContent {
            size: 4,
            mode: "0640".to_owned(),
            chunks: [Ok(b"te".to_vec()), Err(Error::new("io", "it is gone"))],
        };
        let error = environment.target("b/c").write(content, false).unwrap_err();
        assert!(error.message.starts_with("cannot create "));
        assert!(error.message.ends_with("/b/c: it is gone"));
        assert!(names(&root.path().join("b")).is_empty());
    });
}

#[test]
fn killed_write_restores_the_earlier_file() {
    let root = tempfile::tempdir().unwrap();
    let earlier = root.path().join(".a.persea-before");
    fs::write(&earlier, "old").unwrap();
    fs::write(root.path().join("a"), "new").unwrap();
    within(root.path(), |environment| {
        environment.target("a").remove("partial", None).unwrap()
    });
    assert_eq!(fs::read_to_string(root.path().join("a")).unwrap(), "old");
    within(root.path(), |environment| {
        environment.target("a").remove("partial", None).unwrap()
    });
    assert_eq!(names(root.path()), ["a"]);
}

#[test]
fn file_that_appears_meanwhile_is_not_overwritten() {
    let root = tempfile::tempdir().unwrap();
    within(root.path(), |environment| {
        environment.write("a", "text", 4).unwrap();
        fs::write(root.path().join("a"), "mine").unwrap();
        assert_eq!(environment.run_writes(), Some(1));
    });
    assert_eq!(fs::read_to_string(root.path().join("a")).unwrap(), "mine");
    assert_eq!(names(root.path()), ["a"]);
}

#[test]
fn only_a_regular_file_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("directory")).unwrap();
    symlink("nowhere", root.path().join("link")).unwrap();
    within(root.path(), |environment| {
        let message = |name: &str| environment.write(name, "", 0).unwrap_err().message;
        assert!(message("directory").ends_with("a directory is there"));
        assert!(message("link").ends_with("not a regular file"));
        assert!(message("../x").ends_with("give a path without `..`"));
        assert!(message("x/").ends_with("the path names a directory"));
        assert_eq!(environment.target("none").kind(), Ok(FileKind::Absent));
        assert_eq!(
            environment.target("directory").kind(),
            Ok(FileKind::Directory)
        );
        assert_eq!(environment.target("link").kind(), Ok(FileKind::Other));
        assert!(TargetFile::new(&environment.request, "").is_err());
        assert!(TargetFile::new(&environment.request, "a\0b").is_err());
    });
}

#[test]
fn checksum_is_that_of_the_file() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("-\\\n"), "abc").unwrap();
    within(root.path(), |environment| {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(environment.target("-\\\n").sha256().unwrap(), expected);
        let message = environment.target("none").sha256().unwrap_err().message;
        assert!(message.starts_with("cannot inspect "), "{message}");
        assert!(message.contains("/none: "), "{message}");
    });
}
