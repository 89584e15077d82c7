#![allow(clippy::unwrap_used)]
use super::*;
use crate::testing::{feed, here};
use persea_plugin_sdk::Requirement;
use persea_plugin_sdk::testing::{Host, Installed};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

/// Does something in a directory in which commands really run.
fn within<T>(directory: &Path, work: impl FnOnce(&Here<'_>) -> T) -> T {
    let host = Host::new().processes(here(directory)).install();
    let request = Request::new(Requirement::new("file"));
    let project = directory.to_str().unwrap().to_owned();
    work(&Here {
        host,
        request: request.with("project-dir", project),
        directory,
    })
}

struct Here<'a> {
    host: Installed,
    request: Request,
    directory: &'a Path,
}

impl Here<'_> {
    fn place(&self, path: &str) -> Place {
        Place::new(&self.request, path).unwrap()
    }

    fn write(&self, path: &str, text: &str, size: usize) -> Result<Placed, Error> {
        let content = Content {
            size: size as u64,
            mode: "0640".to_owned(),
            pieces: [Ok(text.as_bytes().to_vec())],
        };
        self.place(path).write(content, true)
    }

    fn feed(&self) -> Option<i32> {
        feed(&self.host, self.directory).unwrap().pop().unwrap()
    }
}

/// All names below a directory.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_comes_and_goes_with_its_directories() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a", "-rf", "a b/$(c)/new\nline\n", "-x/-y\n/*"] {
        within(root.path(), |here| {
            let placed = here.write(name, "text", 4).unwrap();
            assert_eq!(here.feed(), Some(0));
            let file = root.path().join(name);
            assert_eq!(fs::read_to_string(&file).unwrap(), "text");
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
            let topmost = name
                .split_once('/')
                .map(|(topmost, _)| here.place(topmost).path);
            assert_eq!(
                placed,
                Placed {
                    directory: topmost,
                    earlier: false
                }
            );
            let place = here.place(name);
            assert_eq!(place.look(), Ok(Kind::File));
            place.clear(&placed).unwrap();
            assert!(names(root.path()).is_empty(), "after {name:?}");
            place.clear(&placed).unwrap();
        });
    }
}

#[test]
fn directories_that_others_use_stay() {
    let root = tempfile::tempdir().unwrap();
    within(root.path(), |here| {
        fs::create_dir_all(root.path().join("a/b/c")).unwrap();
        fs::write(root.path().join("a/b/c/.d.persea-new"), "cut o").unwrap();
        here.write("a/b/c/d", "", 0).unwrap();
        assert_eq!(
            here.feed(),
            Some(0),
            "what is left of another attempt is no hindrance"
        );
        fs::remove_dir_all(root.path().join("a")).unwrap();
    });
    within(root.path(), |here| {
        let placed = here.write("a/b/c/d", "", 0).unwrap();
        assert_eq!(here.feed(), Some(0));
        fs::write(root.path().join("a/mine"), "").unwrap();
        here.place("a/b/c/d").clear(&placed).unwrap();
        assert_eq!(names(&root.path().join("a")), ["mine"]);
        // What others have removed already is passed over.
        let placed = here.write("x/b/c/d", "", 0).unwrap();
        fs::create_dir_all(root.path().join("x/b")).unwrap();
        here.place("x/b/c/d").clear(&placed).unwrap();
        assert_eq!(names(root.path()), ["a"]);
    });
}

#[test]
fn an_earlier_file_comes_back_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("real"), "old").unwrap();
    symlink("real", root.path().join("link")).unwrap();
    for name in ["real", "link"] {
        within(root.path(), |here| {
            let placed = here.write(name, "new", 3).unwrap();
            assert_eq!(
                placed,
                Placed {
                    directory: None,
                    earlier: true
                }
            );
            assert_eq!(here.feed(), Some(0));
            assert_eq!(fs::read_to_string(root.path().join(name)).unwrap(), "new");
            assert_eq!(names(root.path()).len(), 3, "the earlier one is beside it");
            let again = here.write(name, "newer", 5).unwrap_err();
            assert!(
                again
                    .message
                    .contains(&format!(".{name}.persea-before is the earlier"))
            );
            here.place(name).clear(&placed).unwrap();
            assert_eq!(fs::read_to_string(root.path().join("real")).unwrap(), "old");
            assert_eq!(names(root.path()), ["link", "real"]);
        });
    }
    assert!(root.path().join("link").is_symlink());
}

