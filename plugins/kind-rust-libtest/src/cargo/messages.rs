//! Owns the JSON that cargo prints: the messages of a build, and the metadata of packages. Unknown
//! members and messages are ignored, because later versions of cargo add some.

use serde::Deserialize;

/// A message of a build.
#[derive(Debug, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub(crate) enum Message {
    CompilerArtifact(Box<Artifact>),
    BuildScriptExecuted(BuildScript),
    #[serde(other)]
    Other,
}

/// A compiled target.
#[derive(Debug, Deserialize)]
pub(crate) struct Artifact {
    pub(crate) package_id: String,
    pub(crate) manifest_path: String,
    pub(crate) target: TargetMessage,
    pub(crate) profile: Profile,
    pub(crate) executable: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TargetMessage {
    pub(crate) kind: Vec<String>,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) doctest: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Profile {
    /// Whether it was compiled as a test.
    pub(crate) test: bool,
}

/// A build script that was run.
#[derive(Debug, Deserialize)]
pub(crate) struct BuildScript {
    pub(crate) package_id: String,
    #[serde(default)]
    pub(crate) linked_paths: Vec<String>,
    #[serde(default)]
    pub(crate) env: Vec<(String, String)>,
    pub(crate) out_dir: String,
}

/// The metadata of a workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
}

/// A package of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) authors: Vec<String>,
    pub(crate) description: Option<String>,
    pub(crate) homepage: Option<String>,
    pub(crate) repository: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) license_file: Option<String>,
    pub(crate) rust_version: Option<String>,
    pub(crate) readme: Option<String>,
    pub(crate) manifest_path: String,
    pub(crate) targets: Vec<TargetMessage>,
}

impl Package {
    /// The name of the library, if it can have documentation tests.
    pub(crate) fn documented(&self) -> Option<&str> {
        let mut targets = self.targets.iter();
        let library = targets
            .find(|target| target.doctest && target.kind.iter().any(|kind| is_library(kind)));
        library.map(|library| library.name.as_str())
    }
}

/// Whether a kind of target is a kind of library.
pub(crate) fn is_library(kind: &str) -> bool {
    matches!(
        kind,
        "lib" | "rlib" | "dylib" | "cdylib" | "staticlib" | "proc-macro"
    )
}

/// Reads the messages of a build.
///
/// # Errors
/// What was printed in place of the messages, for people.
pub(crate) fn read(output: &[u8]) -> Result<Vec<Message>, String> {
    let mut messages = Vec::new();
    for line in output.split(|byte| *byte == b'\n') {
        // Build scripts and wrappers of rustc may print lines of their own.
        if !line.starts_with(b"{") {
            continue;
        }
        let message = serde_json::from_slice(line);
        messages.push(message.map_err(|error| format!("a message that cannot be read: {error}"))?);
    }
    match messages.is_empty() {
        true => Err("no JSON messages".to_owned()),
        false => Ok(messages),
    }
}
