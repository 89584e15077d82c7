//! Owns the resolver `recipe`: chooses the files that may be recipes, and explains why a file is
//! not one. Does not know the format: see `recipe`.

mod recipe;
mod shape;

use persea_plugin_sdk::pages::RunnablePages;
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
        // JSON with comments, or test data, is no mistake of somebody who wrote a recipe.
        let broken = |why: String| match names_a_kind(&bytes) {
            true => Resolution::corrupt(why),
            false => Resolution::not_found(format!("{why}, and no \"kind\" is in it")),
        };
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(error) => {
                let offset = error.valid_up_to();
                return Ok(broken(format!("{reference}: byte {offset} is not UTF-8")));
            }
        };
        Ok(match recipe::read(text, RunnablePages::new())? {
            ReadOutcome::Recipe(runnables) => Resolution::found(runnables).depends_on([reference]),
            ReadOutcome::OtherJson(why) => {
                Resolution::not_found(format!("{reference} is JSON, but not a recipe: {why}"))
            }
            ReadOutcome::Invalid(why) => Resolution::corrupt(format!("{reference}: {why}")),
            ReadOutcome::NotJson { line, column, why } => {
                broken(format!("{reference}:{line}:{column}: {why}"))
            }
        })
    }
}

/// Whether a text has the member that every recipe has.
fn names_a_kind(text: &[u8]) -> bool {
    let kind = b"\"kind\"";
    text.windows(kind.len()).any(|part| part == kind)
}

export!(Recipe: resolver);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
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
        assert_eq!(
            found,
            Resolution::found([Runnable::new("tap").uri("t.sh")]).depends_on(["dir/r.json"])
        );
        let nothing = || Resolution::found([]).depends_on(["r.json"]);
        assert_eq!(resolve_text("[]"), nothing());
        assert_eq!(
            resolve_text("\u{feff}[]"),
            nothing(),
            "a byte order mark is allowed"
        );
    }

    #[test]
    fn long_recipe_is_added_page_by_page() {
        let items: Vec<String> = (0..9000)
            .map(|number| format!(r#"{{"kind": "noop", "uri": "{number}"}}"#))
            .collect();
        let text = format!("[{}]", items.join(","));
        let host = Host::new()
            .files(Files::new().file("r.json", text))
            .install();
        let resolution = Recipe::resolve(&ResolveRequest::new("r.json")).unwrap();
        assert_eq!(host.pages(), [4096, 4096]);
        let Finding::Found(rest) = resolution.finding else {
            panic!("the recipe is valid");
        };
        let mut all = host.runnables();
        all.extend(rest);
        let uris = all.into_iter().map(|runnable| runnable.uri.unwrap());
        assert!(uris.eq((0..9000).map(|number| number.to_string())));
    }

    #[test]
    fn mistake_late_in_a_long_recipe_is_corrupt() {
        let text = format!(r#"[{}{{"kind": 3}}]"#, r#"{"kind": "noop"},"#.repeat(5000));
        assert_eq!(
            resolve_text(text),
            Resolution::corrupt("r.json: [5000].kind: expected a string, found a number")
        );
    }

    #[test]
    fn refused_page_ends_the_call() {
        let text = format!(
            r#"[{}{{"kind": "noop"}}]"#,
            r#"{"kind": "noop"},"#.repeat(5000)
        );
        let _host = Host::new()
            .files(Files::new().file("r.json", text))
            .fault("pages.add-runnables", Error::new("limit", "too many"))
            .install();
        let error = Recipe::resolve(&ResolveRequest::new("r.json")).unwrap_err();
        assert_eq!(error.code, "limit");
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
    fn broken_json_without_a_kind_is_not_found() {
        let why = "r.json:1:3: key must be a string, and no \"kind\" is in it";
        assert_eq!(
            resolve_text("{ // a comment\n}"),
            Resolution::not_found(why)
        );
        let why = "r.json: byte 1 is not UTF-8, and no \"kind\" is in it";
        assert_eq!(resolve_text([b'[', 0xff]), Resolution::not_found(why));
    }

    #[test]
    fn malformed_recipe_is_corrupt_with_the_position() {
        let corrupt = |why: &str| Resolution::corrupt(why);
        assert_eq!(
            resolve_text("[\n{\"kind\": \"tap\",]"),
            corrupt("r.json:2:16: key must be a string")
        );
        assert_eq!(
            resolve_text([&b"[\"kind\""[..], &[0xff]].concat()),
            corrupt("r.json: byte 7 is not UTF-8")
        );
        let why = "r.json: [3].args[0]: expected a string, found a number";
        assert_eq!(
            resolve_text(r#"[{"kind":"a"},{"kind":"a"},{"kind":"a"},{"kind":"a","args":[3]}]"#),
            corrupt(why)
        );
    }
}
