#![allow(clippy::unwrap_used)]
use super::*;
use persea_model::JobId;
use std::fs;

fn job() -> (tempfile::TempDir, JobDirectory) {
    let root = tempfile::tempdir().unwrap();
    let directory = JobDirectory::create(root.path(), &JobId::from_bytes([7; 20])).unwrap();
    (root, directory)
}

#[test]
fn files_of_environments_are_moved_to_those_of_tests() {
    let (_root, job) = job();
    let private = job.path().join(RUNNING).join("1");
    for name in ["1-a", "2-b", "batch.4"] {
        fs::create_dir_all(private.join(name)).unwrap();
        fs::write(private.join(name).join("stdout"), name).unwrap();
    }
    let left = Leftovers::gather(&job, |name| name == "1-a").unwrap();
    let results = job.test_results().path();
    assert_eq!(
        fs::read_to_string(results.join("1-a/stdout")).unwrap(),
        "1-a"
    );
    assert!(left.has("1-a") && !left.has("2-b"));
    assert_eq!(left.last_batch(), 4);
    assert!(!job.path().join(RUNNING).exists());
}

#[test]
fn link_in_place_of_a_directory_is_removed_and_not_followed() {
    let (root, job) = job();
    let private = job.path().join(RUNNING).join("1");
    fs::create_dir_all(&private).unwrap();
    let elsewhere = root.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("file"), "of others").unwrap();
    std::os::unix::fs::symlink(&elsewhere, private.join("1-a")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, job.path().join(RUNNING).join("2")).unwrap();
    let left = Leftovers::gather(&job, |_| true).unwrap();
    assert!(!left.has("1-a") && !left.has("file"));
    assert_eq!(
        fs::read_to_string(elsewhere.join("file")).unwrap(),
        "of others"
    );
    assert!(!job.test_results().path().join("1-a").exists());
    assert!(!job.test_results().path().join("file").exists());
}

#[test]
fn only_directories_with_nothing_written_are_removed() {
    let (_root, job) = job();
    let results = job.test_results().path();
    for (name, text) in [("1-a", ""), ("2-b", "x")] {
        fs::create_dir(results.join(name)).unwrap();
        fs::write(results.join(name).join("stdout"), text).unwrap();
    }
    let left = Leftovers::gather(&job, |_| false).unwrap();
    assert!(left.remove_empty(&job, "1-a").unwrap());
    assert!(!left.remove_empty(&job, "2-b").unwrap());
    assert!(!results.join("1-a").exists() && results.join("2-b/stdout").exists());
}
