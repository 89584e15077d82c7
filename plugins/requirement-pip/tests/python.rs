//! Tests the query of distributions with a real Python and fake distributions.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::testing::{Host, Installed};
use persea_requirement_pip::Pip;
use persea_requirement_tool::testing::real_processes;

/// A directory with an executable `python`, the real Python with some fake distributions.
struct Python {
    directory: tempfile::TempDir,
    _host: Installed,
}

impl Python {
    /// `options` are passed to the interpreter. They decide whether it finds pip and packaging.
    fn new(options: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let add = |name: &str, version: &str, metadata: &str| {
            let info = directory.path().join(format!("{name}-{version}.dist-info"));
            fs::create_dir(&info).unwrap();
            let metadata =
                format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}");
            fs::write(info.join("METADATA"), metadata).unwrap();
            info
        };
        let pear = "Provides-Extra: Sweet_Tooth\nProvides-Extra: sour\nProvides-Extra: all\n\
            Provides-Extra: round\nRequires-Dist: bark\n\
            Requires-Dist: sugar (>=2) ; extra == 'Sweet_Tooth'\n\
            Requires-Dist: lemon ; (python_version >= '3') and extra == 'sour'\n\
            Requires-Dist: tears ; (python_version < '3') and extra == 'sour'\n\
            Requires-Dist: pear[sour,sweet-tooth] ; extra == 'all'\n\
            Requires-Dist: pear[round] ; extra == 'round'\n";
        add("Pear", "1.2.3", pear);
        add("sugar", "1.0", "");
        add("lemon", "4", "");
        add("plum", "2.0rc1", "");
        add("fig", "2024.1+deb12", "");
        add("odd", "no_version!", "");
        let url = add("far", "1", "").join("direct_url.json");
        let text = r#"{"url": "https://example.org/far-1.zip", "archive_info": {}}"#;
        fs::write(url, text).unwrap();
        let place = directory.path().display();
        // `python3` may be a slow wrapper script, so the interpreter itself is used.
        let find = ["-c", "import sys; print(sys.executable, end='')"];
        let found = std::process::Command::new("python3").args(find).output();
        let real = String::from_utf8(found.unwrap().stdout).unwrap();
        let script = format!("#!/bin/sh\nPYTHONPATH='{place}' exec '{real}' {options} \"$@\"\n");
        let python = directory.path().join("python");
        fs::write(&python, script).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        let host = Host::new()
            .processes(real_processes(directory.path()))
            .install();
        Self {
            directory,
            _host: host,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn request(&self, name: &str, action: &str) -> RequirementRequest {
        let python = self.path().join("python");
        let requirement = Requirement::new("pip")
            .kwarg("name", name)
            .kwarg("python", python.to_str().unwrap())
            .kwarg("action", action);
        RequirementRequest::new(requirement)
    }

    /// Returns why a requirement is not met, or an empty text where it is met.
    fn missing(&self, name: &str) -> String {
        match Pip::check(&self.request(name, "check")) {
            Ok(presence) => {
                assert_eq!(presence, Presence::Present.into(), "{name}");
                String::new()
            }
            Err(error) => {
                let end = "), and the action `check` does not install it";
                let why = error.message.strip_suffix(end).unwrap();
                why.split_once(" (").unwrap().1.to_owned()
            }
        }
    }
}

/// Runs the script itself, with all requirements in one process.
#[test]
fn versions_extras_and_markers_are_compared_as_pip_does() {
    let rows = [
        ("pear", "yes", ""),
        ("PEAR", "yes", ""),
        ("pear>=1", "yes", ""),
        ("pear>=1, <2", "yes", ""),
        ("pear~=1.2", "yes", ""),
        ("pear~=1.2.0", "yes", ""),
        ("pear!=3", "yes", ""),
        ("pear==1.2.3", "yes", ""),
        ("pear==1.2.3.0", "yes", ""),
        ("pear==1.*", "yes", ""),
        ("pear===1.2.3", "yes", ""),
        ("pear>=1.10", "no", "pear is 1.2.3"),
        ("pear~=2.0", "no", "pear is 1.2.3"),
        ("pear!=1.2.3", "no", "pear is 1.2.3"),
        ("pear!=1.*", "no", "pear is 1.2.3"),
        ("pear>1.2.3", "no", "pear is 1.2.3"),
        ("pear===1.2.3.0", "no", "pear is 1.2.3"),
        ("apple", "no", "apple is not installed"),
        ("apple>=1", "no", "apple is not installed"),
        // Installed pre-releases, and local versions.
        ("plum>=1", "yes", ""),
        ("plum>=2", "no", "plum is 2.0rc1"),
        ("fig==2024.1", "yes", ""),
        ("fig==2024.1+deb11", "no", "fig is 2024.1+deb12"),
        ("odd", "yes", ""),
        ("odd>=1", "no", "odd is no_version!"),
        // Extras.
        ("pear[sour]", "yes", ""),
        ("pear[sour]>=1", "yes", ""),
        (
            "pear[sweet-tooth]",
            "no",
            "sugar is 1.0, for pear[sweet-tooth]",
        ),
        (
            "pear[Sweet.Tooth]",
            "no",
            "sugar is 1.0, for pear[Sweet.Tooth]",
        ),
        (
            "pear[all]",
            "no",
            "sugar is 1.0, for pear[sweet-tooth], for pear[all]",
        ),
        ("pear[round]", "yes", ""),
        ("pear[of-no-kind]", "yes", ""),
        // Markers.
        ("pear>=2; python_version<'3'", "ignored", ""),
        ("apple ; sys_platform == 'win32'", "ignored", ""),
        ("pear>=2 ; python_version >= '3'", "no", "pear is 1.2.3"),
        // URLs.
        ("far @ https://example.org/far-1.zip", "yes", ""),
        (
            "far @ https://example.org/far-2.zip",
            "unknown",
            "far may come from another source",
        ),
    ];
    let python = Python::new("");
    let script = include_str!("../src/distributions.py");
    let asked = std::process::Command::new(python.path().join("python"))
        .args(["-c", script])
        .args(rows.map(|row| row.0))
        .output()
        .unwrap();
    let answers: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(answers[0]["pear"], "1.2.3");
    for ((name, answer, why), found) in rows.iter().zip(answers[1].as_array().unwrap()) {
        assert_eq!(*found, serde_json::json!([answer, why]), "{name}");
    }
}

#[test]
fn requirements_are_split_at_blanks_outside_of_conditions() {
    let python = Python::new("");
    assert_eq!(python.missing("pear >= 1, < 2 sugar<2"), "");
    assert_eq!(python.missing("pear>=1 sugar >= 2"), "sugar is 1.0");
    let marked = "sugar pear[ sour, sweet-tooth ] ; python_version >= '3'";
    let missing = "sugar is 1.0, for pear[sweet-tooth]";
    assert_eq!(python.missing(marked), missing);
}

#[test]
fn uninstalled_means_that_no_fitting_version_is_installed() {
    let python = Python::new("");
    for (name, presence) in [
        ("apple", Presence::Present),
        ("pear>=2", Presence::Present),
        ("pear; python_version<'3'", Presence::Present),
    ] {
        let request = python.request(name, "uninstall");
        assert_eq!(Pip::check(&request), Ok(presence.into()), "{name}");
    }
}

#[test]
fn invalid_requirement_is_named() {
    let python = Python::new("");
    for name in ["pear=>1", "pear>=1; colour=='red'", "pear/plum"] {
        let error = Pip::check(&python.request(name, "install")).unwrap_err();
        assert_eq!(error.code, "invalid", "{name}: {error}");
        let begins = error.message.starts_with("`pear");
        let ends = error
            .message
            .contains("` is not a valid requirement of pip: ");
        assert!(begins && ends, "{name}: {error}");
    }
}

/// With `-S` the interpreter has no pip. The script then uses the copy in the standard library's
/// bundled wheel (`ensurepip`).
#[test]
fn versions_are_compared_without_pip() {
    let python = Python::new("-S");
    assert_eq!(python.missing("pear>=1"), "");
    assert_eq!(python.missing("pear>=2"), "pear is 1.2.3");
}

#[test]
fn missing_packaging_is_the_reason() {
    let python = Python::new("-S");
    fs::write(python.path().join("ensurepip.py"), "raise ImportError").unwrap();
    assert_eq!(python.missing("pear"), "");
    assert_eq!(python.missing("apple"), "apple is not installed");
    assert_eq!(
        python.missing("pear>=1"),
        "it has neither pip nor packaging to compare versions with"
    );
}

/// The working directory is the project's, which may have files with any names.
#[test]
fn files_of_the_working_directory_shadow_no_module() {
    let python = Python::new("");
    fs::create_dir(python.path().join("work")).unwrap();
    for name in ["json.py", "re.py", "packaging.py"] {
        fs::write(python.path().join("work").join(name), "raise SystemExit(9)").unwrap();
    }
    let host = Host::new()
        .processes(real_processes(&python.path().join("work")))
        .install();
    assert_eq!(python.missing("pear>=1"), "");
    drop(host);
}
