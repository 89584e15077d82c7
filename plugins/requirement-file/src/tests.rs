#![allow(clippy::unwrap_used)]
use super::*;
use persea_plugin_sdk::testing::{Host, Installed};
use persea_requirement_tool::testing::{feed, here};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A project's directory in which commands really run.
struct Project {
    directory: tempfile::TempDir,
    host: Option<Installed>,
}

impl Project {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            host: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn request(&self, wanted: Requirement) -> Request {
        let project = self.directory.path().to_str().unwrap();
        Request::new(wanted).with("project-dir", project)
    }

    fn install(&mut self) {
        self.host = None;
        self.host = Some(Host::new().processes(here(self.directory.path())).install());
    }

    fn check(&mut self, wanted: &Requirement) -> Result<Presence, String> {
        self.install();
        File::check(&self.request(wanted.clone())).map_err(|error| error.message)
    }

    fn fulfil(&mut self, wanted: &Requirement) -> Attributes {
        self.install();
        let fulfilled = File::fulfil(&self.request(wanted.clone())).unwrap();
        let fed = feed(self.host.as_ref().unwrap(), self.directory.path()).unwrap();
        assert_eq!(fed, [Some(0)]);
        fulfilled
    }

    fn release(&mut self, wanted: &Requirement, fulfilled: &Attributes) -> Result<(), String> {
        self.install();
        let released = File::release(&self.request(wanted.clone()), fulfilled);
        released.map_err(|error| error.message)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        names(self.directory.path())
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn file(path: &str) -> Requirement {
    Requirement::new("file").uri(path)
}

fn made(path: &str, text: &str) -> Requirement {
    file(path).kwarg("content", text)
}

#[test]
fn a_file_is_there_or_the_error_names_it() {
    let mut project = Project::new();
    fs::write(project.path("-e"), "abc").unwrap();
    assert_eq!(project.check(&file("-e")), Ok(Presence::Present));
    assert_eq!(project.check(&file("/")), Ok(Presence::Present));
    let message = project.check(&file("none")).unwrap_err();
    assert!(message.starts_with("there is no file /"), "{message}");
    assert!(message.ends_with("/none; put it there, or give it a `content` to have it made"));

    let executable = file("-e").kwarg("executable", true);
    let message = project.check(&executable).unwrap_err();
    assert!(message.contains("/-e is there, but is no file that may be executed"));
    fs::set_permissions(project.path("-e"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(project.check(&executable), Ok(Presence::Present));

    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let right = file("-e").kwarg("checksum", format!("sha256:{}", abc.to_uppercase()));
    assert_eq!(project.check(&right), Ok(Presence::Present));
    let wrong = file("-e").kwarg("checksum", format!("sha256:{}", "0".repeat(64)));
    let message = project.check(&wrong).unwrap_err();
    assert!(message.contains(&format!("/-e comes to sha256:{abc}, and not to sha256:000")));
    let directory = file("/").kwarg("checksum", format!("sha256:{abc}"));
    assert!(
        project
            .check(&directory)
            .unwrap_err()
            .contains("is no ordinary file")
    );
}

#[test]
fn a_file_is_made_and_taken_back() {
    let mut project = Project::new();
    let text = "a 'b' \"$c\"\n\\n%s\n";
    let wanted = made("etc/-x y", text).kwarg("executable", true);
    assert_eq!(project.check(&wanted), Ok(Presence::Absent));
    let fulfilled = project.fulfil(&wanted);
    assert_eq!(project.read("etc/-x y"), text);
    let mode = project
        .path("etc/-x y")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o755);
    assert_eq!(project.check(&wanted), Ok(Presence::Present));
    assert_eq!(project.release(&wanted, &fulfilled), Ok(()));
    assert!(project.names().is_empty());
    assert_eq!(
        project.release(&wanted, &fulfilled),
        Ok(()),
        "it is gone already"
    );
}

#[test]
fn what_is_there_must_be_the_same_in_text_and_mode() {
    let mut project = Project::new();
    fs::write(project.path("a"), "text").unwrap();
    fs::set_permissions(project.path("a"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(project.check(&made("a", "text")), Ok(Presence::Present));
    assert_eq!(project.check(&made("a", "texT")), Ok(Presence::Absent));
    assert_eq!(project.check(&made("a", "tex")), Ok(Presence::Absent));
    assert_eq!(project.check(&made("a", "")), Ok(Presence::Absent));
    let with_mode = |mode: &str| made("a", "text").kwarg("mode", mode);
    assert_eq!(project.check(&with_mode("0600")), Ok(Presence::Present));
    assert_eq!(project.check(&with_mode("644")), Ok(Presence::Absent));
    let executable = made("a", "text").kwarg("executable", true);
    assert_eq!(project.check(&executable), Ok(Presence::Absent));
    fs::create_dir(project.path("d")).unwrap();
    let message = project.check(&made("d", "")).unwrap_err();
    assert!(message.contains("no ordinary file; remove it, or give another path"));
    assert!(project.check(&made("x/../y", "")).is_err());
}

#[test]
fn an_earlier_file_comes_back() {
    let mut project = Project::new();
    fs::write(project.path("a"), "old").unwrap();
    let wanted = made("a", "new");
    let fulfilled = project.fulfil(&wanted);
    assert_eq!(project.read("a"), "new");
    assert_eq!(project.release(&wanted, &fulfilled), Ok(()));
    assert_eq!(
        (project.read("a").as_str(), project.names().len()),
        ("old", 1)
    );

    // Also where somebody has removed the new one.
    let fulfilled = project.fulfil(&wanted);
    fs::remove_file(project.path("a")).unwrap();
    assert_eq!(project.release(&wanted, &fulfilled), Ok(()));
    assert_eq!(project.read("a"), "old");

    // But a file that nobody can bring back is not given up for nothing.
    let fulfilled = project.fulfil(&wanted);
    fs::remove_file(project.path(".a.persea-before")).unwrap();
    let message = project.release(&wanted, &fulfilled).unwrap_err();
    assert!(message.ends_with("/.a.persea-before, is gone"), "{message}");
    assert_eq!(project.read("a"), "new");
}

#[test]
fn what_others_have_changed_is_left() {
    let mut project = Project::new();
    fs::write(project.path("a"), "old").unwrap();
    let wanted = made("a", "new");
    let fulfilled = project.fulfil(&wanted);
    fs::write(project.path("a"), "newer").unwrap();
    let message = project.release(&wanted, &fulfilled).unwrap_err();
    assert!(message.contains("/a is not what was written there any more; it is left as it is"));
    assert!(message.ends_with("/.a.persea-before"), "{message}");
    assert_eq!(project.read("a"), "newer");
    assert_eq!(project.read(".a.persea-before"), "old");
}

#[test]
fn an_attempt_that_nobody_heard_of_is_undone() {
    let nothing = Attributes::new();
    let wanted = made("a", "new");
    let mut project = Project::new();
    fs::write(project.path("other"), "").unwrap();
    // It had written aside, no more.
    fs::write(project.path(".a.persea-new"), "ne").unwrap();
    assert_eq!(project.release(&wanted, &nothing), Ok(()));
    assert_eq!(project.names(), ["other"]);
    // It had come to its end.
    project.fulfil(&wanted);
    assert_eq!(project.release(&wanted, &nothing), Ok(()));
    assert_eq!(project.names(), ["other"]);
    // The same with an earlier file.
    fs::write(project.path("a"), "old").unwrap();
    project.fulfil(&wanted);
    assert_eq!(project.release(&wanted, &nothing), Ok(()));
    assert_eq!(
        (project.read("a").as_str(), project.names().len()),
        ("old", 2)
    );
    // It had not touched that yet.
    fs::write(project.path(".a.persea-new"), "new").unwrap();
    assert_eq!(project.release(&wanted, &nothing), Ok(()));
    assert_eq!(
        (project.read("a").as_str(), project.names().len()),
        ("old", 2)
    );
    // It had only given it a second name.
    fs::hard_link(project.path("a"), project.path(".a.persea-before")).unwrap();
    assert_eq!(project.release(&wanted, &nothing), Ok(()));
    assert_eq!(
        (project.read("a").as_str(), project.names().len()),
        ("old", 2)
    );
    // It had given it only another name.
    fs::rename(project.path("a"), project.path(".a.persea-before")).unwrap();
    assert_eq!(project.release(&wanted, &nothing), Ok(()));
    assert_eq!(
        (project.read("a").as_str(), project.names().len()),
        ("old", 2)
    );
    // Directories may be anybody's.
    let deep = made("x/y/a", "new");
    project.fulfil(&deep);
    let message = project.release(&deep, &nothing).unwrap_err();
    assert!(
        message.contains("/x/y, which is empty, may have been made for it"),
        "{message}"
    );
}

#[test]
fn nothing_is_undone_where_nothing_was_made() {
    let mut project = Project::new();
    assert_eq!(project.release(&file("a"), &Attributes::new()), Ok(()));
    assert!(project.host.unwrap().commands().is_empty());
}

#[test]
fn wrong_arguments_are_explained() {
    let mut project = Project::new();
    let digits = "0".repeat(64);
    let sum = format!("sha256:{digits}");
    let wrong = [
        (
            Requirement::new("file"),
            "it needs a `uri` or `path`: the file",
        ),
        (
            file("a").kwarg("path", "b"),
            "it has the uri `a` and the path `b`",
        ),
        (file("a").kwarg("colour", 1), "`colour` is not known"),
        (
            file("a").kwarg("checksum", digits.as_str()),
            "`checksum` must be `sha256:` and 64",
        ),
        (
            made("a", "").kwarg("checksum", sum),
            "a `content` and a `checksum`",
        ),
        (file("a").kwarg("content", 1), "`content` must be a text"),
        (
            file("a").kwarg("mode", "0644"),
            "a `mode`, but no `content`",
        ),
        (made("a", "").kwarg("mode", 644), "`mode` must be a text"),
        (
            made("a", "").kwarg("mode", "+644"),
            "`mode` must be three or four octal digits",
        ),
        (
            made("a", "").kwarg("mode", "0o644"),
            "`mode` must be three or four octal digits",
        ),
        (
            made("a", "")
                .kwarg("mode", "0644")
                .kwarg("executable", true),
            "its `mode` does not allow",
        ),
        (
            file("a").kwarg("executable", "yes"),
            "`executable` must be true or false",
        ),
    ];
    for (wanted, expected) in wrong {
        let message = project.check(&wanted).unwrap_err();
        assert!(
            message.contains(expected),
            "{message:?} has no {expected:?}"
        );
    }
}
