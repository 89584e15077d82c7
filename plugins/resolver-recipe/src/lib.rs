//! Persea's resolver plugin `recipe`: JSON files that say what is to be run, one runnable or a list of them.
//!
//! This file is the plugin's outside: which files, and what a user is told of those that are no recipe. It leaves the
//! format to `recipe`.

mod recipe;
mod shape;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::workspace::{self, FileKind};
use recipe::Reading;

/// The largest recipe, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// The resolver `recipe`.
pub struct Recipe;

impl Resolver for Recipe {
    fn describe() -> Description {
        Description::new(
            "recipe",
            "reads JSON recipes: a runnable, or a list of them",
        )
        .with("order", 50)
    }

    fn resolve(reference: &str, _: &Attributes) -> Result<Resolution, Error> {
        let not_found = |why| Ok(Resolution::NotFound(why));
        if !reference.ends_with(".json") {
            return not_found(format!(
                "{reference} is no recipe: its name does not end with .json"
            ));
        }
        match workspace::stat(reference) {
            Ok(stat) if stat.kind != FileKind::File => {
                return not_found(format!("{reference} is not a regular file"));
            }
            Ok(stat) if stat.size > MAX_FILE => {
                let (has, limit) = (stat.size.div_ceil(1 << 20), MAX_FILE >> 20);
                return not_found(format!(
                    "{reference} has {has} MiB; a recipe may have {limit} MiB"
                ));
            }
            Ok(_) => {}
            Err(error) if error.code == "not-found" => {
                return not_found(format!("{reference} does not exist"));
            }
            Err(error) => return not_found(error.message),
        }
        let bytes = workspace::read_to_end(reference, MAX_FILE)?;
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(error) => {
                let at = error.valid_up_to();
                return Ok(Resolution::Corrupt(format!(
                    "{reference}: byte {at} is not UTF-8"
                )));
            }
        };
        Ok(match recipe::read(text) {
            Reading::Recipe(runnables) => Resolution::Found(runnables),
            Reading::Other(why) => {
                Resolution::NotFound(format!("{reference} is JSON, but no recipe: {why}"))
            }
            Reading::Mistake(why) => Resolution::Corrupt(format!("{reference}: {why}")),
            Reading::Broken { line, column, why } => {
                Resolution::Corrupt(format!("{reference}:{line}:{column}: {why}"))
            }
        })
    }
}

export!(resolver: Recipe);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use persea_plugin_sdk::testing::{Files, Host};

    fn ask(files: Files, reference: &str) -> Resolution {
        let _host = Host::new().files(files).install();
        Recipe::resolve(reference, &Attributes::new()).unwrap()
    }

    fn of(text: impl Into<Vec<u8>>) -> Resolution {
        ask(Files::new().file("r.json", text), "r.json")
    }

    #[test]
    fn a_recipe_gives_its_runnables_with_uris_as_they_are_written() {
        let found = ask(
            Files::new().file("dir/r.json", r#"{"kind": "tap", "uri": "t.sh"}"#),
            "dir/r.json",
        );
        assert_eq!(
            found,
            Resolution::Found(vec![Runnable::new("tap").uri("t.sh")])
        );
        assert_eq!(of("[]"), Resolution::Found(vec![]));
        assert_eq!(
            of("\u{feff}[]"),
            Resolution::Found(vec![]),
            "a byte order mark is no mistake"
        );
    }

    #[test]
    fn what_is_no_recipe_says_why() {
        let files = || Files::new().directory("d.json");
        let not_found = |why: &str| Resolution::NotFound(why.to_owned());
        assert_eq!(
            ask(files(), "a.py"),
            not_found("a.py is no recipe: its name does not end with .json")
        );
        assert_eq!(ask(files(), "a.json"), not_found("a.json does not exist"));
        assert_eq!(
            ask(files(), "d.json"),
            not_found("d.json is not a regular file")
        );
        // Whatever else keeps it from being looked at.
        assert_eq!(
            ask(files(), "../a.json"),
            not_found("../a.json leads out of the project")
        );
        let why = "r.json is JSON, but no recipe: Missing required property \"kind\"";
        assert_eq!(of(r#"{"name": "left-pad"}"#), not_found(why));
        let why = "r.json has 65 MiB; a recipe may have 64 MiB";
        assert_eq!(of(vec![b' '; (64 << 20) + 1]), not_found(why));
    }

    #[test]
    fn a_broken_recipe_is_corrupt_and_says_where() {
        let corrupt = |why: &str| Resolution::Corrupt(why.to_owned());
        assert_eq!(of("[\n{]"), corrupt("r.json:2:2: key must be a string"));
        assert_eq!(of([b'[', 0xff]), corrupt("r.json: byte 1 is not UTF-8"));
        let why = "r.json: [3].args[0]: expected a string, found a number";
        assert_eq!(
            of(r#"[{"kind":"a"},{"kind":"a"},{"kind":"a"},{"kind":"a","args":[3]}]"#),
            corrupt(why)
        );
    }
}
