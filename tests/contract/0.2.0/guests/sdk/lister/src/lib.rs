//! Owns a lister; the README of the corpus says what it does.
use common::{description, sh, test};
use persea_plugin_sdk::pages;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Output, Pipe};

struct Corpus;

impl Plugin for Corpus {
    fn describe() -> Description {
        let description = description().role(Role::lister(["corpus-list"]));
        description.role(Role::runner(["corpus-list"]))
    }
}

impl Runner for Corpus {
    fn run(_: Task) -> Result<Outcome, Error> {
        Ok(Outcome::pass())
    }
}

impl Lister for Corpus {
    fn list_tests(task: &Task) -> Result<Listing, Error> {
        let uri = task.runnable.uri.as_deref().unwrap_or_default();
        let child = process::start(&sh(r#"cat "$1""#, &[uri]).stdout(Output::Pipe))?;
        let mut printed = Vec::new();
        loop {
            let part = child.read(Pipe::Stdout, 100)?;
            if part.is_empty() {
                break;
            }
            printed.extend(part);
        }
        child.wait()?;
        let text = String::from_utf8_lossy(&printed);
        let mut tests = text
            .split_whitespace()
            .map(|word| test("corpus-list", word));
        pages::add_runnables(tests.next().into_iter().collect::<Vec<_>>())?;
        Ok(Listing::new(tests.collect::<Vec<_>>()).depends_on([uri]))
    }
}

export!(Corpus: lister, runner);
