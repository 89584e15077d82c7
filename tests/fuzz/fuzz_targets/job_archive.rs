//! Owns archives of jobs that somebody made. Whatever the members are, nothing is written outside
//! of the directory, and nothing in it but files and directories without dangerous modes.
//!
//! A tar stream has checksums that no fuzzer guesses. So each line of the input is a member: its
//! kind, its name, a tab, and the size of its content.
#![no_main]

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use persea_history::{ImportLimits, unpack};
use tar::{EntryType, Header};

const JOB: &[u8] = b"job-a";

const LIMITS: ImportLimits = ImportLimits {
    bytes: 64 << 10,
    members: 50,
};

/// Adds a member to a stream, whatever its name. `@` in the name stands for the job's directory.
fn push(tar: &mut Vec<u8>, kind: u8, name: &[u8], content: &[u8]) {
    let name: Vec<u8> = name
        .iter()
        .flat_map(|byte| {
            if *byte == b'@' {
                JOB
            } else {
                std::slice::from_ref(byte)
            }
        })
        .copied()
        .collect();
    if name.len() > 100 && kind != b'L' {
        push(tar, b'L', b"long", &name);
    }
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::new(kind));
    header.set_size(content.len() as u64);
    header.set_mode(0o6777);
    header.set_mtime(u64::from(kind));
    let length = name.len().min(100);
    header.as_old_mut().name[..length].copy_from_slice(&name[..length]);
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// The stream of the members in the input, after a first member that counts them.
fn stream(input: &[u8]) -> Vec<u8> {
    let content = [b'x'; 2000];
    let (mut files, mut directories, mut bytes) = (0_u64, 0_u64, 0_u64);
    let mut members = Vec::new();
    for line in input.split(|byte| *byte == b'\n') {
        let Some((kind, rest)) = line.split_first() else {
            continue;
        };
        let mut parts = rest.splitn(2, |byte| *byte == b'\t');
        let name = parts.next().unwrap_or_default();
        let size = parts.next().and_then(|size| std::str::from_utf8(size).ok());
        let size: usize = size.and_then(|size| size.parse().ok()).unwrap_or(0) % content.len();
        push(&mut members, *kind, name, &content[..size]);
        match kind {
            b'5' => directories += 1,
            b'0' => {
                files += 1;
                bytes += size as u64;
            }
            _ => {}
        }
    }
    let manifest = format!(
        r#"{{"format":1,"job":"job-a","id":"",
            "directories":{directories},"files":{files},"bytes":{bytes}}}"#
    );
    let mut tar = Vec::new();
    push(&mut tar, b'0', b"persea-export.json", manifest.as_bytes());
    tar.extend(members);
    tar.extend([0; 1024]);
    tar
}

fn walk(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    let mut at = 0;
    while let Some(path) = found.get(at).cloned() {
        at += 1;
        if std::fs::symlink_metadata(&path)
            .expect("it is there")
            .is_dir()
        {
            let entries = std::fs::read_dir(path).expect("it can be read");
            found.extend(entries.map(|entry| entry.expect("it can be read").path()));
        }
    }
    found
}

fn check(tar: &[u8]) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let into = root.path().join("a/b/into");
    std::fs::create_dir_all(&into).expect("a directory");
    let _ = unpack(tar, &into, LIMITS);
    for path in walk(root.path()) {
        assert!(
            path.starts_with(&into) || into.starts_with(&path),
            "{path:?}"
        );
        let meta = std::fs::symlink_metadata(&path).expect("it is there");
        assert!(meta.is_file() || meta.is_dir(), "{path:?}");
        if path != into && path.starts_with(&into) {
            assert_eq!(meta.mode() & 0o7022, 0, "{path:?}");
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    check(&stream(bytes));
});
