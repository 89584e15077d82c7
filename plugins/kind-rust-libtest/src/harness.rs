//! Owns the question which targets have a harness of their own (`harness = false`). Cargo's own
//! answers do not say it, so the manifests are read.

use persea_plugin_sdk::process::{self, Command, Output};
use serde::Deserialize;

use persea_exec_command::files;

/// The largest manifest that is read, in bytes: 4 MiB.
const LARGEST: usize = 4 << 20;

/// The targets of a manifest that matter here.
#[derive(Default, Deserialize)]
struct Manifest {
    lib: Option<Target>,
    #[serde(default)]
    bin: Vec<Target>,
    #[serde(default)]
    example: Vec<Target>,
    #[serde(default)]
    test: Vec<Target>,
    #[serde(default)]
    bench: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: Option<String>,
    harness: Option<bool>,
}

/// A target with a harness of its own.
#[derive(Debug, PartialEq)]
pub(crate) struct OwnHarness {
    manifest: String,
    /// Cargo's word for the kind of target, such as `test`.
    kind: &'static str,
    /// None for a library, because a package has only one.
    name: Option<String>,
}

/// Returns the targets of these manifests that have a harness of their own. A manifest that cannot
/// be read has none: then a program that does not list its tests is an error.
pub(crate) fn own_harnesses(manifests: &[&str]) -> Vec<OwnHarness> {
    // One process finds the few manifests that must be read.
    let pattern = "harness[[:space:]]*=[[:space:]]*false";
    let search = Command::new("grep")
        .args(["-lE", pattern, "--"])
        .args(manifests.iter().copied())
        .stdout(Output::file("manifests"));
    if process::run(&search).is_err() {
        return Vec::new();
    }
    let found = files::whole("manifests", LARGEST).unwrap_or_default();
    let mut all = Vec::new();
    for (index, manifest) in String::from_utf8_lossy(&found).lines().enumerate() {
        let name = format!("manifest-{index}");
        let copy = Command::new("cat")
            .args(["--", manifest])
            .stdout(Output::file(&name));
        if process::run(&copy).is_ok() {
            let text = files::whole(&name, LARGEST).unwrap_or_default();
            all.extend(parse(manifest, &String::from_utf8_lossy(&text)));
        }
    }
    all
}

fn parse(manifest: &str, text: &str) -> Vec<OwnHarness> {
    let parsed: Manifest = toml::from_str(text).unwrap_or_default();
    let sections = [
        ("lib", parsed.lib.into_iter().collect()),
        ("bin", parsed.bin),
        ("example", parsed.example),
        ("test", parsed.test),
        ("bench", parsed.bench),
    ];
    let mut all = Vec::new();
    for (kind, targets) in sections {
        let own = targets
            .into_iter()
            .filter(|target| target.harness == Some(false));
        all.extend(own.map(|target| OwnHarness {
            manifest: manifest.to_owned(),
            kind,
            name: target.name.filter(|_| kind != "lib"),
        }));
    }
    all
}

impl OwnHarness {
    /// Whether this is the target of a manifest.
    pub(crate) fn is(&self, manifest: &str, kind: &str, name: &str) -> bool {
        self.manifest == manifest
            && self.kind == kind
            && self.name.as_deref().is_none_or(|own| own == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_without_libtest_are_found() {
        let text = r#"
            lib = { harness = false, name = "other" }
            [package]
            name = "p"
            [[test]]
            name = "own"
            harness = false
            [[test]]
            name = "usual"
            [[bench]]
            harness=false
            name = "b"
        "#;
        let own = parse("/p/Cargo.toml", text);
        let is = |kind, name| own.iter().any(|it| it.is("/p/Cargo.toml", kind, name));
        assert!(is("lib", "p") && is("test", "own") && is("bench", "b"));
        assert!(!is("test", "usual") && !is("bin", "own") && !is("test", "b"));
        assert!(!own.iter().any(|it| it.is("/q/Cargo.toml", "test", "own")));
        assert_eq!(parse("m", "[[test"), []);
    }
}