#[test]
fn a_kept_file_whose_place_was_not_taken_is_only_a_second_name() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a"), "old").unwrap();
    fs::hard_link(root.path().join("a"), root.path().join(".a.persea-before")).unwrap();
    within(root.path(), |here| {
        let placed = Placed {
            directory: None,
            earlier: true,
        };
        here.place("a").clear(&placed).unwrap();
    });
    assert_eq!(names(root.path()), ["a"]);
}

#[test]
fn what_is_cut_off_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a"), "old").unwrap();
    for name in ["a", "b/c"] {
        within(root.path(), |here| {
            here.write(name, "text", 5).unwrap();
            assert_eq!(here.feed(), Some(1));
        });
    }
    assert_eq!(names(root.path()), ["a"]);
    assert_eq!(fs::read_to_string(root.path().join("a")).unwrap(), "old");
}

#[test]
fn where_the_input_fails_nothing_is_left() {
    let root = tempfile::tempdir().unwrap();
    within(root.path(), |here| {
        fs::create_dir_all(root.path().join("b")).unwrap();
        fs::write(root.path().join("b/.c.persea-new"), "te").unwrap();
        let content = Content {
            size: 4,
            mode: "0640".to_owned(),
            pieces: [Ok(b"te".to_vec()), Err(Error::new("io", "it is gone"))],
        };
        let error = here.place("b/c").write(content, false).unwrap_err();
        assert!(error.message.ends_with("/b/c cannot be made: it is gone"));
        assert!(names(&root.path().join("b")).is_empty());
    });
}

#[test]
fn lines_that_are_ended_half_way_leave_the_earlier_file() {
    let root = tempfile::tempdir().unwrap();
    let earlier = root.path().join(".a.persea-before");
    fs::write(&earlier, "old").unwrap();
    fs::write(root.path().join("a"), "new").unwrap();
    within(root.path(), |here| {
        here.place("a").end("half", None).unwrap()
    });
    assert_eq!(fs::read_to_string(root.path().join("a")).unwrap(), "old");
    within(root.path(), |here| {
        here.place("a").end("half", None).unwrap()
    });
    assert_eq!(names(root.path()), ["a"]);
}

#[test]
fn what_appears_in_between_is_not_overwritten() {
    let root = tempfile::tempdir().unwrap();
    within(root.path(), |here| {
        here.write("a", "text", 4).unwrap();
        fs::write(root.path().join("a"), "mine").unwrap();
        assert_eq!(here.feed(), Some(1));
    });
    assert_eq!(fs::read_to_string(root.path().join("a")).unwrap(), "mine");
    assert_eq!(names(root.path()), ["a"]);
}

#[test]
fn only_an_ordinary_file_gives_way() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("directory")).unwrap();
    symlink("nowhere", root.path().join("link")).unwrap();
    within(root.path(), |here| {
        let message = |name: &str| here.write(name, "", 0).unwrap_err().message;
        assert!(message("directory").ends_with("a directory is there"));
        assert!(message("link").ends_with("no ordinary file"));
        assert!(message("../x").ends_with("give a path without `..`"));
        assert!(message("x/").ends_with("it names a directory"));
        assert_eq!(here.place("none").look(), Ok(Kind::Absent));
        assert_eq!(here.place("directory").look(), Ok(Kind::Directory));
        assert_eq!(here.place("link").look(), Ok(Kind::Other));
        assert!(Place::new(&here.request, "").is_err());
        assert!(Place::new(&here.request, "a\0b").is_err());
    });
}

#[test]
fn a_checksum_is_that_of_the_file() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("-\\\n"), "abc").unwrap();
    within(root.path(), |here| {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(here.place("-\\\n").sha256().unwrap(), expected);
        let message = here.place("none").sha256().unwrap_err().message;
        assert!(message.contains("/none cannot be looked at: "), "{message}");
    });
}
