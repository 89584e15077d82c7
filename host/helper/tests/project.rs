//! A project is received as it is, from what is kept and what is sent.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use persea_helper::PROJECT_ARGUMENT;
use persea_helper::protocol::project::{
    ProjectBegin, ProjectEntry, ProjectEntryKind, ProjectReply, ProjectRequest,
};
use persea_helper::protocol::{Bytes, decode, encode};
use sha2::{Digest as _, Sha256};

/// A receiver of a project, and the host's ends of its streams.
struct Receiver {
    process: Child,
    to: Option<ChildStdin>,
    from: ChildStdout,
}

impl Receiver {
    fn start(lease: Duration) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_persea-helper"))
            .args([PROJECT_ARGUMENT, &lease.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            to: process.stdin.take(),
            from: process.stdout.take().unwrap(),
            process,
        }
    }

    fn send(&mut self, request: &ProjectRequest) {
        let mut bytes = Vec::new();
        encode(request, &mut bytes).unwrap();
        self.send_bytes(&bytes);
    }

    fn send_bytes(&mut self, bytes: &[u8]) {
        self.to.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn reply(&mut self) -> ProjectReply {
        let mut length = [0; 4];
        self.from.read_exact(&mut length).unwrap();
        let mut body = vec![0; u32::from_le_bytes(length) as usize];
        self.from.read_exact(&mut body).unwrap();
        decode(&body).unwrap()
    }

    /// Begins with a project in `root`, and sends these entries.
    fn begin(&mut self, root: &Path, name: &str, entries: &[ProjectEntry]) {
        let path = |name: &str| Bytes(root.join(name).into_os_string().into_encoded_bytes());
        let begin = ProjectBegin {
            shared: None,
            origin: Bytes(b"/origin".to_vec()),
            directory: path(name),
            others: vec![path("others/common")],
            cache: Some(path("cache")),
            cache_limit: 1 << 20,
        };
        self.send(&ProjectRequest::Begin(begin));
        let not_shared = ProjectReply::NotShared {
            why: String::new(),
            may_have_changed: false,
        };
        assert_eq!(self.reply(), not_shared);
        self.send(&ProjectRequest::Entries(entries.to_vec()));
        self.send(&ProjectRequest::EntriesEnd);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.to = None;
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn entry(path: &str, kind: ProjectEntryKind) -> ProjectEntry {
    let path = Bytes(path.as_bytes().to_vec());
    ProjectEntry { path, kind }
}

fn file(path: &str, content: &[u8]) -> ProjectEntry {
    let kind = ProjectEntryKind::File {
        mode: 0o4754,
        size: content.len() as u64,
        modified: (1_000_000_000, 5),
        digest: Sha256::digest(content).into(),
    };
    entry(path, kind)
}

fn directory(path: &str) -> ProjectEntry {
    entry(path, ProjectEntryKind::Directory { mode: 0o555 })
}

fn link(path: &str, target: &str) -> ProjectEntry {
    entry(
        path,
        ProjectEntryKind::Link(Bytes(target.as_bytes().to_vec())),
    )
}

const DONE: ProjectReply = ProjectReply::Done { not_kept: None };

#[test]
fn project_is_made_of_entries_and_contents() {
    let root = tempfile::tempdir().unwrap();
    let entries = [
        directory("a"),
        file("a/one", b"content"),
        link("a/out", "/elsewhere"),
        link("a/there", "/origin/a/one"),
        file("empty", b""),
        file("same", b"content"),
    ];
    for (name, missing) in [("first", true), ("second", false)] {
        let mut receiver = Receiver::start(Duration::from_secs(20));
        receiver.begin(root.path(), name, &entries);
        if missing {
            assert_eq!(receiver.reply(), ProjectReply::Missing(vec![1]));
            receiver.send_bytes(b"con");
            receiver.send_bytes(b"tent");
        }
        assert_eq!(receiver.reply(), DONE);
        let project = root.path().join(name);
        for path in ["a/one", "a/there", "same"] {
            assert_eq!(fs::read(project.join(path)).unwrap(), b"content", "{path}");
        }
        let meta = project.join("a/one").metadata().unwrap();
        assert_eq!(meta.mode() & 0o7777, 0o754, "without the set-user-id bit");
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (1_000_000_000, 5));
        assert_eq!(project.join("a").metadata().unwrap().mode() & 0o7777, 0o555);
        let out = fs::read_link(project.join("a/out")).unwrap();
        assert_eq!(out, Path::new("/elsewhere"));
        assert_eq!(project.join("empty").metadata().unwrap().len(), 0);
        assert!(root.path().join("others/common").is_dir());
        // Nobody else can change what is kept by what was made of it.
        assert_eq!(meta.nlink(), 1);
    }
}

#[test]
fn kept_content_that_was_changed_is_missing() {
    let root = tempfile::tempdir().unwrap();
    let entries = [file("one", b"content")];
    let make = |name: &str| {
        let mut receiver = Receiver::start(Duration::from_secs(20));
        receiver.begin(root.path(), name, &entries);
        let reply = receiver.reply();
        if reply == ProjectReply::Missing(vec![0]) {
            receiver.send_bytes(b"content");
            assert_eq!(receiver.reply(), DONE);
        }
        assert_eq!(
            fs::read(root.path().join(name).join("one")).unwrap(),
            b"content"
        );
        reply
    };
    assert_eq!(make("1"), ProjectReply::Missing(vec![0]));
    assert_eq!(make("2"), DONE);
    for kept in fs::read_dir(root.path().join("cache/projects")).unwrap() {
        let path = kept.unwrap().path();
        if path.extension().unwrap() == "pack" {
            fs::write(path, "cOntent").unwrap();
        }
    }
    assert_eq!(make("3"), ProjectReply::Missing(vec![0]));
}

#[test]
fn content_that_is_not_that_of_its_digest_and_bad_names_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start(Duration::from_secs(20));
    receiver.begin(root.path(), "changed", &[file("one", b"content")]);
    assert_eq!(receiver.reply(), ProjectReply::Missing(vec![0]));
    receiver.send_bytes(b"cOntent");
    let ProjectReply::Failed(why) = receiver.reply() else {
        panic!("it was taken");
    };
    assert!(why.contains("one has changed"), "{why}");
    for name in ["../out", "/out", ""] {
        let mut receiver = Receiver::start(Duration::from_secs(20));
        receiver.begin(root.path(), "bad", &[file(name, b"")]);
        assert!(
            matches!(receiver.reply(), ProjectReply::Failed(_)),
            "{name}"
        );
    }
    assert!(!root.path().join("out").exists());
}

#[test]
fn receiver_ends_when_nothing_comes() {
    let root = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start(Duration::from_millis(200));
    receiver.begin(root.path(), "waits", &[file("one", b"content")]);
    let began = Instant::now();
    while receiver.process.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(20), "it still waits");
        std::thread::sleep(Duration::from_millis(5));
    }
}
