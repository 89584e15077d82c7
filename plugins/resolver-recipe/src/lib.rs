//! Owns the resolver `recipe`: chooses the files that may be recipes, and explains why a file is
//! not one. Does not know the format: see `recipe`.

mod recipe;
mod shape;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::workspace::{self, FileKind};
use recipe::ReadOutcome;

/// Limit of a recipe's size, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// The resolver `recipe`.
pub struct Recipe;

impl Plugin for Recipe {
    fn describe() -> Description {
        let summary = "reads JSON recipes: a runnable, or a list of them";
        Description::new("recipe", summary).role(Role::resolver(["*"]).with("order", 50))
    }
}

impl Resolver for Recipe {
    fn resolve(request: &ResolveRequest) -> Result<Resolution, Error> {
        let reference = request.reference.as_str();
        let not_found = |why: String| Ok(Resolution::not_found(why));
        if !reference.ends_with(".json") {
            return not_found(format!(
                "{reference} is not a recipe: its name does not end with .json"
            ));
        }
        match workspace::stat(reference) {
            Ok(stat) if stat.kind != FileKind::File => {
                return not_found(format!("{reference} is not a regular file"));
            }
            Ok(stat) if stat.size > MAX_FILE => {
                let (size, limit) = (stat.size.div_ceil(1 << 20), MAX_FILE >> 20);
                return not_found(format!(
                    "{reference} has {size} MiB; the limit for a recipe is {limit} MiB"
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
                let offset = error.valid_up_to();
                return Ok(Resolution::corrupt(format!(
                    "{reference}: byte {offset} is not UTF-8"
                )));
            }
        };
        Ok(match recipe::read(text) {
            ReadOutcome::Recipe(runnables) => Resolution::found(runnables),
            ReadOutcome::OtherJson(why) => {
                Resolution::not_found(format!("{reference} is JSON, but not a recipe: {why}"))
            }
            ReadOutcome::Invalid(why) => Resolution::corrupt(format!("{reference}: {why}")),
            ReadOutcome::NotJson { line, column, why } => {
                Resolution::corrupt(format!("{reference}:{line}:{column}: {why}"))
            }
        })
    }
}

export!(Recipe: resolver);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use persea_plugin_sdk::testing::{Files, Host};

    fn resolve(files: Files, reference: &str) -> Resolution {
        let _host = Host::new().files(files).install();
        Recipe::resolve(&ResolveRequest::new(reference)).unwrap()
    }

    fn resolve_text(text: impl Into<Vec<u8>>) -> Resolution {
        resolve(Files::new().file("r.json", text), "r.json")
    }

    #[test]
    fn recipe_gives_its_runnables_with_unchanged_uris() {
        let found = resolve(
            Files::new().file("dir/r.json", r#"{"kind": "tap", "uri": "t.sh"}"#),
            "dir/r.json",
        );
        assert_eq!(found, Resolution::found([Runnable::new("tap").uri("t.sh")]));
        assert_eq!(resolve_text("[]"), Resolution::found(vec![]));
        assert_eq!(
            resolve_text("\u{feff}[]"),
            Resolution::found(vec![]),
            "a byte order mark is allowed"
        );
    }

    #[test]
    fn other_files_are_not_found_with_the_reason() {
        let files = || Files::new().directory("d.json");
        let not_found = |why: &str| Resolution::not_found(why);
        assert_eq!(
            resolve(files(), "a.py"),
            not_found("a.py is not a recipe: its name does not end with .json")
        );
        assert_eq!(
            resolve(files(), "a.json"),
            not_found("a.json does not exist")
        );
        assert_eq!(
            resolve(files(), "d.json"),
            not_found("d.json is not a regular file")
        );
        // The host's other errors are reasons too.
        assert_eq!(
            resolve(files(), "../a.json"),
            not_found("../a.json leads out of the project")
        );
        let why = "r.json is JSON, but not a recipe: Missing required property \"kind\"";
        assert_eq!(resolve_text(r#"{"name": "left-pad"}"#), not_found(why));
        let why = "r.json has 65 MiB; the limit for a recipe is 64 MiB";
        assert_eq!(resolve_text(vec![b' '; (64 << 20) + 1]), not_found(why));
    }

    #[test]
    fn malformed_recipe_is_corrupt_with_the_position() {
        let corrupt = |why: &str| Resolution::corrupt(why);
        assert_eq!(
            resolve_text("[\n{]"),
            corrupt("r.json:2:2: key must be a string")
        );
        assert_eq!(
            resolve_text([b'[', 0xff]),
            corrupt("r.json: byte 1 is not UTF-8")
        );
        let why = "r.json: [3].args[0]: expected a string, found a number";
        assert_eq!(
            resolve_text(r#"[{"kind":"a"},{"kind":"a"},{"kind":"a"},{"kind":"a","args":[3]}]"#),
            corrupt(why)
        );
    }
}
