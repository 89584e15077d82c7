#![allow(clippy::unwrap_used)]
use super::*;
use persea_plugin_sdk::testing::{Host, Installed};
use persea_requirement_tool::testing::{real_processes, recorded, run_with_input, unrecorded};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A project's directory in which a host runs commands as real processes.
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

    fn request(&self, requirement: Requirement) -> RequirementRequest {
        let project = self.directory.path().to_str().unwrap();
        RequirementRequest::new(requirement).with("project-dir", project)
    }

    fn install(&mut self) {
        self.host = None;
        self.host = Some(
            Host::new()
                .processes(real_processes(self.directory.path()))
                .install(),
        );
    }

    fn check(&mut self, requirement: &Requirement) -> Result<CheckedRequirement, String> {
        self.install();
        File::check(&self.request(requirement.clone())).map_err(|error| error.message)
    }

    fn fulfil(&mut self, requirement: &Requirement) -> FulfilledRequirement {
        self.install();
        let fulfilled = File::fulfil(&self.request(requirement.clone())).unwrap();
        let codes = run_with_input(self.host.as_ref().unwrap(), self.directory.path()).unwrap();
        assert_eq!(codes, [Some(0)]);
        fulfilled
    }

    fn release(
        &mut self,
        requirement: &Requirement,
        fulfilled: &FulfilledRequirement,
    ) -> Result<(), String> {
        self.install();
        let request = recorded(self.request(requirement.clone()), fulfilled);
        File::release(&request).map_err(|error| error.message)
    }

    /// Releases a requirement whose fulfilment the host could not record.
    fn release_unrecorded(&mut self, requirement: &Requirement) -> Result<(), String> {
        self.install();
        let request = unrecorded(self.request(requirement.clone()));
        File::release(&request).map_err(|error| error.message)
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
fn missing_or_wrong_file_is_named() {
    let mut project = Project::new();
    fs::write(project.path("-e"), "abc").unwrap();
    assert_eq!(project.check(&file("-e")), Ok(Presence::Present.into()));
    assert_eq!(project.check(&file("/")), Ok(Presence::Present.into()));
    let message = project.check(&file("none")).unwrap_err();
    assert!(message.starts_with("the file /"), "{message}");
    assert!(
        message.ends_with("/none does not exist; create it, or give the requirement a `content`")
    );

    let executable = file("-e").kwarg("executable", true);
    let message = project.check(&executable).unwrap_err();
    assert!(message.contains("/-e exists, but is not an executable file"));
    fs::set_permissions(project.path("-e"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(project.check(&executable), Ok(Presence::Present.into()));

    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let right = file("-e").kwarg("checksum", format!("sha256:{}", abc.to_uppercase()));
    assert_eq!(project.check(&right), Ok(Presence::Present.into()));
    let wrong = file("-e").kwarg("checksum", format!("sha256:{}", "0".repeat(64)));
    let message = project.check(&wrong).unwrap_err();
    let expected = format!("/-e has the checksum sha256:{abc} instead of sha256:000");
    assert!(message.contains(&expected));
    let directory = file("/").kwarg("checksum", format!("sha256:{abc}"));
    assert!(
        project
            .check(&directory)
            .unwrap_err()
            .contains("is not a regular file")
    );
}

#[test]
fn file_is_created_and_removed() {
    let mut project = Project::new();
    let text = "a 'b' \"$c\"\n\\n%s\n";
    let requirement = made("etc/-x y", text).kwarg("executable", true);
    assert_eq!(project.check(&requirement), Ok(Presence::Absent.into()));
    let fulfilled = project.fulfil(&requirement);
    assert_eq!(project.read("etc/-x y"), text);
    let mode = project
        .path("etc/-x y")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o755);
    assert_eq!(project.check(&requirement), Ok(Presence::Present.into()));
    assert_eq!(project.release(&requirement, &fulfilled), Ok(()));
    assert!(project.names().is_empty());
    assert_eq!(
        project.release(&requirement, &fulfilled),
        Ok(()),
        "a second release finds no file"
    );
}

#[test]
fn existing_file_must_have_the_same_text_and_mode() {
    let mut project = Project::new();
    fs::write(project.path("a"), "text").unwrap();
    fs::set_permissions(project.path("a"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(
        project.check(&made("a", "text")),
        Ok(Presence::Present.into())
    );
    assert_eq!(
        project.check(&made("a", "texT")),
        Ok(Presence::Absent.into())
    );
    assert_eq!(
        project.check(&made("a", "tex")),
        Ok(Presence::Absent.into())
    );
    assert_eq!(project.check(&made("a", "")), Ok(Presence::Absent.into()));
    let with_mode = |mode: &str| made("a", "text").kwarg("mode", mode);
    assert_eq!(
        project.check(&with_mode("0600")),
        Ok(Presence::Present.into())
    );
    assert_eq!(
        project.check(&with_mode("644")),
        Ok(Presence::Absent.into())
    );
    let executable = made("a", "text").kwarg("executable", true);
    assert_eq!(project.check(&executable), Ok(Presence::Absent.into()));
    fs::create_dir(project.path("d")).unwrap();
    let message = project.check(&made("d", "")).unwrap_err();
    assert!(message.contains("not a regular file; remove it, or give another path"));
    assert!(project.check(&made("x/../y", "")).is_err());
}

#[test]
fn earlier_file_is_restored() {
    let mut project = Project::new();
    fs::write(project.path("a"), "old").unwrap();
    let requirement = made("a", "new");
    let fulfilled = project.fulfil(&requirement);
    assert_eq!(project.read("a"), "new");
    assert_eq!(project.release(&requirement, &fulfilled), Ok(()));
    assert_eq!(
        (project.read("a").as_str(), project.names().len()),
        ("old", 1)
    );

    // The new file may have been removed meanwhile.
    let fulfilled = project.fulfil(&requirement);
    fs::remove_file(project.path("a")).unwrap();
    assert_eq!(project.release(&requirement, &fulfilled), Ok(()));
    assert_eq!(project.read("a"), "old");

    // Without the backup, the new file is not removed either.
    let fulfilled = project.fulfil(&requirement);
    fs::remove_file(project.path(".a.persea-before")).unwrap();
    let message = project.release(&requirement, &fulfilled).unwrap_err();
    assert!(
        message.ends_with("/.a.persea-before is missing"),
        "{message}"
    );
    assert_eq!(project.read("a"), "new");
}

#[test]
fn file_that_was_changed_meanwhile_is_not_removed() {
    let mut project = Project::new();
    fs::write(project.path("a"), "old").unwrap();
    let requirement = made("a", "new");
    let fulfilled = project.fulfil(&requirement);
    fs::write(project.path("a"), "newer").unwrap();
    let message = project.release(&requirement, &fulfilled).unwrap_err();
    assert!(message.contains("/a was changed after it was created, so it is not removed"));
    assert!(message.ends_with("/.a.persea-before"), "{message}");
    assert_eq!(project.read("a"), "newer");
    assert_eq!(project.read(".a.persea-before"), "old");
}

#[test]
fn unrecorded_attempt_is_undone() {
    let requirement = made("a", "new");
    let mut project = Project::new();
    fs::write(project.path("other"), "").unwrap();
    // The attempt had written only the temporary file.
    fs::write(project.path(".a.persea-new"), "ne").unwrap();
    assert_eq!(project.release_unrecorded(&requirement), Ok(()));
    assert_eq!(project.names(), ["other"]);
    // The attempt was complete.
    project.fulfil(&requirement);
    assert_eq!(project.release_unrecorded(&requirement), Ok(()));
    assert_eq!(project.names(), ["other"]);
    // The attempt was complete and had replaced an earlier file.
    fs::write(project.path("a"), "old").unwrap();
    project.fulfil(&requirement);
    assert_eq!(project.release_unrecorded(&requirement), Ok(()));
    assert_eq!(
        (project.read("a").as_str(), project.names().len()),
        ("old", 2)
    );
    // The attempt had not touched the earlier file yet.
    fs::write(project.path(".a.persea-new"), "new").unwrap();
    assert_eq!(project.release_unrecorded(&requirement), Ok(()));
    assert_eq!(
        (project.read("a").as_str(), project.names().len()),
        ("old", 2)
    );
    // The attempt had only linked the backup.
    fs::hard_link(project.path("a"), project.path(".a.persea-before")).unwrap();
    assert_eq!(project.release_unrecorded(&requirement), Ok(()));
    assert_eq!(
        (project.read("a").as_str(), project.names().len()),
        ("old", 2)
    );
    // The attempt had moved the earlier file to the backup, and no more.
    fs::rename(project.path("a"), project.path(".a.persea-before")).unwrap();
    assert_eq!(project.release_unrecorded(&requirement), Ok(()));
    assert_eq!(
        (project.read("a").as_str(), project.names().len()),
        ("old", 2)
    );
    // Empty directories are reported: the attempt may not have created them.
    let deep = made("x/y/a", "new");
    project.fulfil(&deep);
    let message = project.release_unrecorded(&deep).unwrap_err();
    assert!(
        message.contains("/x/y may have been created for it"),
        "{message}"
    );
}

#[test]
fn requirement_without_content_is_not_released() {
    let mut project = Project::new();
    assert_eq!(project.release_unrecorded(&file("a")), Ok(()));
    assert!(project.host.unwrap().commands().is_empty());
}

#[test]
fn invalid_arguments_are_explained() {
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
            "its uri is `a` and its path is `b`",
        ),
        (file("a").kwarg("colour", 1), "unknown argument `colour`"),
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
    for (requirement, expected) in wrong {
        let message = project.check(&requirement).unwrap_err();
        assert!(
            message.contains(expected),
            "{message:?} has no {expected:?}"
        );
    }
}
