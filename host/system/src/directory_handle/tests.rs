//! Tests that a directory handle stays in its directory.
#![allow(clippy::unwrap_used)]
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;

use super::*;

#[test]
fn links_pipes_and_directories_are_not_opened_as_files() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), "secret").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let handle = DirectoryHandle::open(dir.path()).unwrap();
    symlink(outside.path().join("file"), dir.path().join("link")).unwrap();
    symlink(outside.path(), dir.path().join("way")).unwrap();
    mknodat(&handle.0, "pipe", FileType::Fifo, Mode::RWXU, 0).unwrap();
    handle.create_directory("directory").unwrap();
    for name in ["link", "pipe", "directory", "way"] {
        assert!(handle.open_append(name).is_err(), "{name}");
        assert!(handle.open_file(name).is_err(), "{name}");
    }
    assert!(handle.open_directory("way").is_err());
    assert!(DirectoryHandle::open(&dir.path().join("way")).is_err());
    handle
        .open_append("new")
        .unwrap()
        .write_all(b"own")
        .unwrap();
    let mut text = String::new();
    handle
        .open_file("new")
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "own");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn only_wanted_ordinary_files_are_listed_and_every_time() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = tempfile::tempdir().unwrap();
    let handle = DirectoryHandle::open(dir.path()).unwrap();
    fs::write(dir.path().join("b"), "12345").unwrap();
    fs::write(dir.path().join("a"), "").unwrap();
    fs::write(dir.path().join(".hidden"), "").unwrap();
    let bytes = std::ffi::OsStr::from_bytes(b"\xff");
    fs::write(dir.path().join(bytes), "").unwrap();
    symlink("/etc/passwd", dir.path().join("link")).unwrap();
    mknodat(&handle.0, "pipe", FileType::Fifo, Mode::RWXU, 0).unwrap();
    handle.create_directory("directory").unwrap();
    for _ in 0..2 {
        let files = handle.ordinary_files(|name| !name.starts_with('.'));
        let expected = [("a".to_owned(), 0), ("b".to_owned(), 5)];
        assert_eq!(files.unwrap(), expected);
    }
}

#[test]
fn privileges_are_removed_from_all_files_of_the_tree_and_nothing_else_changes() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    let outside = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    let files = [
        (dir.path().join("suid"), 0o4755, 0o755),
        (dir.path().join("a/sgid"), 0o2711, 0o711),
        (dir.path().join("a/b/both"), 0o6644, 0o644),
        (dir.path().join("plain"), 0o640, 0o640),
        (outside.path().join("others"), 0o4755, 0o4755),
    ];
    for (file, before, _) in &files {
        fs::write(file, "").unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(*before)).unwrap();
    }
    symlink(&files[4].0, dir.path().join("link")).unwrap();
    symlink(outside.path(), dir.path().join("way")).unwrap();
    DirectoryHandle::open(dir.path())
        .unwrap()
        .remove_privileges()
        .unwrap();
    for (file, _, after) in &files {
        assert_eq!(mode(file), *after, "{}", file.display());
    }
}

#[test]
fn handle_stays_with_its_directory_when_the_name_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("own")).unwrap();
    fs::create_dir(path("other")).unwrap();
    let handle = DirectoryHandle::open(&path("own")).unwrap();
    fs::rename(path("own"), path("moved")).unwrap();
    symlink(path("other"), path("own")).unwrap();
    handle.open_append("file").unwrap();
    handle.create_directory("made").unwrap();
    assert!(path("moved/file").exists() && handle.has_directory("made"));
    assert_eq!(fs::read_dir(path("other")).unwrap().count(), 0);
}

#[test]
fn path_below_leads_through_no_link() {
    let outside = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let handle = DirectoryHandle::open(dir.path()).unwrap();
    symlink(outside.path(), dir.path().join("way")).unwrap();
    let below = Path::new("way/new");
    assert!(handle.make_below(below).is_err());
    assert!(handle.continue_below(below).is_err());
    assert!(handle.link_below(Path::new("x"), below).is_err());
    assert!(handle.set_mode_below(Path::new("way"), 0o700).is_err());
    for path in ["../new", "/new", "", "a/../new"] {
        assert!(handle.continue_below(Path::new(path)).is_err(), "{path}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    handle.make_below(Path::new("a")).unwrap();
    handle.make_below(Path::new("a")).unwrap();
    for text in ["one", "two"] {
        let mut file = handle.continue_below(Path::new("a/file")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
    assert_eq!(
        fs::read_to_string(dir.path().join("a/file")).unwrap(),
        "onetwo"
    );
    assert!(handle.make_below(Path::new("a/file")).is_err());
}

#[test]
fn link_itself_is_moved_and_removed_and_not_its_target() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), "kept").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let handle = DirectoryHandle::open(dir.path()).unwrap();
    symlink(outside.path(), dir.path().join("link")).unwrap();
    handle.create_directory("to").unwrap();
    handle
        .rename("link", &handle.open_directory("to").unwrap(), "new")
        .unwrap();
    let to = handle.open_directory("to").unwrap();
    assert!(!to.has_directory("new"));
    to.remove("new").unwrap();
    to.remove("new").unwrap();
    handle.create_directory("full").unwrap();
    symlink(outside.path(), dir.path().join("full/link")).unwrap();
    handle.remove("full").unwrap();
    assert!(!dir.path().join("full").exists());
    assert!(outside.path().join("file").exists());
}
