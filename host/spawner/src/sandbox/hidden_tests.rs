//! Tests which paths are hidden, and how.
#![allow(clippy::unwrap_used)]

use std::fs;

use super::*;
use crate::sandbox::mounts::Part;

/// A home with keys, and a layout with one layer over all.
fn home() -> (tempfile::TempDir, PathBuf, Layout) {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().canonicalize().unwrap();
    fs::create_dir_all(home.join(".ssh")).unwrap();
    fs::write(home.join(".ssh/id"), "key").unwrap();
    fs::write(home.join(".netrc"), "token").unwrap();
    let layout = Layout {
        parts: vec![Part {
            path: "/".into(),
            source: Source::Layered,
        }],
        links: Vec::new(),
    };
    (dir, home, layout)
}

fn hidden(visibility: &Visibility, layout: &Layout) -> HiddenPaths {
    HiddenPaths::new(visibility, Path::new("/project"), layout, Vec::new())
}

#[test]
fn keys_of_the_home_are_hidden_unless_they_are_shown() {
    let (_dir, home, layout) = home();
    let mut visibility = Visibility {
        homes: vec![home.clone()],
        ..Visibility::default()
    };
    let all = hidden(&visibility, &layout);
    assert!(all.has(&home.join(".ssh/id")) && all.has(&home.join(".netrc")));
    visibility.show = vec![home.join(".ssh")];
    let some = hidden(&visibility, &layout);
    assert!(!some.has(&home.join(".ssh/id")) && some.has(&home.join(".netrc")));
    // The overlay has it.
    assert!(some.shown.is_empty());
}

#[test]
fn file_in_a_hidden_directory_is_shown_alone() {
    let (_dir, home, layout) = home();
    let visibility = Visibility {
        homes: vec![home.clone()],
        show: vec![home.join(".ssh/known_hosts")],
        ..Visibility::default()
    };
    let hidden = hidden(&visibility, &layout);
    assert!(hidden.has(&home.join(".ssh/id")));
    assert_eq!(hidden.shown, visibility.show);
    let targets: Vec<&Path> = hidden.shown.iter().map(|path| &**path).collect();
    let masks = hidden.masks(&layout, &targets);
    assert!(masks.contains(&Mask::EmptyDirectory(home.join(".ssh"))));
}

#[test]
fn link_is_hidden_with_its_target() {
    let (dir, home, layout) = home();
    let elsewhere = dir.path().canonicalize().unwrap().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, home.join(".aws")).unwrap();
    let visibility = Visibility {
        homes: vec![home.clone()],
        ..Visibility::default()
    };
    let hidden = hidden(&visibility, &layout);
    assert!(hidden.has(&home.join(".aws")) && hidden.has(&elsewhere));
}

#[test]
fn shown_socket_is_mounted_from_the_machine() {
    let (_dir, home, layout) = home();
    let socket = home.join("agent");
    let _agent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let visibility = Visibility {
        show: vec![socket.clone(), home.join(".netrc")],
        ..Visibility::default()
    };
    assert_eq!(hidden(&visibility, &layout).shown, [socket]);
}

#[test]
fn whiteout_keeps_the_modes_of_its_parent_directories() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (upper, lower) = (dir.path().join("upper"), dir.path().join("lower"));
    fs::create_dir_all(lower.join("a/b/hidden")).unwrap();
    fs::create_dir(&upper).unwrap();
    for (name, mode) in [("a", 0o1770), ("a/b", 0o711)] {
        fs::set_permissions(lower.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    for hidden in ["a/b/hidden", "a/b/hidden", "a/none/below"] {
        white_out(&upper, &lower, Path::new(hidden)).unwrap();
    }
    for (name, mode) in [("a", 0o1770), ("a/b", 0o711)] {
        let made = upper.join(name).metadata().unwrap().mode();
        assert_eq!(made & 0o7777, mode, "{name}");
    }
    for name in ["a/b/hidden", "a/none"] {
        let made = upper.join(name).symlink_metadata().unwrap();
        assert!(
            made.file_type().is_char_device() && made.rdev() == 0,
            "{name}"
        );
    }
}

#[test]
fn path_of_a_setting_is_relative_to_the_home_or_the_project() {
    let of = |path| resolve(path, Path::new("/home/u"), Path::new("/project"));
    assert_eq!(of("~"), Path::new("/home/u"));
    assert_eq!(of("~/.ssh"), Path::new("/home/u/.ssh"));
    assert_eq!(of("expected"), Path::new("/project/expected"));
    assert_eq!(of("/run/x"), Path::new("/run/x"));
    assert_eq!(of("~other"), Path::new("/project/~other"));
}

#[test]
fn every_hidden_path_of_the_home_is_documented() {
    let docs = include_str!("../../../../docs/environments.md");
    for name in OF_HOME {
        assert!(docs.contains(&format!("`{name}`")), "{name}");
    }
}
