//! Owns a requirement resolver; the README of the corpus says what it does.
use common::{code, description, sh};
use persea_plugin_sdk::fetch::{self, Source};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::{cache, messages, process};

const SHA256: &str = "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";

struct Corpus;

impl Plugin for Corpus {
    fn describe() -> Description {
        description().role(Role::requirement_resolver(["corpus-thing"]))
    }
}

fn path(request: &RequirementRequest) -> &str {
    request.requirement.uri.as_deref().unwrap_or_default()
}

impl RequirementResolver for Corpus {
    fn check(request: &RequirementRequest) -> Result<CheckedRequirement, Error> {
        match cache::get("fulfilled") {
            Err(error) if error.code != "not-found" => return Err(error),
            _ => {}
        }
        let exists = process::run(&sh(r#"test -e "$1""#, &[path(request)]))?;
        Ok(match code(&exists) {
            0 => Presence::Present,
            _ => Presence::Absent,
        }
        .into())
    }

    fn fulfil(request: &RequirementRequest) -> Result<FulfilledRequirement, Error> {
        let path = path(request);
        let source = Source::new(["source.txt"]).checksum(SHA256);
        let download = fetch::fetch(&source)?;
        let content = download.read(0, download.info().size as u32)?;
        let text = String::from_utf8_lossy(&content);
        messages::progress(&format!("about to write {path}"))?;
        let written = process::run(&sh(r#"printf %s "$2" > "$1""#, &[path, &text]))?;
        if code(&written) != 0 {
            return Err(Error::new("io", format!("{path} cannot be written")));
        }
        cache::put("fulfilled", &content)?;
        let fulfilled = FulfilledRequirement::new().undo("path", path);
        Ok(fulfilled.env([("CORPUS_THING", text.as_ref())]))
    }

    fn release(request: &ReleaseRequest) -> Result<(), Error> {
        let undo = request.undo.as_ref().and_then(|undo| undo.text("path"));
        let path = undo.unwrap_or_else(|| path(&request.request));
        process::run(&sh(r#"rm -f "$1""#, &[path]))?;
        Ok(())
    }
}

export!(Corpus: requirement_resolver);
