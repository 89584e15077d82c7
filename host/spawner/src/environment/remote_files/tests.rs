//! Tests what a host stores of the files that another host sends.
#![allow(clippy::unwrap_used)]
use std::os::unix::fs::{MetadataExt as _, symlink};

use persea_helper::protocol::archive::{Record, encode_record};
use persea_helper::protocol::{Hello, Welcome, encode, encode_greeting};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::channel::Channel;

/// Fetches an archive into the directory `1-a` of `results`, from a helper that sends these
/// parts.
async fn fetch(results: &Path, parts: &[Vec<u8>]) -> Result<Fetched, SpawnError> {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let (reader, writer) = tokio::io::split(ours);
    let mut bytes = Vec::new();
    encode_greeting(&Welcome { pid: 1, clock: 2 }, &mut bytes).unwrap();
    theirs.write_all(&bytes).await.unwrap();
    let clean_up = Box::pin(async { "it is gone".to_owned() });
    let hello = Hello::default();
    let channel = Channel::open("t".into(), reader, writer, hello, None, clean_up);
    let environment = Environment::new(channel.await.unwrap(), String::new(), None);
    let mut requests = vec![0; 4096];
    let _ = theirs.read(&mut requests).await.unwrap();
    let to = DirectoryHandle::open(results).unwrap();
    let fetching = tokio::spawn({
        let environment = environment.clone();
        async move {
            let directory = Path::new("/there");
            environment.fetch(directory, &[], &to, "1-a").await
        }
    });
    for (number, part) in parts.iter().enumerate() {
        // A reply before its request would end the environment.
        let _ = theirs.read(&mut requests).await.unwrap();
        let id = number as u64 + 1;
        let bytes = Bytes(part.clone());
        let mut frame = Vec::new();
        encode(&Reply::Data { id, bytes }, &mut frame).unwrap();
        theirs.write_all(&frame).await.unwrap();
    }
    fetching.await.unwrap()
}

fn path(text: &str) -> Bytes {
    Bytes(text.as_bytes().to_vec())
}

fn records(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        encode_record(record, &mut bytes).unwrap();
    }
    bytes
}

/// An empty file.
fn file(name: &str, mode: u32) -> [Record; 2] {
    use sha2::{Digest as _, Sha256};
    let (path, size) = (path(name), 0);
    let digest = Sha256::digest(b"").into();
    let is_whole = true;
    [
        Record::File { path, mode, size },
        Record::FileEnd { digest, is_whole },
    ]
}

const END: Record = Record::End { left_out: 0 };

#[tokio::test]
async fn file_with_a_name_out_of_its_directory_is_refused() {
    for name in ["../x", "/tmp/x", "a/../../x", "..", "a//x"] {
        let results = tempfile::tempdir().unwrap();
        let archive = records(&[&file(name, 0o644)[..], &[END]].concat());
        let error = fetch(results.path(), &[archive]).await.unwrap_err();
        assert!(matches!(error, SpawnError::Fetch { .. }), "{name}: {error}");
        assert!(error.to_string().contains("refused"), "{name}: {error}");
        assert_eq!(
            std::fs::read_dir(results.path()).unwrap().count(),
            0,
            "{name}"
        );
    }
}

#[tokio::test]
async fn file_behind_a_link_is_refused() {
    let outside = tempfile::tempdir().unwrap();
    let results = tempfile::tempdir().unwrap();
    let target = path(outside.path().to_str().unwrap());
    let link = Record::Link {
        path: path("way"),
        target,
    };
    let archive = records(&[&[link][..], &file("way/x", 0o644), &[END]].concat());
    let error = fetch(results.path(), &[archive]).await.unwrap_err();
    assert!(matches!(error, SpawnError::Store { .. }), "{error}");
    // Also one that is here already.
    std::fs::remove_dir_all(results.path().join("1-a")).unwrap();
    symlink(outside.path(), results.path().join("1-a")).unwrap();
    let archive = records(&[&file("x", 0o644)[..], &[END]].concat());
    fetch(results.path(), &[archive]).await.unwrap_err();
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn fetched_file_has_no_set_id_bit_and_comes_once() {
    let results = tempfile::tempdir().unwrap();
    let archive = records(&[&file("x", 0o6755)[..], &[END]].concat());
    let (one, two) = archive.split_at(20);
    let fetched = fetch(results.path(), &[one.to_vec(), two.to_vec()]).await;
    assert_eq!(fetched.unwrap(), Fetched::default());
    let meta = results.path().join("1-a/x").metadata().unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o755);
    let twice = [&file("y", 0o644)[..], &file("y", 0o644), &[END]].concat();
    let error = fetch(results.path(), &[records(&twice)]).await.unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
}

#[tokio::test]
async fn archive_that_ends_too_early_is_an_error() {
    let results = tempfile::tempdir().unwrap();
    let error = fetch(results.path(), &[Vec::new()]).await.unwrap_err();
    assert!(error.to_string().contains("too early"), "{error}");
}

#[test]
fn paths_of_the_project_are_translated_and_others_not() {
    let files = RemoteFiles {
        host: "one".into(),
        project: "/there/project".to_owned(),
        origin: "/here/project".into(),
        common: String::new(),
        tasks: "/there/tasks".to_owned(),
        fetch_limit: 0,
    };
    for (here, there) in [
        ("/here/project", "/there/project"),
        ("/here/project/a/b", "/there/project/a/b"),
        ("/here/projects", "/here/projects"),
        ("a/b", "a/b"),
        ("/bin/sh", "/bin/sh"),
    ] {
        assert_eq!(files.path(here), there);
    }
    let directory = files.task_directory(Path::new("/here/job/test-results/1-a"));
    assert_eq!(directory, Path::new("/there/tasks/test-results/1-a"));
}
