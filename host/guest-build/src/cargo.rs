//! Owns running cargo and other tools, and reading their output. Does not know what is built.

use crate::error::{Error, Tail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs a tool to its end, and returns its standard output.
pub(crate) fn output(command: &mut Command, tool: &str) -> Result<String, Error> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Start {
            tool: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
    if !output.status.success() {
        return Err(Error::Failed {
            tool: tool.to_owned(),
            status: output.status,
            stderr: Tail::new(&output.stderr),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether the workspace of a manifest has a lock file, which a build must not change.
pub(crate) fn is_locked(mut cargo: Command, manifest: &Path) -> Result<bool, Error> {
    cargo.args([
        "locate-project",
        "--workspace",
        "--message-format=plain",
        "--manifest-path",
    ]);
    let root = output(cargo.arg(manifest), "cargo locate-project")?;
    Ok(Path::new(root.trim_end())
        .with_file_name("Cargo.lock")
        .is_file())
}

/// A message `compiler-artifact` of cargo's `--message-format=json`.
#[derive(Debug, PartialEq)]
pub(crate) struct Artifact {
    pub(crate) package: String,
    pub(crate) manifest: PathBuf,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) executable: Option<PathBuf>,
}

/// Reads the artifacts from cargo's messages, one in a line. Skips every other line.
///
/// Format: <https://doc.rust-lang.org/cargo/reference/external-tools.html#artifact-messages>
pub(crate) fn artifacts(messages: &str) -> impl Iterator<Item = Artifact> {
    messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        if message.get("reason")?.as_str()? != "compiler-artifact" {
            return None;
        }
        let path = |value: &Value| value.as_str().map(PathBuf::from);
        Some(Artifact {
            package: package_name(message.get("package_id")?.as_str()?).to_owned(),
            manifest: path(message.get("manifest_path")?)?,
            files: message
                .get("filenames")?
                .as_array()?
                .iter()
                .filter_map(path)
                .collect(),
            executable: message.get("executable").and_then(path),
        })
    })
}

/// Returns the package's name in a package id: `b` for `path+file:///a/b#0.1.0`, and `c` for
/// `path+file:///a/b#c@0.1.0`.
///
/// Format: <https://doc.rust-lang.org/cargo/reference/pkgid-spec.html>
fn package_name(id: &str) -> &str {
    let (place, fragment) = id.rsplit_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => place.rsplit('/').next().unwrap_or(place),
    }
}

/// Returns the source files of an artifact from its dep-info file: `<artifact>: <source> <source>
/// …`, with `\ ` for a blank in a path.
pub(crate) fn sources(dep_info: &str) -> Vec<PathBuf> {
    let Some((_, list)) = dep_info
        .lines()
        .next()
        .and_then(|line| line.split_once(": "))
    else {
        return Vec::new();
    };
    let mut paths = vec![String::new()];
    let mut letters = list.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, paths.last_mut()) {
            ('\\', Some(last)) if letters.next_if_eq(&' ').is_some() => last.push(' '),
            (' ', _) => paths.push(String::new()),
            (letter, Some(last)) => last.push(letter),
            (_, None) => {}
        }
    }
    paths
        .into_iter()
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn artifacts_are_read_from_the_messages_of_cargo() {
        let messages = concat!(
            r#"{"reason":"compiler-message","package_id":"path+file:///p#0.1.0"}"#,
            "\nnot JSON\n",
            r#"{"reason":"compiler-artifact","#,
            r#""package_id":"path+file:///w/plugins/noop#persea-runner-noop@0.1.0","#,
            r#""manifest_path":"/w/plugins/noop/Cargo.toml","#,
            r#""filenames":["/t/noop.wasm","/t/libnoop.rlib"],"executable":null}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let found: Vec<Artifact> = artifacts(messages).collect();
        let expected = Artifact {
            package: "persea-runner-noop".into(),
            manifest: "/w/plugins/noop/Cargo.toml".into(),
            files: vec!["/t/noop.wasm".into(), "/t/libnoop.rlib".into()],
            executable: None,
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn package_name_is_read_from_both_forms_of_a_package_id() {
        assert_eq!(package_name("path+file:///a/guest#0.1.0"), "guest");
        assert_eq!(package_name("path+file:///a/b#guest@0.1.0"), "guest");
        assert_eq!(
            package_name("registry+https://github.com/rust-lang/crates.io-index#serde@1.0.0"),
            "serde"
        );
    }

    #[test]
    fn sources_are_read_from_a_dep_info_file() {
        let paths = sources("/t/a.wasm: /w/a b.rs /w/My\\ Files/b.rs\n\n/w/c.rs:\n");
        assert_eq!(
            paths,
            ["/w/a", "b.rs", "/w/My Files/b.rs"].map(PathBuf::from)
        );
        assert_eq!(sources(""), Vec::<PathBuf>::new());
    }
}
