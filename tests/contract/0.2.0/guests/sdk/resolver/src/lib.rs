//! Owns a resolver; the README of the corpus says what it does.
use common::{description, test};
use persea_plugin_sdk::pages;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::workspace::{self, FileKind};

struct Corpus;

impl Plugin for Corpus {
    fn describe() -> Description {
        description().role(Role::resolver(["noop"]).with("order", 60))
    }
}

impl Resolver for Corpus {
    fn resolve(request: &ResolveRequest) -> Result<Resolution, Error> {
        let name = request.reference.as_str();
        if !name.ends_with(".corpus") {
            return Ok(Resolution::not_found(format!(
                "{name} is not of the corpus"
            )));
        }
        let size = workspace::stat(name)?.size;
        let bytes = workspace::read(name, 0, size as u32)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut words = text.split_whitespace();
        let first = words.next().unwrap_or_default();
        if first == "corrupt" {
            return Ok(Resolution::corrupt(format!("{name}:1: it is corrupt")));
        }
        if first == "directory" {
            return list(words.next().unwrap_or_default());
        }
        pages::add_runnables([test("noop", first)])?;
        let found: Vec<Runnable> = words.map(|word| test("noop", word)).collect();
        Ok(Resolution::found(found).depends_on([name]))
    }
}

/// Returns a test for each entry of a directory.
fn list(path: &str) -> Result<Resolution, Error> {
    let entries = workspace::list_directory(path)?.into_iter();
    let tests = entries.map(|(entry, kind)| {
        let kind = match kind {
            FileKind::File => "file",
            FileKind::Directory => "directory",
            FileKind::Other => "other",
        };
        test("noop", &format!("{entry} {kind}"))
    });
    Ok(Resolution::found(tests.collect::<Vec<Runnable>>()))
}

export!(Corpus: resolver);
