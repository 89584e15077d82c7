//! Files of tasks are made, read, listed, fetched and removed as the host asks.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use common::Helper;
use persea_helper::protocol::archive::{ArchiveItem, ArchiveReader, Record};
use persea_helper::protocol::{Bytes, Id, Reply, Request};

fn bytes(path: &Path) -> Bytes {
    Bytes(path.to_str().unwrap().as_bytes().to_vec())
}

fn ask(helper: &mut Helper, make: impl FnOnce(Id) -> Request) -> Reply {
    let id = helper.id();
    helper.send(&make(id));
    helper.reply(id)
}

/// The paths in a directory as the host fetches them.
fn fetch(helper: &mut Helper, directory: &Path) -> Vec<String> {
    let archive = helper.id();
    helper.send(&Request::Fetch {
        id: archive,
        directory: bytes(directory),
        made: vec![Bytes(b"stdout".to_vec())],
        limit: 1 << 30,
        max: 10,
    });
    let mut reader = ArchiveReader::default();
    let mut paths = Vec::new();
    let mut id = archive;
    loop {
        match helper.reply(id) {
            Reply::Data { bytes, .. } => reader.push(&bytes.0),
            other => panic!("{other:?}"),
        }
        while let Some(item) = reader.next_item().unwrap() {
            if let ArchiveItem::Record(Record::File { path, .. }) = item {
                paths.push(String::from_utf8(path.0).unwrap());
            }
        }
        if reader.has_ended() {
            return paths;
        }
        id = helper.id();
        helper.send(&Request::FetchMore {
            id,
            archive,
            max: 10,
        });
    }
}

#[test]
fn directory_of_a_task_is_made_fetched_and_removed() {
    let root = tempfile::tempdir().unwrap();
    let mut helper = Helper::new();
    let directory = root.path().join("tasks/1-a");
    let make = |id| Request::MakeDirectory {
        id,
        directory: bytes(&directory),
        files: vec![Bytes(b"stdout".to_vec())],
    };
    assert!(matches!(ask(&mut helper, make), Reply::Done { .. }));
    assert!(
        fetch(&mut helper, &directory).is_empty(),
        "only what was made is there"
    );
    assert!(
        matches!(ask(&mut helper, make), Reply::Failed { .. }),
        "it exists"
    );
    fs::write(directory.join("stdout"), "some text").unwrap();
    fs::write(directory.join("own"), [7; 100]).unwrap();
    assert_eq!(fetch(&mut helper, &directory), ["stdout", "own"]);
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o000)).unwrap();
    let remove = |id| Request::RemoveDirectory {
        id,
        directory: bytes(&directory),
    };
    assert!(matches!(ask(&mut helper, remove), Reply::Done { .. }));
    assert!(!directory.exists());
    assert!(matches!(ask(&mut helper, remove), Reply::Done { .. }));
    helper.finish();
}

#[test]
fn files_are_listed_and_read_in_parts_and_no_link_is_followed() {
    let root = tempfile::tempdir().unwrap();
    let mut helper = Helper::new();
    fs::write(root.path().join("a"), "0123456789").unwrap();
    fs::write(root.path().join("b"), "").unwrap();
    fs::create_dir(root.path().join("c")).unwrap();
    symlink("a", root.path().join("link")).unwrap();
    let list = |after: &str| {
        let (directory, after) = (bytes(root.path()), after.to_owned());
        move |id| Request::ListFiles {
            id,
            directory,
            after,
        }
    };
    let Reply::Files { files, is_all, .. } = ask(&mut helper, list("")) else {
        panic!("no files");
    };
    assert_eq!(
        (files, is_all),
        (vec![("a".into(), 10), ("b".into(), 0)], true)
    );
    let Reply::Files { files, .. } = ask(&mut helper, list("a")) else {
        panic!("no files");
    };
    assert_eq!(files, [("b".to_owned(), 0)]);
    let mut read = |name: &str, offset, max| {
        let path = bytes(&root.path().join(name));
        ask(&mut helper, |id| Request::ReadFile {
            id,
            path,
            offset,
            max,
        })
    };
    for (offset, max, expected) in [(0, 4, "0123"), (8, 4, "89"), (10, 4, ""), (99, 4, "")] {
        let Reply::Data { bytes, .. } = read("a", offset, max) else {
            panic!("nothing is read");
        };
        assert_eq!(bytes.0, expected.as_bytes());
    }
    for name in ["link", "c", "none"] {
        assert!(matches!(read(name, 0, 4), Reply::Failed { .. }), "{name}");
    }
    helper.finish();
}
