//! Tests the directories of tasks with real files.
#![allow(clippy::unwrap_used)]
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn section() -> (tempfile::TempDir, Arc<Section>) {
    let dir = tempfile::tempdir().unwrap();
    let section = Section::of_tests(dir.path());
    (dir, section)
}

/// The directory of a task whose program printed this into these files.
fn ended(section: &Arc<Section>, name: &str, files: &[(&str, &str)]) -> TaskDirectory {
    let directory = TaskDirectory::of_test(section, name);
    for (file, text) in files {
        let path = directory.output(file).unwrap();
        fs::write(&path, text).unwrap();
    }
    directory
}

fn names(section: &Section) -> Vec<String> {
    let entries = fs::read_dir(section.path()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn task_that_leaves_nothing_has_no_directory_in_the_end() {
    let (_dir, section) = section();
    let silent = [("stdout", ""), ("stderr", "")];
    assert!(!ended(&section, "1", &silent).settle());
    let second = ended(&section, "2", &silent);
    assert_eq!(names(&section), ["2"], "it is the first one's");
    assert!(!second.settle() && !second.exists());
    assert!(ended(&section, "3", &[("stdout", "x"), ("stderr", "")]).settle());
    assert_eq!(names(&section), ["3"]);
    let mut files: Vec<_> = fs::read_dir(section.path().join("3"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(files, ["debug.log", "stderr", "stdout"]);
    assert!(!ended(&section, "4", &silent).settle());
    let path = section.path().to_owned();
    drop((section, second));
    assert!(path.join("3").exists() && !path.join("4").exists());
}

#[test]
fn test_directory_has_a_log_when_it_is_made_or_recycled() {
    let (_dir, section) = section();
    for name in ["1", "2"] {
        let test = ended(&section, name, &[("stdout", "")]);
        let log = test.path().join(DEBUG_LOG);
        assert_eq!(log.metadata().unwrap().len(), 0);
        assert!(!test.settle());
    }
    let batch = TaskDirectory::new(&section, "batch.1");
    batch.output("stderr").unwrap();
    fs::write(batch.path().join("stderr"), "x").unwrap();
    assert!(batch.settle());
    assert!(!batch.path().join(DEBUG_LOG).exists());
}

#[test]
fn requeued_task_gets_its_own_directory_again() {
    let (_dir, section) = section();
    for name in ["1", "2", "1"] {
        ended(&section, name, &[("stdout", "")]).remove();
    }
    assert!(ended(&section, "1", &[("stdout", "x")]).settle());
}

#[test]
fn directory_that_a_task_has_changed_is_kept() {
    let (_dir, section) = section();
    let kept: [fn(&Path); 5] = [
        |path| fs::write(path.join("marker"), "").unwrap(),
        |path| fs::create_dir(path.join("sub")).unwrap(),
        |path| fs::hard_link(path.join("stdout"), path.with_extension("link")).unwrap(),
        |path| fs::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap(),
        |path| {
            let file = path.join("stdout");
            fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
        },
    ];
    for (number, act) in kept.into_iter().enumerate() {
        let directory = ended(&section, &number.to_string(), &[("stdout", "")]);
        act(directory.path());
        assert!(directory.settle(), "{number}");
    }
}

#[test]
fn recycled_directory_has_no_files_of_the_earlier_task() {
    let (_dir, section) = section();
    let both = [("stdout", ""), ("stderr", "")];
    assert!(!ended(&section, "1", &both).settle());
    assert!(ended(&section, "2", &[("stdout", "x")]).settle());
    assert!(!section.path().join("2/stderr").exists());
    assert!(!ended(&section, "3", &both).settle());
    // This task's program writes to the file without having been asked to.
    let sly = ended(&section, "4", &[("stdout", "x")]);
    fs::write(sly.path().join("stderr"), "own").unwrap();
    assert!(sly.settle());
    assert_eq!(
        fs::read_to_string(section.path().join("4/stderr")).unwrap(),
        "own"
    );
}
